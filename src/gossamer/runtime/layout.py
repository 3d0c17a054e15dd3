"""Layout: a sparse weight as compact arrays, and the products that run on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from inspect import Parameter, signature
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

import numpy as np

from gossamer.core.registry import Registry
from gossamer.runtime.checks import check_fields
from gossamer.runtime.planning import run_plan
from gossamer.runtime.product import BOUNDLESS, Bounds, Product
from gossamer.runtime.threads import checked_threads

LAYOUTS: Registry[Layout] = Registry("layout", "gossamer.runtime.layouts")


@dataclass(frozen=True, eq=False)
class Layout(ABC):
    """A weight W (rows, inputs) stored for fast products ``y = x W'``.

    Subclasses are frozen dataclasses, one file each: their fields are arrays and whole numbers, and
    these are what is saved. ``build`` makes one from a dense weight, ``products`` names the kernels
    that can multiply with it. The kernels trust the arrays: each layout checks its own when it is
    made.
    """

    name: ClassVar[str]
    rows: int
    inputs: int

    def __post_init__(self) -> None:
        self.check()

    @classmethod
    @abstractmethod
    def build(cls, weight: np.ndarray, *args: Any, **options: Any) -> Self:
        """The layout of a dense weight (rows, inputs), float32, with the options of its kind.

        Raises
        ------
        ValueError
            Where the zeros of the weight do not have this layout's pattern.
        TypeError
            For options that the kind does not have.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise unless the arrays describe a weight of this shape.

        Time is in proportion to the indices: a small part of what building takes.

        Raises
        ------
        ValueError
            Naming the array, what is wrong with it, and what to do.
        """
        check_fields(self)

    @abstractmethod
    def dense(self) -> np.ndarray:
        """The weight (rows, inputs), float32, as it was given to :meth:`build`."""

    @abstractmethod
    def products(self) -> Sequence[Product]:
        """The kernels that can multiply with it, at least one of them for any number of samples."""

    rows_fast: ClassVar[bool] = False

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the dense weight: (count,) indices to (count, inputs), float32.

        Kinds with ``rows_fast`` read no others.
        """
        return self.dense()[rows]

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays by name, as they are saved."""
        return {n: value for n, value in self._fields().items() if isinstance(value, np.ndarray)}

    def numbers(self) -> dict[str, int]:
        """Its other fields by name: plain data."""
        kinds = np.ndarray | None
        return {n: value for n, value in self._fields().items() if not isinstance(value, kinds)}

    def similar(self, rows: int, inputs: int, keep: float, random: np.random.Generator) -> Self:
        """A layout of the same kind for a random weight: speeds are measured on such ones.

        Each row keeps the same share of its blocks. Kinds that need other patterns have their own.

        Raises
        ------
        ValueError
            Where there is none of that shape with so many values.
        """
        height, width = self.block
        places = random.random((rows // height, inputs // width)).argsort(axis=1)
        mask = np.kron(places < keep * places.shape[1], np.ones((height, width), bool))
        weight = np.where(mask, random.uniform(0.5, 1.0, mask.shape), 0.0).astype(np.float32)
        options = options_of(type(self))
        return self.build(weight, **{n: v for n, v in self.numbers().items() if n in options})

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of the blocks that are zero or not as a whole."""
        return 1, 1

    @property
    def precision(self) -> str:
        """The type that its values are stored in: one of those that ``gossamer.compile`` takes."""
        return "float32"

    @property
    def scales(self) -> np.ndarray | None:
        """(inputs,) by which the stored values of each column count; None where it is once."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of memory, and of a file."""
        return sum(array.nbytes for array in self.arrays().values())

    def matmul(
        self,
        x: np.ndarray,
        bias: np.ndarray | None = None,
        bounds: Bounds = BOUNDLESS,
        *,
        out: np.ndarray | None = None,
        threads: int = 1,
    ) -> np.ndarray:
        """``y = clip(x W' + bias)``: x (samples, inputs) to y (samples, rows), both float32.

        Parameters
        ----------
        x : (samples, inputs) array
            Copied where it is not C-contiguous.
        bias : (rows,) array, optional
        bounds : Bounds
            Of the results: ``Bounds(low=0)`` is the ReLU. NaN stays NaN.
        out : (samples, rows) array, C-contiguous, optional
            Where to write.
        threads : int
            How many may share the work.

        Raises
        ------
        ValueError
            For other shapes and types, and less than one thread.
        TypeError
            For what is no array, and threads that are no whole number.
        """
        check_samples("x", x, self.inputs)
        checked_threads(threads)
        y = np.empty((len(x), self.rows), np.float32) if out is None else out
        if y.shape != (len(x), self.rows) or y.dtype != np.float32 or not y.flags.c_contiguous:
            raise ValueError(
                f"out must be float32 of shape {len(x), self.rows} and C-contiguous, got {y.dtype} "
                f"of {y.shape} with strides {y.strides}."
            )
        bias = np.zeros(self.rows, np.float32) if bias is None else bias
        run_plan(
            self,
            x.reshape(-1),
            checked_bias(bias, self.rows),
            bounds,
            y.reshape(-1),
            len(x),
            threads,
        )
        return y

    def transposed_matmul(self, g: np.ndarray, *, threads: int = 1) -> np.ndarray:
        """``g W``: g (samples, rows) to (samples, inputs), both float32; gradients of the inputs.

        CSR, Condensed and BlockRows pass over what they store; the other kinds, which lie for the
        product forward, make their weight dense for it.

        Parameters
        ----------
        g : (samples, rows) array
            Copied where it is not C-contiguous.
        threads : int
            How many may share the work.

        Raises
        ------
        ValueError
            For other shapes and types, and less than one thread.
        TypeError
            For what is no array, and threads that are no whole number.
        """
        check_samples("g", g, self.rows)
        checked_threads(threads)
        return self._times(np.ascontiguousarray(g), threads)

    def _times(self, g: np.ndarray, threads: int) -> np.ndarray:
        product: np.ndarray = g @ self.dense()
        return product

    def __getstate__(self) -> dict[str, Any]:
        # plans hold functions, and are for the machine they were made on
        return self._fields()

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def restored(name: str, numbers: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Layout:
    """The layout that a class of this name makes of what was saved.

    Raises
    ------
    ValueError
        Where it makes none of these.
    """
    kind: Callable[..., Layout] = LAYOUTS[name]
    try:
        return kind(**numbers, **arrays)
    except TypeError as error:
        raise ValueError(
            f"{sorted({*numbers, *arrays})} are not what {name} has: load files and state_dicts as "
            f"they were saved. ({error})"
        ) from error


P = ParamSpec("P")
L = TypeVar("L", bound=Layout)
Build = Callable[Concatenate[type[L], np.ndarray, P], L]


def named_options(build: Build[L, P]) -> Build[L, P]:
    """Decorator of ``build``: an option that it does not have is refused by naming those it has."""

    @wraps(build)
    def checked(cls: type[L], weight: np.ndarray, *args: P.args, **options: P.kwargs) -> L:
        check_options(cls, options)
        return build(cls, weight, *args, **options)

    return checked


def check_options(kind: type[Layout], options: Iterable[str]) -> None:
    """Raise TypeError where a kind of layout is not built with one of these options."""
    if unknown := [name for name in options if name not in options_of(kind)]:
        known = ", ".join(options_of(kind)) or "none"
        raise TypeError(f"{kind.__name__}.build has no option {unknown[0]!r}; it has: {known}.")


@cache
def options_of(kind: type[Layout]) -> tuple[str, ...]:
    """The names of the options that a kind of layout is built with."""
    parameters = signature(kind.build).parameters.values()
    return tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)


def check_samples(name: str, x: np.ndarray, width: int) -> None:
    """Raise unless an argument is float32 (samples, width)."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}.")
    if x.ndim != 2 or x.shape[1] != width or x.dtype != np.float32:
        raise ValueError(
            f"{name} must be float32 of shape (samples, {width}), got {x.dtype} of {x.shape}."
        )


def checked_bias(bias: np.ndarray, rows: int) -> np.ndarray:
    """The bias that products add: float32 (rows,)."""
    if not isinstance(bias, np.ndarray):
        raise TypeError(f"bias must be a NumPy array, got {type(bias).__name__}.")
    if bias.shape != (rows,) or bias.dtype != np.float32:
        raise ValueError(
            f"bias must be float32 of shape ({rows},), got {bias.dtype} of {bias.shape}."
        )
    return np.ascontiguousarray(bias)


def checked_weight(weight: np.ndarray) -> np.ndarray:
    """The weight that a layout is built of: float32 (rows, inputs)."""
    if not isinstance(weight, np.ndarray):
        raise TypeError(
            f"weight must be a NumPy array, got {type(weight).__name__}: tensors and sparse "
            "matrices become layouts by gossamer.runtime.from_torch and from_scipy."
        )
    if weight.ndim != 2 or weight.dtype != np.float32:
        raise ValueError(
            f"weight must be float32 of shape (rows, inputs), got {weight.dtype} of "
            f"{weight.shape}: convert it, and reshape a convolution's to two dimensions."
        )
    return weight

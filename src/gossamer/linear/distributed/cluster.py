"""Rows of dask arrays and data frames: parts that stay on the workers of a cluster.

dask is imported when such a collection comes, or an address is given; not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.linear.distributed.part import Part, make_part
from gossamer.linear.distributed.partitions import Combine, Partitions

# answers added up at a time on a worker
_FAN_IN = 8


def is_dask(value: Any) -> bool:
    """Whether it is a dask collection; does not import dask."""
    return type(value).__module__.partition(".")[0] == "dask"


class DaskPartitions(Partitions):
    """Parts as tasks, kept in the memory of the workers, with the recipe to make them anew.

    Questions are tasks beside the parts, answers are added up in a tree between the workers; what
    comes back has the size of one answer. A task is a pure function of its part: when a worker is
    lost, dask makes its parts again elsewhere, and asks them again.
    """

    def __init__(self, parts: Sequence[Any], n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        self.parts = list(_dask().persist(*parts))

    def _reduce(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], combine: Combine
    ) -> Any:
        dask = _dask()
        # the question travels once to a worker, not once with every task
        question = dask.delayed((function, arguments), traverse=False)
        ask, add = dask.delayed(_answer, pure=False), dask.delayed(combine, pure=False)
        answers = [ask(part, question) for part in self.parts]
        while len(answers) > 1:
            answers = [add(answers[i : i + _FAN_IN]) for i in range(0, len(answers), _FAN_IN)]
        return answers[0].compute()

    def _ask_one(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        ask = _dask().delayed(_answer, pure=False)
        return ask(self.parts[0], (function, arguments)).compute()


def _answer(part: Part, question: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    function, arguments = question
    return function(part, *arguments)


def partitions_of(
    X: Any, y: Any, sample_weight: Any, offset: Any, loss: Loss, classes: np.ndarray | None
) -> DaskPartitions:
    """Parts of dask collections, one a block of rows; labels become numbers on the workers.

    Raises
    ------
    ValueError
        When rows do not match; at the latest where they lie.
    """
    blocks = _row_blocks(X, y, sample_weight, offset)
    make = _dask().delayed(make_part, pure=False)
    parts = [make(*block, loss, classes) for block in blocks]
    n_outputs = 1 if np.ndim(y) == 1 else int(y.shape[1])
    return DaskPartitions(parts, int(X.shape[1]), n_outputs)


def labels_of(y: Any) -> np.ndarray:
    """The different labels of a target, in order."""
    if not is_dask(y):
        return np.unique(y)
    dask = _dask()
    found = dask.compute(*[dask.delayed(np.unique)(block) for block in _column_blocks(y)])
    return np.unique(np.concatenate(found))


# -- blocks of rows --------------------------------------------------------------------------------
def _row_blocks(X: Any, *others: Any) -> Iterator[tuple[Any, ...]]:
    if hasattr(X, "chunks"):  # an array
        sizes, X = X.chunks[0], X.rechunk({1: -1})
        blocks = X.to_delayed()[:, 0].tolist()
    else:
        sizes, blocks = (float("nan"),) * X.npartitions, X.to_delayed()
    columns = [
        [None] * len(blocks) if other is None else _column_blocks(other, sizes) for other in others
    ]
    if any(len(column) != len(blocks) for column in columns):
        raise ValueError(
            f"X has {len(blocks)} blocks of rows, but y, sample_weight or offset "
            f"{sorted({len(column) for column in columns})}. Take them from one collection, after "
            "rows = rows.persist(): dask cuts files anew for every choice of columns."
        )
    return zip(blocks, *columns, strict=True)


def _column_blocks(values: Any, sizes: tuple[float, ...] | None = None) -> list[Any]:
    """Blocks of a target or of weights, cut like X where the cut is known."""
    known = sizes is not None and not np.isnan(sizes).any()
    if not is_dask(values):
        if not known:
            raise ValueError(
                "the sizes of the blocks of X are not known, so that a numpy array cannot be cut "
                "to them: give y, sample_weight and offset as columns of the same collection."
            )
        assert sizes is not None
        if len(values) != sum(sizes):
            raise ValueError(f"y has {len(values)} samples, but X has {int(sum(sizes))}.")
        delayed = _dask().delayed
        cuts = np.cumsum(sizes)[:-1].astype(int)
        return [delayed(block) for block in np.split(np.asarray(values), cuts)]
    if hasattr(values, "chunks"):
        own = values.chunks[0]
        if known and not np.isnan(own).any() and own != sizes:
            if sum(own) != sum(sizes or ()):
                raise ValueError(f"y has {sum(own)} samples, but X has {int(sum(sizes or ()))}.")
            values = values.rechunk({0: sizes})
        if len(values.shape) == 2:
            return list(values.rechunk({1: -1}).to_delayed()[:, 0])
        return list(values.to_delayed())
    return list(values.to_delayed())


def predicted(predict: Callable[[Any], np.ndarray], X: Any) -> Any:
    """The prediction of every block, as a collection like X."""
    if not hasattr(X, "chunks"):
        return X.map_partitions(predict, meta=(None, predict(X.head(1, npartitions=-1)).dtype))
    X = X.rechunk({1: -1})
    like = predict(np.zeros((1, X.shape[1])))
    return X.map_blocks(predict, drop_axis=list(range(like.ndim, 2)), dtype=like.dtype)


# -- clusters --------------------------------------------------------------------------------------
@contextmanager
def connected(address: str | None, timeout: float = 10.0) -> Iterator[Any]:
    """A client of the scheduler at an address, closed in the end; ``None`` where none is given.

    Raises
    ------
    ConnectionError
        When nothing answers there in time.
    """
    if address is None:
        yield None
        return
    client_of = _distributed().Client
    try:
        client = client_of(address, timeout=timeout)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address!r} within {timeout:g} s "
            f"({type(error).__name__}). Start one by 'dask scheduler', and give the address that "
            "it prints, for example tcp://127.0.0.1:8786."
        ) from error
    try:
        yield client
    finally:
        client.close()


def map_tasks(
    function: Callable[..., Any], items: Sequence[Any], *data: Any, retries: int = 3
) -> list[Any]:
    """``[function(item, *data) for item in items]``, each call a task of the cluster in use.

    Data are sent once to every worker. A task that fails because its worker is lost is tried
    again, so that ``function`` must be pure. Without a cluster the calls are made here, by the
    scheduler that dask is set to.
    """
    try:
        client = _distributed().get_client()
    except ValueError:  # there is none
        dask = _dask()
        held = [dask.delayed(value, traverse=False) for value in data]
        call = dask.delayed(function, pure=False)
        return list(dask.compute(*[call(item, *held) for item in items]))
    held = [client.scatter(value, broadcast=True, hash=False) for value in data]
    futures = client.map(
        function, items, *[[value] * len(items) for value in held], pure=False, retries=retries
    )
    return list(client.gather(futures))


def tasks_of_cluster(retries: int = 3) -> Executor:
    """The cluster in use as an executor: every call is a task, tried again with another worker."""
    try:
        client = _distributed().get_client()
    except ValueError as error:
        raise ValueError(
            'n_jobs="dask" needs a cluster: call fit inside '
            "`with gossamer.linear.distributed.connected(address):`."
        ) from error
    executor: Executor = client.get_executor(pure=False, retries=retries)
    return executor


def _dask() -> Any:
    try:
        import dask
    except ImportError as error:
        raise ImportError("dask is not installed: pip install 'gossamer[dask]'.") from error
    return dask


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ImportError("distributed is not installed: pip install 'gossamer[dask]'.") from error
    return distributed

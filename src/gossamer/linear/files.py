"""Model files: a zip of one JSON header and plain arrays, loaded without executing code.

``header.json`` holds the format's version and the object as nested plain data; arrays are
``.npy`` entries beside it, read with pickles forbidden. Only classes of this package are made.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from gossamer.core.errors import ModelFileError
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.registry import JOINT_PENALTIES, LOSSES, PENALTIES, SOLVERS, STRUCTURES
from gossamer.core.result import Certificate, Result, Status
from gossamer.core.solver import Solver
from gossamer.core.structure import Structure
from gossamer.core.sum_penalty import SumPenalty
from gossamer.linear.cv import CVResult
from gossamer.linear.encode import TableEncoder
from gossamer.linear.moments import Moments
from gossamer.linear.online.ledger import Charge, PrivacyLedger
from gossamer.linear.online.ridge import RidgeState
from gossamer.linear.path import Path
from gossamer.linear.splines import Curve
from gossamer.linear.survival import BaselineHazard

_VERSION = 1
_MAGIC = "gossamer model"
_RECORDS = {
    cls.__name__: cls
    for cls in (
        Path,
        CVResult,
        Certificate,
        Result,
        SumPenalty,
        Moments,
        BaselineHazard,
        Curve,
        PrivacyLedger,
        Charge,
        RidgeState,
    )
}


@cache
def _estimators() -> dict[str, type[BaseEstimator]]:
    """The room's public estimators by name; a file may ask for these alone."""
    room = import_module("gossamer.linear")
    public = [getattr(room, name) for name in room.__all__]
    classes = [piece for piece in public if isinstance(piece, type)]
    return {cls.__name__: cls for cls in classes if issubclass(cls, BaseEstimator)}


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator, a :class:`TableEncoder`, or a pipeline of these to a file.

    Raises
    ------
    TypeError
        When a part cannot be saved: a foreign estimator, or a penalty that is not registered.

    Examples
    --------
    >>> import gossamer as gs, tempfile, os
    >>> model = gs.Lasso(alpha=0.1).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gs.save(model, os.path.join(folder, "model.gossamer"))
    ...     again = gs.load(os.path.join(folder, "model.gossamer"))
    >>> bool((again.coef_ == model.coef_).all())
    True
    """
    arrays: list[np.ndarray] = []
    content = _pack(model, arrays)
    header = {"format": _MAGIC, "version": _VERSION, "content": content}
    target = FilePath(path)
    # written beside and moved: an interrupted save leaves the old file whole
    descriptor, name = tempfile.mkstemp(dir=target.parent or ".", prefix=target.name)
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            archive.writestr("header.json", json.dumps(header, allow_nan=False))
            for i, array in enumerate(arrays):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                archive.writestr(f"arrays/{i}.npy", buffer.getvalue())
        # the mode an ordinary new file gets; a temporary one is private
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        FilePath(name).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote; executes no code from the file.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ModelFileError
        When the file is not a gossamer model, is damaged, or comes from a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("header.json"))
            if header.get("format") != _MAGIC:
                raise ModelFileError(f"{path} is a zip file, but not a gossamer model.")
            if header["version"] > _VERSION:
                raise ModelFileError(
                    f"{path} has format version {header['version']}, this gossamer reads up to "
                    f"{_VERSION}: install a newer gossamer."
                )

            def array(i: int) -> np.ndarray:
                buffer = io.BytesIO(archive.read(f"arrays/{int(i)}.npy"))
                return np.lib.format.read_array(buffer, allow_pickle=False)

            return _unpack(header["content"], array)
    except (FileNotFoundError, IsADirectoryError, PermissionError, ModelFileError):
        raise
    except Exception as error:
        raise ModelFileError(
            f"{path} is not a gossamer model, or is damaged ({type(error).__name__}: {error}). "
            "Save it again with gossamer.save."
        ) from error


# -- to plain data -----------------------------------------------------------------------------
def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _pack(value.item(), arrays)
    if isinstance(value, float):
        return value if np.isfinite(value) else {"is": "float", "text": repr(value)}
    if isinstance(value, np.ndarray):
        return _pack_array(value, arrays)
    if sparse.issparse(value):
        return _pack_array(value.toarray(), arrays)
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {"is": kind, "items": [_pack(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {
            "is": "dict",
            "items": [[_pack(k, arrays), _pack(v, arrays)] for k, v in value.items()],
        }
    return _pack_object(value, arrays)


def _pack_array(value: np.ndarray, arrays: list[np.ndarray]) -> dict[str, Any]:
    if value.dtype == object:
        items = [_pack(item, arrays) for item in value.ravel()]
        return {"is": "objects", "shape": list(value.shape), "items": items}
    arrays.append(value)
    return {"is": "array", "at": len(arrays) - 1}


def _pack_object(value: Any, arrays: list[np.ndarray]) -> dict[str, Any]:
    name = type(value).__name__
    if isinstance(value, TableEncoder):
        return {"is": "encoder", "data": value.to_dict()}
    if isinstance(value, Pipeline):
        steps = [[step, _pack(part, arrays)] for step, part in value.steps]
        return {"is": "pipeline", "steps": steps}
    if _estimators().get(name) is type(value):
        state = {k: _pack(v, arrays) for k, v in vars(value).items()}
        return {"is": "estimator", "name": name, "state": state}
    if isinstance(value, Status):
        return {"is": "status", "name": value.name}
    if name in _RECORDS and is_dataclass(value):
        state = {f.name: _pack(getattr(value, f.name), arrays) for f in fields(value)}
        return {"is": "record", "name": name, "state": state}
    for kind, base, registry in _REGISTERED:
        if isinstance(value, base):
            if type(value) not in tuple(registry):
                raise TypeError(
                    f"{name} cannot be saved: it is not registered. Decorate the class with "
                    f"core.registry.{kind.upper()}.register, here and where the file is loaded."
                )
            return {"is": kind, "name": name, "state": _pack(_arguments(value), arrays)}
    raise TypeError(
        f"{name} cannot be saved in a gossamer model file: put numbers, text, arrays or gossamer's "
        "own objects in its place, for example model.set_params(cv=5)."
    )


_REGISTERED: tuple = (
    ("penalties", UnitPenalty, PENALTIES),
    ("joint_penalties", Penalty, JOINT_PENALTIES),
    ("losses", Loss, LOSSES),
    ("structures", Structure, STRUCTURES),
    ("solvers", Solver, SOLVERS),
)


def _arguments(value: Any) -> dict[str, Any]:
    """What a registered piece is made from."""
    if hasattr(value, "to_dict"):
        return dict(value.to_dict())
    if is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    return dict(value.parameters if isinstance(value, Loss) else vars(value))


# -- from plain data ---------------------------------------------------------------------------
def _unpack(value: Any, array: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["is"]
    if kind == "float":
        return float(value["text"])
    if kind == "array":
        return array(value["at"])
    if kind == "objects":
        objects = np.empty(len(value["items"]), dtype=object)
        for i, item in enumerate(value["items"]):
            objects[i] = _unpack(item, array)
        return objects.reshape(value["shape"])
    if kind in ("list", "tuple"):
        items = [_unpack(item, array) for item in value["items"]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {_unpack(k, array): _unpack(v, array) for k, v in value["items"]}
    if kind == "encoder":
        return TableEncoder.from_dict(value["data"])
    if kind == "pipeline":
        return Pipeline([(step, _unpack(part, array)) for step, part in value["steps"]])
    if kind == "status":
        return Status[value["name"]]
    return _unpack_named(kind, value["name"], value["state"], array)


def _unpack_named(kind: str, name: str, state: Any, array: Any) -> Any:
    if kind == "record":
        return _RECORDS[name](**{k: _unpack(v, array) for k, v in state.items()})
    if kind == "estimator":
        model = _estimators()[name]()
        model.__dict__.update({k: _unpack(v, array) for k, v in state.items()})
        return model
    for registered, _, registry in _REGISTERED:
        if kind == registered:
            return registry[name](**_unpack(state, array))
    raise ValueError(f"unknown kind of object {kind!r}")

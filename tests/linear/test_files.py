"""Model files: what is written is read again, and nothing else is."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

import gossamer as gs
from gossamer import linear
from gossamer.core.errors import ModelFileError
from gossamer.core.penalty import UnitPenalty
from gossamer.linear.base import SparseLinearModel

ESTIMATORS = [
    piece
    for piece in (getattr(linear, name) for name in linear.__all__)
    if isinstance(piece, type) and issubclass(piece, SparseLinearModel)
]


def small(cls: type[SparseLinearModel]) -> SparseLinearModel:
    model = cls()
    steps = {"max_nonzero": 3} if cls is linear.BestSubsetCV else {"n_alphas": 4}
    return model.set_params(**steps, cv=3) if "cv" in model.get_params() else model


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((40, 6))
    return X, np.round(np.exp(X[:, 0]) + rng.random(40))


def same(left: Any, right: Any) -> None:
    """Equal in type and value, through all attributes."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and left.shape == right.shape
        if left.dtype == object:
            same(left.tolist(), right.tolist())
        else:
            np.testing.assert_array_equal(left, right)
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            same(a, b)
    elif isinstance(left, dict):
        same(list(left), list(right))
        same(list(left.values()), list(right.values()))
    elif hasattr(left, "__dict__") and not isinstance(left, type | UnitPenalty):
        same(vars(left), vars(right))
    else:
        assert left == right or (left != left and right != right)


def round_trip(model: Any, folder: Path) -> Any:
    gs.save(model, folder / "model.gossamer")
    return gs.load(folder / "model.gossamer")


# -- what is written is read again


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_estimator(cls: type, data: Any, tmp_path: Path) -> None:
    X, y = data
    model = small(cls)
    unfitted = round_trip(model, tmp_path)
    same(vars(unfitted), vars(model))
    if "MultiTask" in cls.__name__:
        y = np.column_stack([y, -y])
    elif "Logistic" in cls.__name__:
        y = y > 1
    elif "Ordinal" in cls.__name__:
        y = np.minimum(y, 2)
    elif "Cox" in cls.__name__:
        y = np.column_stack([y, y > 1])
    model.fit(X, y)
    again = round_trip(model, tmp_path)
    same(vars(again), vars(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.certificate_.holds == model.certificate_.holds
    clone(again).fit(X, y)


@pytest.mark.parametrize(
    "parameters",
    [
        {"penalty": gs.MCP(0.1, gamma=2.5, on=gs.Groups(list("abcabc")), weights=[1.0, 2.0, 0.0])},
        {"penalty": gs.L1(0.1, on=gs.Groups({"u": [0, 5], "v": [1, 2, 3, 4]}), nonnegative=True)},
        {"penalty": gs.L1(0.1) + gs.L1(0.2, on=gs.Groups([1, 1, 1, 2, 2, 2]))},
        {"loss": gs.losses.Poisson(), "penalty": gs.Lq(0.1, q=0.5)},
        {"loss": gs.losses.Huber(2.0), "penalty": gs.LogSum(0.1, epsilon=0.5)},
        {"penalty": gs.L1(0.1, on=gs.Rows())},
    ],
)
def test_penalties_losses_and_structures(
    parameters: dict[str, Any], data: Any, tmp_path: Path
) -> None:
    X, y = data
    model = gs.SparseModel(**parameters).fit(X, y)
    again = round_trip(model, tmp_path)
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(clone(again).fit(X, y).coef_, model.coef_)


@pytest.mark.parametrize(
    "groups",
    [
        [[1, 3], [0, 2, 4, 5]],
        {"v": [1, 3], "u": [0, 2, 4, 5]},
        {"v": ["b", "d"], "u": list("acef")},
        {"v": np.array([1, 3]), "u": np.array([0, 2, 4, 5])},
        list("abcabc"),
    ],
)
def test_groups_keep_their_names_and_their_order(groups: Any, tmp_path: Path) -> None:
    structure = gs.Groups(groups)
    assert round_trip(gs.L1(0.1, on=structure), tmp_path).on == structure


def test_groups_by_column_names(data: Any, tmp_path: Path) -> None:
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = gs.GroupLasso(0.1, groups={"first": ["a", "c"], "rest": list("bdef")}).fit(frame, y)
    again = round_trip(model, tmp_path)
    same(vars(again), vars(model))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    by_penalty = gs.SparseModel(penalty=gs.L1(0.1, on=gs.Groups([["a", "c"], list("bdef")])))
    again = round_trip(by_penalty, tmp_path).fit(frame, y)
    np.testing.assert_array_equal(again.coef_, model.coef_)


@pytest.mark.parametrize(
    "labels", [np.array(["no", "yes", "maybe"]), np.array(["no", "yes"], object), np.array([3, 7]),
               np.array([False, True])],
)  # fmt: skip
def test_labels(labels: np.ndarray, data: Any, tmp_path: Path) -> None:
    X, _ = data
    target = labels[np.arange(40) % len(labels)]
    model = gs.SparseLogistic(0.01).fit(X, target)
    again = round_trip(model, tmp_path)
    same(again.classes_, model.classes_)
    same(again.predict(X), model.predict(X))


def test_pipeline_with_an_encoder(data: Any, tmp_path: Path) -> None:
    X, y = data
    frame = pd.DataFrame({"size": X[:, 0], "kind": np.array(["a", "b", "c"])[np.arange(40) % 3]})
    model = make_pipeline(gs.TableEncoder(), gs.LassoCV(n_alphas=5)).fit(frame, y)
    again = round_trip(model, tmp_path)
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="kind"):
        again.predict(frame.assign(kind="never seen"))


def test_parts_of_a_model(data: Any, tmp_path: Path) -> None:
    """A path, a cross-validation result, a certificate and a fold in any spelling of the path."""
    model = gs.LassoCV(n_alphas=4, selection="bic").fit(*data)
    for part in (model.path_, model.cv_results_, model.certificate_, model.path_.certificates):
        same(round_trip(part, tmp_path), part)
    assert np.isnan(model.certificate_.gap) or model.certificate_.gap >= 0
    name = str(tmp_path / "as text.gossamer")
    gs.save(model, name)
    same(vars(gs.load(name)), vars(model))


def test_zeros_take_no_room(rng: np.random.Generator, tmp_path: Path) -> None:
    """A path of 30 strengths on 100 000 features: 24 MB in memory, little on the disk."""
    X, y = rng.standard_normal((20, 100_000)), rng.standard_normal(20)
    model = gs.LassoCV(n_alphas=30, alpha_min_ratio=0.5, selection="bic").fit(X, y)
    gs.save(model, tmp_path / "wide.gossamer")
    assert (tmp_path / "wide.gossamer").stat().st_size < model.path_.coefs.nbytes / 100


# -- an interrupted save, a foreign part


def test_interrupted_save_leaves_the_old_file(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, model = tmp_path / "model.gossamer", gs.Lasso(0.1).fit(*data)
    gs.save(model, target)
    before = target.read_bytes()

    def interrupted(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gs.save(model.set_params(alpha=0.2), target)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.gossamer"]


@dataclass(frozen=True, repr=False, eq=False)
class Unknown(UnitPenalty):
    shape_value = staticmethod(gs.L1.shape_value)
    shape_prox = staticmethod(gs.L1.shape_prox)
    shape_dist = staticmethod(gs.L1.shape_dist)


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    for model, message in (
        (gs.SparseModel(penalty=Unknown(0.1)), r"Unknown .* not registered.*PENALTIES.register"),
        (make_pipeline(PCA(), gs.Lasso()), "PCA cannot be saved"),
        (gs.LassoCV(cv=lambda: None), "function cannot be saved"),
    ):
        with pytest.raises(TypeError, match=message):
            gs.save(model, tmp_path / "model.gossamer")
    assert os.listdir(tmp_path) == []


# -- nothing else is read


@pytest.fixture
def saved(data: Any, tmp_path: Path) -> Path:
    gs.save(gs.Lasso(0.1).fit(*data), tmp_path / "model.gossamer")
    return tmp_path / "model.gossamer"


def refused(path: Path, message: str = "is not a gossamer model, or is damaged") -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        gs.load(path)
    assert str(path) in str(caught.value)


def rewritten(path: Path, name: str, content: bytes) -> Path:
    """The archive with one entry replaced."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, old in entries.items():
            archive.writestr(entry, content if entry == name else old)
    return path


class Bomb:
    """Says when it was unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("import os; os.environ['GOSSAMER_BOMB'] = 'exploded'",))


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    for content in (b"", b"hello", b"PK\x03\x04", pickle.dumps(Bomb())):
        path.write_bytes(content)
        refused(path)
    assert "GOSSAMER_BOMB" not in os.environ
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"format": "another"}))
    refused(path, "is a zip file, but not a gossamer model")
    for header in ("[]", "null", "3", '{"format": "gossamer model"}'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", header)
        refused(path)
    with pytest.raises(FileNotFoundError):
        gs.load(tmp_path / "missing")


def test_damage_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        refused(saved)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        places = [info.header_offset + 60 for info in archive.infolist()]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        saved.write_bytes(bytes(flipped))
        refused(saved)


def test_newer_version(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        header = json.loads(archive.read("header.json"))
    header["version"] = 99
    refused(
        rewritten(saved, "header.json", json.dumps(header).encode()),
        "format version 99, .* install a newer gossamer",
    )


def test_pickles_inside_are_not_run(saved: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(rewritten(saved, "arrays/0.npy", buffer.getvalue()))
    assert "GOSSAMER_BOMB" not in os.environ


@pytest.mark.parametrize(
    "content",
    [
        {"is": "estimator", "name": "SparseLinearModel", "state": {}},
        {"is": "estimator", "name": "dataclass", "state": {}},
        {"is": "record", "name": "Popen", "state": {}},
        {"is": "penalties", "name": "system", "state": {"is": "dict", "items": []}},
        {"is": "penalties", "name": "L1", "state": {"is": "dict", "items": [["strength", -1]]}},
        {"is": "array", "at": 10_000},
        {"is": "module", "name": "os", "state": {}},
        {"is": "encoder", "data": {"os": "system"}},
        {"name": "without kind"},
    ],
)
def test_made_up_content(content: Any, saved: Path) -> None:
    header = {"format": "gossamer model", "version": 1, "content": content}
    refused(rewritten(saved, "header.json", json.dumps(header).encode()))

"""From tables to matrices and groups, and from a target to its loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from gossamer.linear.column_groups import match_columns, prefix_groups, read_groups
from gossamer.linear.encode import TableEncoder
from gossamer.linear.table import as_table, read_table
from gossamer.linear.target import describe_target, split_target
from gossamer.structures import Groups

PEOPLE: dict[str, list[Any]] = {
    "age": [31, 45, 28, 60],
    "city": ["Ulm", "Bonn", "Ulm", "Kiel"],
    "smokes": [True, False, False, True],
    "height": [1.7, 1.8, 1.65, 1.9],
}
GAPS: dict[str, list[Any]] = {
    "age": [30, None, 50, 100],
    "city": ["Ulm", "Bonn", None, "Ulm"],
    "smokes": [True, None, False, True],
}
MATRIX = [
    [31, 0, 0, 1, 1, 1.7],
    [45, 1, 0, 0, 0, 1.8],
    [28, 0, 0, 1, 0, 1.65],
    [60, 0, 1, 0, 1, 1.9],
]
REORDERS = {
    "check_dataframe_column_names_consistency": "columns are matched by name: any order is right"
}


@parametrize_with_checks(
    [TableEncoder(), TableEncoder(impute="median")], expected_failed_checks=lambda _: REORDERS
)
def test_scikit_learn_conformance(estimator: TableEncoder, check: Any) -> None:
    check(estimator)


def test_a_mixed_table_becomes_numbers_and_groups() -> None:
    encoder = TableEncoder()
    matrix = encoder.fit_transform(PEOPLE)
    assert matrix.tolist() == MATRIX
    assert matrix.flags.f_contiguous
    names = ["age", "city=Bonn", "city=Kiel", "city=Ulm", "smokes", "height"]
    assert encoder.feature_names_out_.tolist() == names
    assert encoder.groups_.tolist() == ["age", "city", "city", "city", "smokes", "height"]
    assert encoder.feature_names_in_.tolist() == list(PEOPLE)
    groups = Groups(encoder.groups_)
    assert groups.sizes(np.array([1.0, 0, 3, 4, 0, 2])).tolist() == [1, 5, 0, 2]


def test_indicators_can_be_groups_of_their_own() -> None:
    encoder = TableEncoder(categories="separate").fit(PEOPLE)
    assert encoder.groups_.tolist() == encoder.feature_names_out_.tolist()


def test_every_source_gives_the_same_matrix(tmp_path: Path) -> None:
    frame = pd.DataFrame(PEOPLE)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "german.csv", index=False, sep=";", decimal=",")
    frame.to_parquet(tmp_path / "t.parquet")
    sources = [
        frame,
        frame.astype({"city": "category"}),
        pl.DataFrame(PEOPLE),
        pl.DataFrame(PEOPLE).with_columns(pl.col("city").cast(pl.Categorical)),
        as_table(PEOPLE),
        read_table(tmp_path / "t.csv"),
        read_table(tmp_path / "german.csv"),
        read_table(tmp_path / "t.parquet"),
    ]
    for source in sources:
        assert TableEncoder().fit_transform(source).tolist() == MATRIX
    encoder = TableEncoder().fit(sources[0])
    for source in sources:
        assert encoder.transform(source).tolist() == MATRIX


def test_indicators_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    frame = pd.DataFrame({c: rng.choice(list("uvwxyz"), 200) for c in ("a", "b")})
    ours, theirs = TableEncoder(), OneHotEncoder(sparse_output=False)
    np.testing.assert_array_equal(ours.fit_transform(frame), theirs.fit_transform(frame))


def test_sparse_output_is_the_same_matrix() -> None:
    for impute, table in (("error", PEOPLE), ("mean", GAPS)):
        encoder = TableEncoder(impute=impute, sparse_output=True)
        matrix = encoder.fit_transform(table)
        assert sp.issparse(matrix) and matrix.format == "csc"
        dense = clone(encoder).set_params(sparse_output=False).fit_transform(table)
        np.testing.assert_array_equal(matrix.toarray(), dense)


def test_constant_columns_are_kept() -> None:
    assert TableEncoder().fit_transform({"a": [2, 2], "b": ["x", "x"]}).tolist() == [[2, 1]] * 2


def test_columns_are_matched_by_name() -> None:
    encoder = TableEncoder().fit(PEOPLE)
    assert encoder.transform(dict(reversed(PEOPLE.items()))).tolist() == MATRIX
    with pytest.raises(ValueError, match=r"they lack 'age'\. Give"):
        encoder.transform(as_table(PEOPLE).drop(["age"]))
    with pytest.raises(ValueError, match="lack 'city' and have 'id', 'town' besides"):
        encoder.transform(
            {"town" if name == "city" else name: v for name, v in PEOPLE.items()} | {"id": [0] * 4}
        )


def test_missing_values_are_refused_by_default() -> None:
    words = r"missing \(NaN\) in 3 columns of 4 rows: 'age' \(1\), 'city' \(1\), 'smokes' \(1\)"
    with pytest.raises(ValueError, match=words + r".*impute='median'.*--drop age,city,smokes"):
        TableEncoder().fit(GAPS)
    encoder = TableEncoder().fit({name: PEOPLE[name] for name in GAPS})
    with pytest.raises(ValueError, match=words):
        encoder.transform(GAPS)


@pytest.mark.parametrize(("impute", "age"), [("median", 50), ("mean", 60)])
def test_missing_values_are_filled(impute: str, age: float) -> None:
    encoder = TableEncoder(impute=impute)
    matrix = encoder.fit_transform(GAPS)
    assert matrix.tolist() == [[30, 0, 1, 1], [age, 1, 0, 1], [50, 0, 1, 0], [100, 0, 1, 1]]
    nothing = {name: [None] for name in GAPS}
    assert encoder.transform(nothing).tolist() == [[age, 0, 1, 1]]  # by what was learned in fit


def test_a_column_without_any_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'a', 'b' has no value in any row.*--drop a,b"):
        TableEncoder(impute="median").fit({"a": [None] * 2, "b": [np.nan] * 2, "c": [1, 2]})


def test_dates_and_text_are_refused() -> None:
    table = as_table(
        {
            "born": pd.date_range("2020", periods=30),
            "name": [f"person {i}" for i in range(30)],
            "list": [[1, 2]] * 30,
        }
    )
    words = r"3 columns.*'born' \(date/time\), 'name' \(text\), 'list' \(text\).*--drop born,name"
    with pytest.raises(ValueError, match=words):
        TableEncoder().fit(table)
    assert TableEncoder(categorical=["name"]).fit_transform(table.select(["name"])).shape == (
        30,
        30,
    )
    with pytest.raises(ValueError, match="'list' holds no categories"):
        TableEncoder(categorical=["list"]).fit(table.select(["list"]))


def test_too_many_levels_are_refused() -> None:
    table = {"zip": [str(i) for i in range(120)] * 3}
    with pytest.raises(ValueError, match=r"'zip' has more than max_categories=100.*--drop zip"):
        TableEncoder().fit(table)
    assert TableEncoder(max_categories=120).fit_transform(table).shape == (360, 120)


@pytest.mark.parametrize("min_frequency", [3, 0.3])
def test_rare_levels_are_pooled(min_frequency: float) -> None:
    encoder = TableEncoder(min_frequency=min_frequency)
    matrix = encoder.fit_transform({"c": list("aaabbbbxyz")})
    assert encoder.feature_names_out_.tolist() == ["c=a", "c=b", "c=(rare)"]
    assert matrix.sum(axis=0).tolist() == [3, 4, 3]
    assert encoder.transform({"c": ["never seen", "b"]}).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_numbers_can_be_categories() -> None:
    encoder = TableEncoder(categorical=["code"])
    table = {"code": [1, 3, 3], "x": [1.0, 2.0, 3.0]}
    assert encoder.fit_transform(table).tolist() == [[1, 0, 1], [0, 1, 2], [0, 1, 3]]
    assert encoder.feature_names_out_.tolist() == ["code=1", "code=3", "x"]
    with pytest.raises(ValueError, match="no column 'cod': did you mean 'code'"):
        TableEncoder(categorical=["cod"]).fit(table)


def test_unseen_levels() -> None:
    encoder = TableEncoder().fit(PEOPLE)
    new = PEOPLE | {"city": ["Ulm", "Rome", "Oslo", "Ulm"]}
    with pytest.raises(ValueError, match=r"'city': 'Rome', 'Oslo'\. .*unknown='ignore'"):
        encoder.transform(new)
    lenient = TableEncoder(unknown="ignore").fit(PEOPLE)
    assert lenient.transform(new)[:, 1:4].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_columns_that_change_kind_are_refused() -> None:
    encoder = TableEncoder().fit(PEOPLE)
    with pytest.raises(ValueError, match="'age' held numbers in fit and is categorical here"):
        encoder.transform(PEOPLE | {"age": ["31", "old", "28", "60"]})
    with pytest.raises(ValueError, match="'smokes' was true or false in fit and holds 2 here"):
        encoder.transform(PEOPLE | {"smokes": [0, 1, 2, 1]})
    zero_one = PEOPLE | {"smokes": [1, 0, 0, 1]}
    assert encoder.transform(zero_one).tolist() == MATRIX


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a' holds infinite values.*--drop a"):
        TableEncoder().fit({"a": [1.0, np.inf], "b": [1, 2]})


def test_names_that_would_collide_are_refused() -> None:
    with pytest.raises(ValueError, match="would both be 'a=x': rename"):
        TableEncoder().fit({"a": ["x", "y"], "a=x": [1, 2]})


@pytest.mark.parametrize("name", ["max_categories", "min_frequency"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
        TableEncoder(**{name: 0}).fit(PEOPLE)


@pytest.mark.parametrize("name", ["impute", "categories", "unknown"])
def test_unknown_choices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of .*'no'"):
        TableEncoder(**{name: "no"}).fit(PEOPLE)


def test_arrays() -> None:
    encoder = TableEncoder()
    assert encoder.fit_transform(np.array([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    assert encoder.groups_.tolist() == ["x0", "x1"]
    mixed = np.array([[1, "u"], [2, "v"]], dtype=object)
    assert encoder.fit_transform(mixed).tolist() == [[1, 1, 0], [2, 0, 1]]
    assert encoder.get_feature_names_out(["n", "c"]).tolist() == ["n", "c=u", "c=v"]
    with pytest.raises(ValueError, match="should have length equal"):
        encoder.get_feature_names_out(["n"])
    with pytest.raises(ValueError, match=r"column x1: .*one length and type"):
        encoder.fit(np.array([[1, "u"], [2, 3]], dtype=object))


def test_works_with_scikit_learn() -> None:
    frame = pd.DataFrame(PEOPLE)
    out = TableEncoder().set_output(transform="pandas").fit_transform(frame)
    assert out.columns[1] == "city=Bonn" and out.to_numpy().tolist() == MATRIX
    model = make_pipeline(TableEncoder(), Ridge()).fit(frame, [1, 2, 3, 4])
    assert model.predict(frame).shape == (4,)
    with pytest.raises(NotFittedError):
        TableEncoder().transform(frame)
    with pytest.raises(ValueError, match="leave it out"):
        TableEncoder().fit(frame).get_feature_names_out(["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("encoder", "table"),
    [
        (TableEncoder(), PEOPLE),
        (TableEncoder(impute="median", min_frequency=2, unknown="ignore"), GAPS),
        (TableEncoder(categorical=["age"], categories="separate", sparse_output=True), PEOPLE),
        (TableEncoder(), np.arange(6.0).reshape(3, 2)),
    ],
)
def test_plain_data_round_trip(encoder: TableEncoder, table: Any) -> None:
    encoder.fit(table)
    data = json.loads(json.dumps(encoder.to_dict(), allow_nan=False))
    again = TableEncoder.from_dict(data)
    assert again.to_dict() == encoder.to_dict()
    assert again.groups_.tolist() == encoder.groups_.tolist()
    assert again.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    before, after = encoder.transform(table), again.transform(table)
    assert abs(before - after).max() == 0


def test_other_data_is_no_encoder() -> None:
    with pytest.raises(ValueError, match="lacks 'columns', 'named'"):
        TableEncoder.from_dict({"params": {}})


def test_a_target_is_split_off() -> None:
    features, y = split_target(pd.DataFrame(PEOPLE), "height")
    assert features.names == ["age", "city", "smokes"]
    assert y.tolist() == PEOPLE["height"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, None, 3, None], r"'y' is missing in 2 of 4 rows.*table\.drop_missing\(\['y'\]\)"),
        (["a", None, "b", "a"], "'y' is missing in 1 of 4 rows"),
        ([7, 7, 7, 7], "'y' is 7 in all 4 rows"),
        (["a"] * 4, "'y' is a in all 4 rows"),
        ([1.0, np.inf, 2.0, 3.0], "infinite"),
    ],
)
def test_bad_targets_are_refused(values: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        split_target({"x": [1, 2, 3, 4], "y": values}, "y")
    with pytest.raises(ValueError, match=words.split(r"\(\['y")[0]):
        describe_target(as_table({"y": values}).column("y"))


def test_a_target_must_be_there_and_not_alone() -> None:
    with pytest.raises(ValueError, match="no column 'z'"):
        split_target(PEOPLE, "z")
    with pytest.raises(ValueError, match="only the target 'y'"):
        split_target({"y": [1, 2]}, "y")


@pytest.mark.parametrize(
    ("y", "kind", "loss"),
    [
        ([True, False, True], "binary", "logistic"),
        (["yes", "no", "no"], "binary", "logistic"),
        ([1, 2, 2, 1], "binary", "logistic"),
        ([-1.0, 1.0], "binary", "logistic"),
        (["a", "b", "c"] * 2, "multiclass", "multinomial"),
        ([0, 1, 2] * 5, "multiclass", "multinomial"),
        ([1.0, 2.0, 3.0] * 5, "multiclass", "multinomial"),
        (list(range(20)) * 2, "multiclass", "multinomial"),
        (list(range(21)) * 2, "count", "poisson"),
        ([0, 1, 2, 4] * 5, "count", "poisson"),
        ([0, 1, 2, 3], "count", "poisson"),
        ([1, 5, 900], "count", "poisson"),
        ([-1, 0, 1, 2] * 3, "continuous", "quadratic"),
        ([25, 151, 346], "continuous", "quadratic"),
        ([0.0, 0.5, 1.0], "continuous", "quadratic"),
        ([0.0, 1.0, 1e300], "count", "poisson"),
    ],
)
def test_the_loss_follows_the_values(y: list[Any], kind: str, loss: str) -> None:
    for values in (y, np.array(y), as_table({"y": y}).column("y")):
        target = describe_target(values)
        assert (target.kind, target.loss) == (kind, loss)
        assert str(target) == f"{loss}: {target.reason}" and target.reason.endswith(".")


def test_targets_without_a_loss_are_refused() -> None:
    with pytest.raises(ValueError, match="5 distinct texts in 6 rows"):
        describe_target(["a", "b", "c", "d", "e", "a"])
    with pytest.raises(ValueError, match="dates or times"):
        describe_target(pd.date_range("2020", periods=5).to_numpy())
    with pytest.raises(ValueError, match="one column"):
        describe_target(np.ones((3, 2)))


def test_groups_by_name_and_pattern() -> None:
    names = ["g1", "g10", "age", "x[1]"]
    groups = {"genes": "g*", "rest": ["age", "x[1]"]}  # a literal name is no pattern
    assert match_columns(groups, names).tolist() == ["genes", "genes", "rest", "rest"]


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"a": "g*"}, "1 columns are in no group: 'age'"),
        ({"a": "*", "b": "age"}, "'age' is in group 'b' and in another"),
        ({"a": ["*", "G1"]}, "group 'a': 'G1' matches no column of 'g1', 'age'"),
    ],
)
def test_bad_groups_are_refused(groups: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        match_columns(groups, ["g1", "age"])


def test_groups_by_prefix() -> None:
    names = ["eeg.left_1", "eeg.left_2", "age", "_x"]
    assert prefix_groups(names).tolist() == ["eeg.left", "eeg.left", "age", "_x"]
    assert read_groups("prefix", names).tolist() == prefix_groups(names).tolist()
    assert read_groups("prefix:.", names).tolist() == ["eeg", "eeg", "age", "_x"]


def test_groups_from_files(tmp_path: Path) -> None:
    names = ["g1", "g2", "age"]
    (tmp_path / "g.json").write_text('{"gene": "g*", "age": ["age"]}')
    (tmp_path / "g.toml").write_text('gene = ["g1", "g2"]\nage = "age"\n')
    for file in ("g.json", "g.toml"):
        assert read_groups(str(tmp_path / file), names).tolist() == ["gene", "gene", "age"]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("g.json", "{", "not valid JSON"),
        ("g.toml", "=", "not valid TOML"),
        ("g.json", '["a"]', "must map groups to columns"),
        ("g.json", '{"a": [1]}', "must map groups to columns"),
        ("g.yaml", "a: b", r"'prefix', 'prefix:_', or a \.json"),
    ],
)
def test_bad_group_files_are_refused(tmp_path: Path, file: str, content: str, words: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=words):
        read_groups(str(tmp_path / file), ["a"])


def test_a_missing_group_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_groups("nowhere.json", ["a"])


def test_wide_tables_are_encoded(rng: np.random.Generator) -> None:
    values = rng.normal(size=(5, 20_000))
    frame = pd.DataFrame(values).add_prefix("g")
    encoder = TableEncoder(impute="median")
    np.testing.assert_array_equal(encoder.fit_transform(frame), values)
    assert len(set(encoder.groups_)) == 20_000

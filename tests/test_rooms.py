"""The house: a room imports only from the rooms above it, and heavy packages stay in few rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gossamer

PACKAGE = "gossamer"

# From the ground up: a room may import the rooms before it.
ROOMS = (
    "core",
    "losses",
    "structures",
    "factorisations",
    "penalties",
    "kernels",
    "solvers",
    "linear",
    "recovery",
    "decomposition",
    "nn",
    "features",
    "bayes",
    "transport",
    "runtime",
    "report",
    "testing",
    "cli",
)

# The package's own front door resolves public names lazily: it belongs to no room.
FRONT_DOOR = {"__init__", "_lazy"}

# `python -m gossamer` is the command.
ALIASES = {"__main__": "cli"}

# The public names pull in any room, so only the last two rooms may go through them.
THROUGH_THE_FRONT_DOOR = {"testing", "cli"}

ONLY_IN = {
    "numba": {"kernels"},
    "sklearn": {"linear", "recovery", "decomposition", "testing"},
    "matplotlib": {"report"},
    "torch": {"nn", "features", "bayes", "transport", "runtime"},
}

# The steps down, taken at the moment of the call: `Problem.solve(solver="auto")` asks the solvers
# which of them takes it, a large dense X is read by a compiled pass, the prox
# of total variation is compiled, and a sum of two penalties has
# a smooth form of its own.
EXCEPTIONS = {
    ("core/problem.py", "solvers"),
    ("core/design.py", "kernels"),
    ("core/sum_penalty.py", "factorisations"),
    ("penalties/variation.py", "kernels"),
}

# Two modules read the user's tables, and load the reader only when such a table comes; so does the
# room of rows on several machines.
TABLES = {("linear", "table"), ("linear", "batches")}
MACHINES = {("linear", "distributed")}
LATE = {name: TABLES for name in ("pandas", "polars", "pyarrow")}
LATE |= {name: MACHINES for name in ("dask", "distributed")}


def module_of(file: Path, package: Path) -> tuple[str, ...]:
    """The module's name below the package, as parts: ("losses", "poisson")."""
    return file.relative_to(package).with_suffix("").parts


def imported(tree: ast.Module, package_of: tuple[str, ...]) -> Iterator[tuple[ast.AST, str]]:
    """Every import in the tree, wherever it stands: (node, absolute dotted name).

    ``from a import b`` gives ``a.b``: `b` may be a module.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package_of[: len(package_of) - level + 1] if level else ()
                stem = ".".join((*base, *([module] if module else [])))
                yield from ((node, f"{stem}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node, name


def room_breach(room: str, target: str) -> str | None:
    """Why `room` may not import `target`, a dotted name inside the package."""
    first = ALIASES.get(name := target.partition(".")[0], name)
    if first in ROOMS:
        if first == room or ROOMS.index(first) < ROOMS.index(room):
            return None
        return f"{room} may not import {first}, which is not above it"
    if first in {"__version__", "_lazy"} or room in THROUGH_THE_FRONT_DOOR:
        return None
    return f"{room} may not import the package's public names"


def outside_breach(module: tuple[str, ...], name: str, lazy: bool) -> str | None:
    """Why `module` may not import `name`, a package of someone else."""
    top = name.partition(".")[0]
    if top in ONLY_IN and module[0] not in ONLY_IN[top]:
        return f"{module[0]} may not import {top}: only {sorted(ONLY_IN[top])} may"
    if top in LATE and module[:2] not in LATE[top]:
        return f"only {sorted('/'.join(names) for names in LATE[top])} may import {top}"
    if top in LATE and not lazy:
        return f"{top} must be imported inside a function, or for types only"
    return None


def runs_late(tree: ast.Module) -> set[int]:
    """Ids of the nodes that do not run when the module is imported: functions, TYPE_CHECKING."""
    late: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef() | ast.AsyncFunctionDef() | ast.If(test=ast.Name("TYPE_CHECKING"))
            ):
                late.update(id(inner) for inner in ast.walk(node))
    return late


def breaches_in(file: Path, package: Path) -> Iterator[str]:
    module = module_of(file, package)
    if module[0] in FRONT_DOOR:
        return
    where = "/".join(module) + ".py"
    room = ALIASES.get(module[0], module[0])
    if room not in ROOMS:
        yield f"{where}: {room} is no room of the house"
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    late = runs_late(tree)
    for node, name in imported(tree, (PACKAGE, *module[:-1])):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            target = name.removeprefix(PACKAGE).removeprefix(".")
            lazy_exception = (where, target.split(".")[0]) in EXCEPTIONS and id(node) in late
            why = None if lazy_exception else room_breach(room, target)
        else:
            why = outside_breach((room, *module[1:]), name, lazy=id(node) in late)
        if why:
            yield f"{where}:{node.lineno}: {why}"


def breaches(package: Path) -> list[str]:
    return [
        breach for file in sorted(package.rglob("*.py")) for breach in breaches_in(file, package)
    ]


def test_the_house_stands() -> None:
    package = Path(gossamer.__file__).parent
    assert list(package.rglob("*.py")), f"no source found in {package}"
    assert breaches(package) == []


PLANTED = {
    "down": ("core/problem.py", "from gossamer.solvers import choose"),
    "down, relative": ("core/problem.py", "from ..solvers.choose import choose"),
    "down, from the package": ("losses/poisson.py", "from gossamer import linear"),
    "down, from the package, relative": ("losses/poisson.py", "from .. import linear"),
    "down, plain": ("losses/poisson.py", "import gossamer.linear.table as t"),
    "down, from a room's front": ("losses/__init__.py", "from ..penalties import L1"),
    "down, inside a function": ("core/result.py", "def f():\n    from gossamer import report"),
    "down, by name": ("core/result.py", "import importlib as i\ni.import_module('gossamer.nn')"),
    "down, for types only": (
        "core/result.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gossamer.solvers import S",
    ),
    "public names": ("solvers/choose.py", "import gossamer as gs"),
    "a public name": ("solvers/choose.py", "from gossamer import L1"),
    "the command": ("testing/laws.py", "from gossamer.cli import main"),
    "numba": ("solvers/newton.py", "from numba import njit"),
    "numba, hidden": ("solvers/newton.py", "def f():\n    import numba.core"),
    "sklearn": ("solvers/newton.py", "from sklearn.base import clone"),
    "matplotlib": ("linear/lasso.py", "import matplotlib.pyplot as plt"),
    "torch": ("penalties/l1.py", "def f():\n    import torch"),
    "table": ("linear/lasso.py", "def f():\n    import pandas as pd"),
    "the exception, at once": ("core/problem.py", "from gossamer import solvers"),
    "the exception, elsewhere": ("core/result.py", "def f():\n    from gossamer import solvers"),
    "table, at once": ("linear/table.py", "import polars"),
    "dask": ("linear/lasso.py", "def f():\n    import dask.array"),
    "dask, at once": ("linear/distributed/cluster.py", "import dask"),
    "no room": ("helpers.py", ""),
}

ALLOWED = {
    "up": ("solvers/choose.py", "from gossamer.core import Problem\nfrom ..kernels import bind"),
    "own room": ("losses/__init__.py", "from .poisson import Poisson\nfrom . import quadratic"),
    "front door": ("__init__.py", "from gossamer.linear import Lasso"),
    "version": ("linear/store.py", "from gossamer import __version__"),
    "the command": ("cli.py", "import gossamer as gs\nfrom gossamer.report import html"),
    "python -m": ("__main__.py", "from gossamer.cli import main"),
    "kernels": ("kernels/bind.py", "import numba"),
    "table": ("linear/table.py", "def f():\n    import pyarrow.parquet"),
    "table, for types only": (
        "linear/table.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pyarrow",
    ),
    "the exception": ("core/problem.py", "def f():\n    import_module('gossamer.solvers')"),
    "dask": ("linear/distributed/cluster.py", "def f():\n    from distributed import Client"),
    "a namesake": ("core/problem.py", "import numbapro, gossamery"),
}


def plant(folder: Path, name: str, source: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("name", "source"), PLANTED.values(), ids=PLANTED)
def test_a_planted_breach_is_caught(tmp_path: Path, name: str, source: str) -> None:
    found = breaches(plant(tmp_path, name, source))
    assert len(found) == 1
    assert found[0].startswith(name)


@pytest.mark.parametrize(("name", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_passes(tmp_path: Path, name: str, source: str) -> None:
    assert breaches(plant(tmp_path, name, source)) == []

"""Speeds are found from times, kept for this machine only, and lead to the fastest product."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from gossamer.cli import main
from gossamer.runtime import CSR, calibrating
from gossamer.runtime import calibration as calibrations
from gossamer.runtime import cost as costs
from gossamer.runtime.calibration import GRID, Machine, cache_home, fit, measure, name_of
from gossamer.runtime.planning import plan
from gossamer.runtime.product import Product, reads

KINDS = ("call", "block", "row", "packed")


class FakeTime:
    """Products that take a known time on a clock that only they move."""

    def __init__(self, noise: float = 0.0) -> None:
        self.now, self.noise, self.runs = 0.0, noise, 0
        self.rng = np.random.default_rng(0)

    def __call__(self) -> float:
        return self.now

    def product(self, name: str, step: int, speeds: tuple[float, ...], whole=False) -> Product:
        def work(layout, steps):
            amounts = 1, layout.values.size * steps, layout.rows * steps, layout.inputs * steps
            return dict(zip(KINDS, amounts, strict=True))

        def seconds(layout, steps):
            return 1e-9 * np.dot(speeds, list(work(layout, steps).values()))

        def run(layout, x, bias, low, high, y, first, last, top, bottom):
            self.runs += 1
            # others on the machine only ever make it longer
            late = 1 + self.noise * self.rng.exponential()
            self.now += seconds(layout, product.steps(last - first)) * late

        product = Product(name, step, run, work, whole=whole)
        self.truth = getattr(self, "truth", {}) | {name: seconds}
        return product


class Fake(CSR):
    """A layout with products of one's choice."""

    offered: tuple[Product, ...] = ()

    def products(self):
        return self.offered


def layouts(*products: Product, grid=GRID) -> list[Fake]:
    random = np.random.default_rng(1)
    empty = CSR.build(np.zeros((1, 1), np.float32))
    made = [empty.similar(*sizes, random) for sizes in grid]
    found = [Fake(**(layout.arrays() | layout.numbers())) for layout in made]
    for layout in found:
        object.__setattr__(layout, "offered", products)
    return found


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(costs, "this_machine", lambda: made)
    return made


def test_speeds_are_found_again(rng):
    time = FakeTime()
    speeds = (900.0, 0.7, 2.5, 0.2)
    found = measure(time.product("one", 4, speeds), layouts(), time)
    np.testing.assert_allclose([found[kind] for kind in KINDS], speeds, rtol=1e-6)


def test_speeds_are_never_negative_and_small_products_count_as_much_as_large_ones(rng):
    amounts = 10 ** rng.uniform(0, 6, (40, 2))
    works = [{"a": a, "b": b} for a, b in amounts]
    seconds = 1e-9 * amounts @ [2.0, 0.0] * rng.uniform(0.9, 1.1, 40)
    found = fit(works, seconds)
    assert found["a"] == pytest.approx(2.0, rel=0.1)
    assert 0 <= found["b"] < 0.05


def test_the_chosen_product_is_nearly_the_fastest_on_layouts_that_were_not_measured(
    machine, monkeypatch
):
    time = FakeTime(noise=0.1)
    offered = (
        time.product("narrow", 1, (800.0, 0.9, 2.0, 0.1), whole=True),
        time.product("middle", 8, (900.0, 2.5, 6.0, 1.0)),
        time.product("wide", 64, (1200.0, 9.0, 30.0, 12.0)),
    )
    measured = layouts(*offered)
    for product in offered:
        machine.remember(name_of(product, measured[0]), measure(product, measured, time))
    held_out = layouts(*offered, grid=[(100, 400, 0.05), (700, 900, 0.1), (300, 2000, 0.5)])
    for layout in held_out:
        for samples in (1, 3, 8, 17, 64, 200):
            alone = [time.truth[p.name](layout, p.steps(samples)) for p in offered]
            pieces = plan(layout, samples).pieces
            chosen = sum(
                time.truth[piece.product.name](layout, piece.product.steps(last - first))
                for piece in pieces
                for first, last, _, _ in piece.parts
            )
            assert chosen <= 1.1 * min(alone), (layout.rows, samples, pieces)


def test_only_products_that_may_be_the_fastest_are_measured(machine, monkeypatch):
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "1")
    time = FakeTime()
    quick = time.product("quick", 1, (1000.0, 1.0, 1.0, 1.0))
    hopeless = Product("hopeless", 1, quick.run, lambda layout, steps: {"row": 1e9 * steps})
    layout = layouts(quick, hopeless, grid=[(50, 50, 0.5)])[0]
    monkeypatch.setattr(costs, "_examples", lambda layout: [layout])
    monkeypatch.setattr(costs, "measure", lambda *given: calibrations.measure(*given, time))
    assert [piece.product.name for piece in plan(layout, 3).pieces] == ["quick"]
    assert list(machine.speeds) == [name_of(quick, layout)]
    runs = time.runs
    plan(layout, 5)
    assert time.runs == runs  # measured once


def test_files_are_read_again_and_shared(tmp_path):
    one, other = Machine(tmp_path), Machine(tmp_path)
    one.remember("a", {"call": 1.5})
    other.remember("b", {"call": 2.5})
    assert Machine(tmp_path).speeds == {"a": {"call": 1.5}, "b": {"call": 2.5}}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "text", ("", "no json", "[]", "{}", '{"machine": 1, "speeds": {}}', "\x00\xff")
)
def test_files_that_cannot_be_read_count_as_empty(tmp_path, text):
    path = Machine(tmp_path).path
    path.write_bytes(text.encode("latin-1"))
    machine = Machine(tmp_path)
    assert machine.speeds == {}
    machine.remember("a", {"call": 1.0})
    assert Machine(tmp_path).speeds == {"a": {"call": 1.0}}


@pytest.mark.parametrize("fact", ("processor", "features", "code"))
def test_files_of_other_machines_and_versions_are_replaced(tmp_path, fact):
    machine = Machine(tmp_path)
    machine.remember("a", {"call": 1.0})
    found = json.loads(machine.path.read_text())
    found["machine"][fact] += " of another"
    machine.path.write_text(json.dumps(found))
    machine = Machine(tmp_path)
    assert machine.speeds == {}
    machine.remember("b", {"call": 1.0})
    assert Machine(tmp_path).speeds == {"b": {"call": 1.0}}
    assert list(tmp_path.iterdir()) == [machine.path]


def test_the_name_of_the_file_tells_processors_apart(tmp_path, monkeypatch):
    path = Machine(tmp_path).path
    monkeypatch.setattr(Machine, "identity", staticmethod(lambda: {"processor": "other"}))
    assert Machine(tmp_path).path != path


def test_folders_that_cannot_be_written_are_no_obstacle(tmp_path):
    (tmp_path / "file").touch()
    machine = Machine(tmp_path / "file" / "folder")
    machine.remember("a", {"call": 1.0})
    assert machine.speeds == {"a": {"call": 1.0}}
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    machine = Machine(locked)
    machine.remember("a", {"call": 1.0})
    assert machine.speeds == {"a": {"call": 1.0}}
    locked.chmod(stat.S_IRWXU)


def test_the_cache_can_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("GOSSAMER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_home() == Path(tmp_path) / "gossamer"


def test_reads_beyond_a_cache_are_those_it_cannot_hold(monkeypatch):
    monkeypatch.setattr("gossamer.runtime.product.caches", lambda: (1000, 4000, 100000))
    found = reads("block", 8.0, 2000.0)
    assert found == {
        "block": 8.0,
        "block beyond L1": 4.0,
        "block beyond L2": 0.0,
        "block beyond L3": 0.0,
    }


@pytest.mark.slow
def test_real_products_are_measured_once(tmp_path, monkeypatch, rng):
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "1")
    machine = Machine(tmp_path)
    monkeypatch.setattr(costs, "this_machine", lambda: machine)
    weight = np.where(rng.random((96, 80)) < 0.2, 1.0, 0.0).astype(np.float32)
    layout = CSR.build(weight)
    for samples in (1, 9, 70):
        assert 0 < plan(layout, samples).seconds < 1
    assert Machine(tmp_path).speeds == machine.speeds != {}


def test_all_usual_products_are_there_and_can_be_measured_ahead(machine, monkeypatch, capsys):
    found = [name_of(product, layout) for layout, product in calibrating.usual_products()]
    assert len(set(found)) == len(found) > 30
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "1")
    monkeypatch.setattr(calibrating, "this_machine", lambda: machine)
    monkeypatch.setattr(costs, "_examples", lambda layout: [layout])
    monkeypatch.setattr(costs, "measure", lambda product, examples: {"call": 7.0})
    assert list(calibrating.calibrate(progress=True)) == found
    assert len(capsys.readouterr().err.splitlines()) == len(found)
    assert calibrating.described() == f"{len(found)} products measured, {machine.path}"


def test_the_command_knows(capsys):
    assert main(["warm", "--runtime", "--quiet"]) == 0
    assert main(["info"]) == 0
    assert "products measured" in capsys.readouterr().out

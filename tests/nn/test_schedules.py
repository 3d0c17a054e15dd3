"""Schedules: the exact values of the strength, step by step."""

from __future__ import annotations

import math

import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gossamer.nn.schedules import schedule_of  # noqa: E402

VALUES = {
    "constant": (gs.nn.Constant(), {0.0: 1.0, 0.5: 1.0, 1.0: 1.0}),
    "warm-up": (gs.nn.WarmUp(0.4), {0.0: 0.0, 0.1: 0.25, 0.4: 1.0, 1.0: 1.0}),
    "cosine": (
        gs.nn.Cosine(0.8), {0.0: 0.0, 0.2: 0.5 - math.sqrt(0.125), 0.4: 0.5, 0.8: 1.0, 1.0: 1.0},
    ),
    "stages": (
        gs.nn.Stages((0.1, 0.5, 1.0), (0.2, 0.4, 0.8)),
        {0.0: 0.1, 0.2: 0.1, 0.3: 0.3, 0.4: 0.5, 0.6: 0.75, 0.8: 1.0, 1.0: 1.0},
    ),
    "geometric": (gs.nn.Geometric(1e-4, 0.5), {0.0: 1e-4, 0.25: 1e-2, 0.5: 1.0, 0.9: 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    schedule, values = VALUES[name]
    for progress, share in values.items():
        assert schedule(progress) == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize("name", VALUES)
def test_schedules_never_fall_and_end_at_the_full_strength(name):
    schedule = schedule_of(name)
    course = [schedule(t / 1000) for t in range(1001)]
    assert course == sorted(course)
    assert course[-1] == 1.0


@pytest.mark.parametrize("name", ["warm-up", "warmup", "warm_up", "Warm-Up"])
def test_names_are_read_kindly(name):
    assert schedule_of(name) == gs.nn.WarmUp()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.nn.WarmUp(0.0), r"WarmUp: until must be in \(0, 1\], got 0.0"),
        (lambda: gs.nn.Cosine(1.5), "Cosine: until"),
        (lambda: gs.nn.Geometric(0.0), "Geometric: first"),
        (lambda: gs.nn.Geometric(until=math.nan), "Geometric: until"),
    ],
)
def test_bad_parts_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_strength_follows_the_steps():
    sparse = gs.nn.sparsify(
        nn.Linear(3, 2), {"*": gs.L1(0.5)}, schedule=gs.nn.WarmUp(0.5), total_steps=8
    )
    strengths, penalties = [], []
    for _ in range(10):
        strengths.append(sparse.strength)
        penalties.append(sparse.penalty().item())
        sparse.step()
    assert strengths == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]
    assert penalties == pytest.approx([s * penalties[-1] for s in strengths], rel=1e-6)


def test_any_function_of_progress_is_a_schedule():
    sparse = gs.nn.sparsify(
        nn.Linear(3, 2), {"*": gs.L1(0.5)}, schedule=lambda t: 3 * t, total_steps=4
    )
    sparse.step()
    assert sparse.strength == 0.75


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_strength_that_makes_no_sense_is_refused(value):
    sparse = gs.nn.sparsify(
        nn.Linear(3, 2), {"*": gs.L1(0.5)}, schedule=lambda t: value, total_steps=4
    )
    with pytest.raises(ValueError, match="must be a finite number >= 0"):
        sparse.penalty()

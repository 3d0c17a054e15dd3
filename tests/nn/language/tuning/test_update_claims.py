"""What published methods of tuning claim, at the smallest scale; tables by benchmarks.language."""

import copy

import pytest

pytest.importorskip("transformers")

from benchmarks.language.reinforcement import learner, questions, reinforced, supervised

from gossamer.nn.language import fine_tune, update_sparsity

pytestmark = pytest.mark.slow


def test_reinforcement_changes_less_than_supervision_and_the_same_for_two_seeds():
    start = learner()

    def change(loss, seed, rows):
        model = copy.deepcopy(start)
        fine_tune(model, questions(seed, rows), steps=25, lr=1e-5, loss=loss, seed=seed)
        return update_sparsity(start, model)

    one, two = (change(reinforced, seed, 32) for seed in (1, 2))
    given = change(supervised, 1, 256)
    overlap = one.overlap(two)
    print(f"unchanged: reinforced {one.sparsity:.1%}, supervised {given.sparsity:.1%}")
    print(f"two seeds: {overlap.of_first:.1%} alike, by chance {overlap.chance_first:.1%}")
    assert one.sparsity > given.sparsity + 0.05
    assert overlap.of_first > overlap.chance_first + 0.05
    assert one.rank_share > 0.95

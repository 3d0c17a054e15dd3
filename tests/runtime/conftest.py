"""Products are chosen by typical speeds, so that no test measures or depends on the machine."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "0")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread, as claims about speed are made; other tests find it as it was."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

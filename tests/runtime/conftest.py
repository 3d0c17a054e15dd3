"""Products are chosen by typical speeds, so that no test measures or depends on the machine."""

import pytest


@pytest.fixture(autouse=True)
def uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "0")

"""One BLAS thread while solvers make many small products.

Threads of a BLAS wait for each other by spinning: on products of a working set's size they gain
little on a quiet machine, and on a busy one a fit can take twenty times as long. Folds of a
cross-validation are what runs in parallel.
"""

from __future__ import annotations

import threading
from functools import cached_property
from types import TracebackType
from typing import Any

from threadpoolctl import ThreadpoolController


class _OneBlasThread:
    """A context that several threads may be in: the first sets the limit, the last lifts it."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: Any = None

    @cached_property
    def _controller(self) -> ThreadpoolController:
        return ThreadpoolController()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


one_blas_thread = _OneBlasThread()

"""Two processes that talk through torch's gloo: started, met, and ended without a crash."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def spawn_two(work: Callable[..., None], *arguments: object) -> None:
    """Run ``work(rank, address, *arguments)`` in two processes, and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    torch.multiprocessing.spawn(work, (address, *arguments), nprocs=2)


@contextmanager
def one_of_two(rank: int, address: str) -> Iterator[None]:
    """What is within runs in one process of two, which then ends.

    It ends at once: gloo's threads, which outlive the group where a model still refers to it, may
    abort a process that takes its time to finalise Python. What is within has written its results.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    yield
    dist.barrier()
    os._exit(0)

"""Rows that never meet in one process: on the workers of a Dask cluster, or in batches."""

from gossamer.linear.distributed.cluster import connected, is_dask, map_tasks
from gossamer.linear.distributed.partitions import Partitions, Traffic

__all__ = ["Partitions", "Traffic", "connected", "is_dask", "map_tasks"]

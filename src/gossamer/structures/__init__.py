"""Structures: which coefficients live or die together. One file each."""

from gossamer.structures.elements import Elements
from gossamer.structures.groups import Groups
from gossamer.structures.rows import Rows

__all__ = ["Elements", "Groups", "Rows"]

from typing import Any, ClassVar

from benchmark_utils import PROBLEMS
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """Every problem of the registry, in full or in tiny size."""

    name = "problems"
    parameters: ClassVar = {"problem": list(PROBLEMS), "tiny": [False]}

    def get_data(self) -> dict[str, Any]:
        return {"problem": PROBLEMS[self.problem].build(self.tiny)}

"""A summary as JSON, for other programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.report import wording
from gossamer.report.summary import FitSummary


def write_plain(summary: FitSummary, path: str | Path) -> Path:
    """Write what a report says in numbers and sentences; NaN and infinity become null."""
    path = Path(path)
    text = json.dumps(plain(as_dict(summary)), ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def as_dict(s: FitSummary) -> dict[str, Any]:
    """The summary as nested plain data."""
    return {
        "title": s.title,
        "target": s.target,
        "headline": wording.headline(s),
        "samples": {"training": s.n_train, "test": s.n_test},
        "features": s.n_features,
        "loss": s.loss,
        "penalty": s.penalty,
        "classes": s.classes,
        "level": {
            "of": "features" if s.is_budget else "strength",
            "value": s.alphas[s.index_selected],
            "chosen by": wording.criterion(s),
        },
        "certificate": {k: v for k, v in s.certificate.items() if k != "support"},
        "metrics": {
            name: {"training": pair[0], "test": pair[1]} for name, pair in s.metrics.items()
        },
        "selected": [
            {
                "feature": s.feature_names[j],
                "coefficient": s.coef[j],
                "stability": None if s.stability is None else s.stability[j],
            }
            for j in s.selected
        ],
        "coefficients are per": s.feature_unit,
        "path": {
            "levels": s.alphas, "features": s.path_nonzero, "scores": s.cv_mean,
            "score": s.cv_score_name,
        },
        "inference": [
            {
                "method": f.method, "headline": f.headline, "promise": f.promise,
                "limits": f.limits, "selected": f.selected, "table": f.columns,
            }
            for f in s.findings
        ],
        "notes": s.notes,
        "command": s.command,
        "seed": s.seed,
        "versions": s.versions,
        "created": s.created,
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Nested plain data: arrays become lists, what is not finite null."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

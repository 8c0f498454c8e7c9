"""The value that a sweep compares its trials by, in the records of their runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml.errors import InputError
from sciml.train.log import read_metrics


@dataclass(frozen=True)
class Metric:
    """Which records of a run count: `valid.loss`, `train.loss`, `finetune/valid.accuracy`.

    Attributes:
        part: folder within the run's, whose metrics.jsonl is read.
        split: `valid` or `train`.
        name: key of the value.
    """

    part: str
    split: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Metric:
        """[PART/][SPLIT.]NAME; the split is `valid` if none is given."""
        part, _, rest = text.rpartition("/")
        split, dot, name = rest.partition(".")
        metric = cls(part, split, name) if dot else cls(part, "valid", rest)
        if not metric.name or ".." in Path(part).parts or part.startswith("/"):
            raise InputError(f"--metric {text!r} must be [FOLDER/][valid.|train.]NAME")
        return metric

    def __str__(self) -> str:
        return f"{self.part}/{self.split}.{self.name}".removeprefix("/")

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """The records of a run that hold it, in order; NaN stands for null, as which it is kept."""
        return [
            {**record, self.name: math.nan if record[self.name] is None else record[self.name]}
            for record in read_metrics(folder / self.part / "metrics.jsonl")
            if record.get("split") == self.split
            and isinstance(record.get(self.name, ""), int | float | None)
        ]

    @staticmethod
    def choices(folder: Path) -> list[str]:
        """All metrics that a run has recorded."""
        names: dict[str, None] = {}
        for path in sorted(folder.rglob("metrics.jsonl")):
            part = path.parent.relative_to(folder).as_posix()
            for record in read_metrics(path):
                for key, value in record.items():
                    if isinstance(value, float) and record.get("split"):
                        names[str(Metric("" if part == "." else part, record["split"], key))] = None
        return list(names)

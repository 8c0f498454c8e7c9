"""Tables in Markdown, for files beside the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def escape(value: Any) -> str:
    """Text escaped for Markdown, in one line."""
    # An underscore inside a word is none of Markdown's marks.
    return re.sub(r"([\\`*\[\]<&|~$]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(str(value).split()))


def table(heads: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table, ending in a line break. Cells are data: the rendered page shows the cell's own text.

    Raises:
        ValueError: a row has another number of cells than there are heads.
    """
    lines = [[escape(cell) for cell in row] for row in (heads, *rows)]
    for row in lines:
        if len(row) != len(heads):
            raise ValueError(f"a row of {len(row)} cells under {len(heads)} heads: {row}")
    lines.insert(1, ["---"] * len(heads))
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def of_records(records: Sequence[Mapping[str, Any]], form: str = ".3f") -> str:
    """A table with a column for every key; `form` formats floats, missing values are empty."""
    heads = list(dict.fromkeys(key for record in records for key in record))
    return table(heads, (
        [format(v, form) if isinstance(v := record.get(head, ""), float) else v for head in heads]
        for record in records
    ))  # fmt: skip

"""Tables in Markdown."""

from __future__ import annotations

import pytest

from sciml.report import markdown


def test_a_table_has_a_line_a_row_and_keeps_bars_inside_cells() -> None:
    text = markdown.table(["a", "b"], [[1, "x|y"], [2, ""]])
    assert text.splitlines() == ["| a | b |", "| --- | --- |", r"| 1 | x\|y |", "| 2 |  |"]


def test_records_with_different_keys_share_one_table() -> None:
    text = markdown.of_records([{"name": "u", "score": 0.25}, {"name": "v", "runs": 3}], ".2f")
    assert text.splitlines()[0] == "| name | score | runs |"
    assert text.splitlines()[2:] == ["| u | 0.25 |  |", "| v |  | 3 |"]


def test_a_row_that_does_not_fit_its_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells under 2 heads"):
        markdown.table(["a", "b"], [[1, 2, 3]])

"""Tables in Markdown."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def _shown(text: str) -> list[list[str]]:
    """The cells of a table as an independent Markdown parser shows them."""
    from markdown_it import MarkdownIt

    page = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    return [
        [html.unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        for row in rows
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text("ab_*`~[]()<>&|\\$#-+!x2^ .:/", min_size=1, max_size=30), min_size=2, max_size=4
    )
)
def test_a_cell_is_shown_as_it_is(cells: list[str]) -> None:
    expected = [" ".join(cell.split()) for cell in cells]
    text = markdown.table([f"h{i}" for i in range(len(cells))], [cells])
    assert _shown(text)[1] == expected


def test_the_check_of_shown_cells_can_fail() -> None:
    assert _shown("| a | b |\n| --- | --- |\n| x**2*y**2 | u |\n")[1][0] != "x**2*y**2"

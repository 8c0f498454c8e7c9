"""Rows that a recipe keeps as they come."""

from sciml.files.kept import Rows


def test_rows_are_kept_and_half_a_row_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert Rows(path).rows == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"', encoding="utf-8")
    assert Rows(path).rows == [{"a": 1}, {"a": 2}]
    with open(path, "a", encoding="utf-8") as file:
        print('{"a": 3}', file=file)
    assert [row["a"] for row in Rows(path).rows] == [1, 2, 3]

"""Rows that a recipe keeps as they come."""

from sciml.train.log import kept_rows


def test_rows_are_kept_and_half_a_row_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert kept_rows(path) == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"', encoding="utf-8")
    assert kept_rows(path) == [{"a": 1}, {"a": 2}]
    with open(path, "a", encoding="utf-8") as file:
        print('{"a": 3}', file=file)
    assert [row["a"] for row in kept_rows(path)] == [1, 2, 3]

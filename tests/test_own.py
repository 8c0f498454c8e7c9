"""Code of a user's own is found by import path and by file; a mistake is one clear line."""

import pytest

from sciml import objectives, own
from sciml.errors import InputError


def test_by_import_path_and_by_file(tmp_path):
    (tmp_path / "mine_a.py").write_text("WORD = 'a'\n")
    assert own.find("word", f"{tmp_path}/mine_a.py:WORD") == "a"
    assert own.find("function", "math:sqrt")(4) == 2


def test_two_files_of_one_name_are_kept_apart(tmp_path):
    for word in "ab":
        (tmp_path / word).mkdir()
        (tmp_path / word / "twin_of_own.py").write_text(f"WORD = {word!r}\n")
    words = [own.find("word", f"{tmp_path}/{word}/twin_of_own.py:WORD") for word in "aba"]
    assert words == ["a", "b", "a"]


def test_a_file_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "half_made.py").write_text("import not_there_at_all\n")
    for _ in range(2):
        with pytest.raises(InputError, match="not_there_at_all"):
            own.find("trunk", f"{tmp_path}/half_made.py:X")


@pytest.mark.parametrize("name", ["nothing.py:X", "not_there:X", "math:not_there", ":", "math:"])
def test_what_is_not_there(name):
    with pytest.raises(InputError, match="cannot import the objective"):
        own.find("objective", name)
    with pytest.raises(InputError, match="cannot import the objective"):
        objectives.find(name)

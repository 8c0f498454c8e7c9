"""Files appear whole or not at all."""

import os

import pytest

from sciml.errors import InputError
from sciml.paths import atomic_write, data_cards_dir, existing_file, keep_apart, tasks_dir


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a" / "x.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError):
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["x.txt"]


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        with atomic_write(tmp_path / "file" / "x"):
            pass


def test_missing_files_name_the_nearest(tmp_path):
    (tmp_path / "events.root").write_text("")
    with pytest.raises(InputError, match="Did you mean .*events.root"):
        existing_file(tmp_path / "event.root")
    with pytest.raises(InputError, match="is a folder"):
        existing_file(tmp_path)


def test_the_package_finds_what_it_carries():
    assert (tasks_dir() / "jet_tagging.py").exists()
    assert list(data_cards_dir().glob("*.md"))


def test_an_output_is_never_an_input(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("")
    (tmp_path / "link").symlink_to(path)
    keep_apart(tmp_path / "new", path, None, "name-of-a-model")
    keep_apart(None, path)
    for same in (path, tmp_path / "link", tmp_path / "." / "x.tsv"):
        with pytest.raises(InputError, match="would replace the input"):
            keep_apart(same, "other", path)


def test_a_failed_write_takes_the_folders_it_made(tmp_path):
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a" / "b" / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_names_as_long_as_the_system_allows(tmp_path):
    name = "\u00e9" * 120 + ".json"
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"
    with pytest.raises(InputError, match="cannot be written"):
        with atomic_write(tmp_path / ("x" * 300)):
            pass

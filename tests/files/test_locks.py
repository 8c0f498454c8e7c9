"""One process at a time in a folder; what the dead leave is nobody's."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sciml.errors import InputError
from sciml.files import locks
from sciml.files.locks import NAME, Owner, locked, locked_file, remove_leftovers, token

HOLD = """
import sys, time
from sciml.files import locks
with (locks.locked_file if sys.argv[2] == "file" else locks.locked)(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""
WRITE = """
import sys, time
from sciml.paths import atomic_write
with atomic_write(sys.argv[1]) as part:
    part.write_text("half")
    print(part.name, flush=True)
    time.sleep(60)
"""


def start(program: str, *arguments: object) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.fixture
def other(tmp_path):
    """A process that holds the folder `held`."""
    process, announced = start(HOLD, tmp_path / "held", "folder")
    assert announced == "locked"
    yield process
    process.kill()
    process.communicate()


def test_the_second_process_is_told_who_holds_it(tmp_path, other):
    held = tmp_path / "held"
    before = (held / NAME).read_bytes()
    with pytest.raises(InputError, match=f"in use by process {other.pid} on .* since 20"):
        with locked(held):
            pass
    assert (held / NAME).read_bytes() == before
    other.kill()  # not waited for: a dead process that nobody has buried is dead, too
    time.sleep(0.2)
    with locked(held):
        assert json.loads((held / NAME).read_text())["pid"] == os.getpid()
    assert not (held / NAME).exists()


def lock(folder: Path, owner: Owner) -> Path:
    folder.mkdir()
    (folder / NAME).write_text(json.dumps(asdict(owner)))
    return folder


def test_a_number_that_was_given_out_again_is_another_process(tmp_path, other):
    current = Owner.here()
    with locked(lock(tmp_path / "a", replace(current, pid=other.pid, start="1"))):
        pass
    with pytest.raises(InputError, match="in use"):  # the same process, still there
        with locked(lock(tmp_path / "b", current)):
            pass
    with locked(lock(tmp_path / "c", replace(current, pid=2**22 + 1))):  # no such process
        pass


def test_the_lock_of_another_host_is_respected(tmp_path):
    owner = replace(Owner.here(), host="elsewhere:12345678", pid=2**22 + 1)
    folder = lock(tmp_path / "run", owner)
    with pytest.raises(InputError, match=rf"on elsewhere .* delete '{folder / NAME}'"):
        with locked(folder):
            pass
    (folder / NAME).unlink()
    with locked(folder):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_cannot_be_read_is_respected(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(InputError, match="cannot be read.*delete"):
        with locked(tmp_path):
            pass
    assert (tmp_path / NAME).read_text() == content


def test_a_process_may_take_its_lock_again_and_leaves_no_trace(tmp_path):
    folder = tmp_path / "a" / "b"
    with locked(folder), locked(tmp_path / "a" / ".." / "a" / "b"):
        assert [p.name for p in folder.iterdir()] == [NAME]
    assert not (tmp_path / "a").exists()
    with locked(folder):
        (folder / "result").write_text("")
    assert [p.name for p in folder.iterdir()] == ["result"]


def test_the_first_of_a_group_holds_the_lock_for_all(tmp_path, other, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with locked(tmp_path / "held"):
        pass
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="in use"), locked(tmp_path / "held"):
        pass


def test_one_file_may_be_waited_for(tmp_path):
    process, _ = start(HOLD, tmp_path / "x.bin", "file")
    with locked_file(tmp_path / "y.bin"):
        pass
    with pytest.raises(InputError, match="x.bin: is in use"), locked_file(tmp_path / "x.bin"):
        pass
    os.kill(process.pid, 9)
    with locked_file(tmp_path / "x.bin", wait=True):
        pass
    process.communicate()
    assert not list(tmp_path.iterdir())


def test_half_written_files_of_the_living_and_of_strangers_stay(tmp_path):
    living, name = start(WRITE, tmp_path / "living.json")
    dead, old = start(WRITE, tmp_path / "dead.json")
    dead.kill()
    dead.communicate()
    here = token().split("-")
    strangers = [
        ".a.part", ".step-1.part.json", "x.part", f".a-00000000-{here[1]}-1-xyz.part.json",
        f".mine-{token()}-abc.part.bin",
    ]  # fmt: skip
    for stranger in strangers:
        (tmp_path / stranger).write_text("")
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert name in left and old not in left and set(strangers) < left
    living.kill()
    living.communicate()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(strangers)


def test_folders_that_cannot_be_made_are_input_errors(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / ("y" * 300)):
        with pytest.raises(InputError, match="cannot be written"), locked(folder):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_many_processes_take_over_a_dead_lock_one_at_a_time(tmp_path):
    """Ten race for the lock of a dead owner; no two are inside at once."""
    folder = lock(tmp_path / "run", replace(Owner.here(), pid=2**22 + 1))
    program = """
import sys, time
from pathlib import Path
from sciml.files import locks
with locks.locked(sys.argv[1], wait=True):
    inside = Path(sys.argv[1]) / "inside"
    inside.touch(exist_ok=False)
    time.sleep(0.02)
    inside.unlink()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, folder], stderr=subprocess.DEVNULL)
        for _ in range(10)
    ]
    assert [process.wait(60) for process in processes] == [0] * 10
    assert not list(folder.iterdir())
    assert locks._held == {}

"""Faults of the first hour are one line: what is wrong, and the next step."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import cli
from sciml.installation import explained
from sciml.train.log import Bar, console, time_left

ROOT = Path(__file__).resolve().parents[1]


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
        env={**os.environ, **env},
    )  # fmt: skip


def test_without_torch():
    """As after `pip install --no-deps`, or in another environment: its import fails."""
    done = run(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError('no torch', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from sciml.cli import main; sys.exit(main(['jets', 'tag', 'a.root', '-o', 'b.root']))"
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "'torch' is not installed" in done.stderr and "pip install torch" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libcudart.so.12: cannot open shared object file"), "does not load"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/out"), "/x/out: is not allowed"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "Read-only"),
        (RuntimeError("cannot cache function 'f': no locator available for file 'g.py'"),
         "NUMBA_CACHE_DIR"),
        (RuntimeError("CUDA error: no kernel image is available for execution"), "do not fit"),
        (RuntimeError("CUDA driver version is insufficient for CUDA"), "do not fit"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller batches"),
        (MemoryError(), "memory is full"),
    ],
)  # fmt: skip
def test_what_is_explained(error, words):
    line = str(explained(error))
    assert words in line and "\n" not in line


@pytest.mark.parametrize(
    "error",
    [RuntimeError("size mismatch"), ModuleNotFoundError("no x", name="x"),
     FileNotFoundError(2, "x"), ImportError("cannot import name 'a' from 'b'")],
)  # fmt: skip
def test_a_mistake_of_the_program_keeps_its_traceback(error, monkeypatch):
    def fail(arguments):
        raise error

    assert explained(error) is None
    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(type(error)):
        cli.main(["doctor"])


def test_an_old_python_is_told_so():
    """The first lines of the package are read by the oldest Python that starts it."""
    text = (ROOT / "sciml" / "__init__.py").read_text()
    head = text[: text.index("from importlib.metadata")].replace("sys.version_info", "(3, 9)")
    with pytest.raises(ImportError, match="needs Python 3.11 or newer"):
        exec(head, {})


def test_sciml_alone_shows_four_examples(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert sum(line.startswith("  sciml ") for line in out.splitlines()) == 4
    for command, _ in cli.EXAMPLES:
        words = command.split()
        assert words[1] in {**cli.general(), **cli.DOMAINS}
        if words[1] in cli.DOMAINS:
            assert words[2] in cli.of_domain(words[1])


def test_quiet_leaves_warnings_and_errors(monkeypatch, capsys):
    from sciml.files import kept

    def command(arguments):
        console.print("progress")
        kept.warn("something")
        return 0

    monkeypatch.setattr(cli, "_dispatch", command)
    assert cli.main(["demo", "--quiet"]) == 0
    assert capsys.readouterr().err == "warning: something\n"
    assert cli.main(["demo"]) == 0
    assert "progress" in capsys.readouterr().err
    assert not console.quiet


def test_no_color_and_no_terminal_mean_no_escape_sequences():
    code = "from sciml.cli import main; main(['doctor', '--help']); main(['nothing'])"
    for env in ({"NO_COLOR": "1"}, {}):
        done = run(code, **env)
        assert "\x1b" not in done.stdout + done.stderr


def test_time_left_is_told_without_a_terminal(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("sciml.train.log.time.monotonic", lambda: clock[0])
    with Bar("jets", 100) as bar:
        clock[0] = 31.0
        bar.update(25)
    assert "jets: 25/100, about 2 min left" in capsys.readouterr().err
    assert [time_left(s) for s in (0.2, 40, 170, 7900)] == ["1 s", "40 s", "3 min", "2 h 12 min"]

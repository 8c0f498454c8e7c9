"""Compressed files stand for no more than they can honestly hold."""

import bz2
import gzip
import lzma
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.files import unpack

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "plain": bytes,
}  # fmt: skip
ZEROS = 100 << 20


def bomb(path: Path, kind: str, line: bytes = b"0" * 63 + b"\n") -> Path:
    """100 MB in some 100 kB of gzip, 20 kB of xz, 100 bytes of bzip2."""
    text = line * (ZEROS // len(line))
    if kind == "xz":
        path.write_bytes(lzma.compress(text, preset=0))
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2}[kind].compress(text))
    return path


@pytest.mark.parametrize("kind", PACKERS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=5000))
def test_content_is_unpacked(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PACKERS[kind](b"line\n" + content))
    assert unpack.read_bytes(path) == b"line\n" + content
    with unpack.open_binary(path) as stream:
        assert stream.readline() == b"line\n"


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_several_streams_in_one_file_are_one(kind: str, tmp_path: Path) -> None:
    pack = PACKERS[kind]
    (tmp_path / "file").write_bytes(pack(b"one") + pack(b"") + pack(b"two" * 99_999))
    assert unpack.read_bytes(tmp_path / "file") == b"one" + b"two" * 99_999


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_cut_archive_is_one_line(kind: str, tmp_path: Path) -> None:
    archive = PACKERS[kind](bytes(range(256)) * 400)
    for size in (7, len(archive) // 2, len(archive) - 1):
        (tmp_path / "file").write_bytes(archive[:size])
        with pytest.raises(InputError, match="cannot be read"):
            unpack.read_bytes(tmp_path / "file")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_bomb_is_refused_in_little_memory(kind: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / "file", kind)
    tracemalloc.start()
    with pytest.raises(InputError, match="SCIML_UNPACK_LIMIT"):
        unpack.read_bytes(path)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_a_setting_raises_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / "file", "xz")

    def size() -> int:
        with unpack.open_binary(path) as stream:
            return sum(len(block) for block in iter(lambda: stream.read(1 << 20), b""))

    monkeypatch.setenv(unpack.SETTING, "1GiB")
    assert size() == ZEROS
    monkeypatch.setenv(unpack.SETTING, "99M")
    with pytest.raises(InputError, match="99 MB|100 MB"):
        size()
    monkeypatch.setenv(unpack.SETTING, "much")
    with pytest.raises(InputError, match="a number of bytes"):
        size()


def test_honest_repetition_is_read(tmp_path: Path) -> None:
    text = b"".join(b"node %d: 0.000 0.000\n" % i for i in range(4_000_000))
    assert len(text) > unpack.FLOOR
    (tmp_path / "file").write_bytes(gzip.compress(text, 6))
    assert unpack.read_bytes(tmp_path / "file") == text


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("x.a3m", "protein contacts {} -o out.tsv"),
        ("x.cif", "protein score {} {}"),
        ("x.pb.txt", "placement score {}"),
        ("x.def", "placement check {}"),
        ("x.aux", "placement score {}"),
        ("x.jsonl", "run symbolic_math --tiny --exclude {} --out out"),
    ],
)
def test_commands_refuse_bombs(name: str, command: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / f"{name}.gz", "gz", b">s\n" + b"A" * 600 + b"\n")
    words = command.format(path.name, path.name).split()
    done = subprocess.run(
        [sys.executable, "-m", "sciml", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-800:]
    assert unpack.SETTING in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

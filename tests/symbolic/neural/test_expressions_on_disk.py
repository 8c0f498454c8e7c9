"""The places of lines: the same lines as reading the file from the start, in memory or on disk."""

from pathlib import Path

import numpy as np
import pytest

from sciml.symbolic.neural import pretraining as pt


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize("memory", [0, 1 << 20])
@pytest.mark.parametrize("size", [50, 1 << 22])
def test_every_line_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, memory: int, size: int
) -> None:
    monkeypatch.setenv("SCIML_CACHE", str(tmp_path / "cache"))
    parts = pt._whole_lines
    monkeypatch.setattr(pt, "_whole_lines", lambda path: parts(path, size))
    rng = np.random.default_rng(0)
    lines = ["x + " + "1" * int(rng.integers(1, 60)) for _ in range(300)]
    written = []
    for line in lines:
        written += [line, *rng.choice(["", "  ", "\t"], int(rng.integers(0, 3)))]
    (tmp_path / "a.expr").write_text("\n".join(["", *written]) + ending)
    for _ in range(2):
        data = pt.Expressions(tmp_path / "a.expr", memory=memory)
        assert len(data) == 300
        assert [data.line(i) for i in range(300)] == lines
    with pytest.raises(IndexError):
        data[300]
    assert data[0][-1] == pt.vb.END


def test_an_empty_file_has_no_expression(tmp_path: Path) -> None:
    (tmp_path / "a.expr").write_text("\n  \n")
    assert len(pt.Expressions(tmp_path / "a.expr")) == 0

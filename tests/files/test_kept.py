"""JSON that a run reads back: what was changed is not taken for a result."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.files import kept

VALUES = {"name": "x", "score": 0.125, "rows": [1, {"a": None}], "text": "\u00e9\n"}


@given(
    st.dictionaries(
        st.text(max_size=4).filter(lambda key: key != kept.CHECK),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_what_is_sealed_comes_back(values):
    assert kept.unseal(kept.seal(values)) == values
    assert kept.unseal(kept.seal(values, indent=1).encode()) == values


def test_no_changed_byte_is_another_value():
    text = kept.seal(VALUES).encode()
    for at in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[at] ^= 1 << bit
            try:
                values = kept.unseal(bytes(changed))
            except ValueError:
                continue
            values = {key: values[key] for key in VALUES if key in values}
            assert values == VALUES, changed  # the name of the digest was hit


def test_what_version_0_1_wrote_is_taken_as_it_is():
    assert kept.unseal(json.dumps(VALUES)) == VALUES
    for text in ("[]", "3", "", "nul", b"\xff"):
        with pytest.raises(ValueError):
            kept.unseal(text)


def test_rows_go_on_and_damaged_ones_are_measured_again(tmp_path, capsys):
    path = tmp_path / "deep" / "rows.jsonl"
    rows = kept.Rows(path)
    assert rows.rows == [] and not path.parent.exists()
    for k in range(4):
        rows.add({"seed": k, "score": k / 8})
    assert kept.Rows(path).rows == rows.rows and rows.has({"seed": 3}) and not rows.has({"x": 1})
    text = path.read_text()
    path.write_text(text.replace("0.125", "0.625") + '{"seed": 9')
    again = kept.Rows(path)
    assert [row["seed"] for row in again.rows] == [0, 2, 3]
    assert "line 2 is damaged" in capsys.readouterr().err
    again.add({"seed": 1, "score": 0.125})
    assert [row["seed"] for row in kept.Rows(path).rows] == [0, 2, 3, 1]
    assert not capsys.readouterr().err


def test_what_can_be_made_again_is(tmp_path, capsys):
    made = []

    def make(path: Path) -> None:
        made.append(path.name)
        kept.write(path, VALUES)

    path = tmp_path / "x.json"
    assert kept.once(path, kept.read, make) == VALUES == kept.once(path, kept.read, make)
    assert made == ["x.json"] and not capsys.readouterr().err
    for damaged in (b"", path.read_bytes()[:-9], path.read_bytes().replace(b"0.125", b"0.126")):
        path.write_bytes(damaged)
        assert kept.once(path, kept.read, make) == VALUES
        assert "x.json is damaged" in capsys.readouterr().err.replace("\n", "")
    assert len(made) == 4


def test_finished_files_are_compared_with_their_digests(tmp_path, capsys):
    for name in ("a.pdb", "b.cif"):
        (tmp_path / name).write_text(name)
    files = kept.digests(tmp_path, tmp_path / "a.pdb", tmp_path / "b.cif")
    assert kept.intact(tmp_path, files)
    (tmp_path / "a.pdb").write_text("")
    assert not kept.intact(tmp_path, files)
    (tmp_path / "a.pdb").unlink()
    assert not kept.intact(tmp_path, files)
    assert "missing" in capsys.readouterr().err


def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(tmp_path):
    with open("/dev/full", "ab", buffering=0) as full:
        with pytest.raises(InputError, match="No space left.*ree disk space"):
            kept.append(full, "line")

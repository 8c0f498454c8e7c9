"""Alignments: counts, filters, weights, queries, and files of every format, good and bad."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.protein import Alignment, read_alignment
from sciml.protein.io.alignment_files import read_fasta
from sciml.protein.io.residues import GAP

CORPUS = Path(__file__).parents[2] / "corpus" / "protein"
GOOD = {
    "crlf.a3m": ["ACDEF", "AC-EF"],
    "old_mac.fasta": ["ACDEF", "AC-EF"],
    "bom.fasta": ["ACDEF"],
    "lower_case.fasta": ["ACDEF"],
    "odd_letters.a3m": ["ADECXXXX"],
    "dots.fasta": ["AC--EF", "ACDDEF"],
    "a2m.fasta": ["ACEF", "ACEF", "A-EF"],
    "insertions.a3m": ["ACDEF", "ACDE-", "ACDEF"],
    "rows.aln": ["ACDEF", "AC-EF"],
    "clustal.aln": ["ACDEF", "AC-EF"],
    "blocks.sto": ["ACDEF", "A-DEF"],
    "depth_one.a3m": ["ACDEFGHIKL"],
}
BAD = {
    "empty.a3m": "is empty",
    "only_comment.a3m": "is empty",
    "blank_lines.fasta": "is empty",
    "ragged.a3m": "has 3 columns, the first row has 5",
    "bad_letter.a3m": "holds '1', which is no residue",
    "binary.a3m": "binary",
    "cut_off.sto": "cut off",
    "broken.a3m.gz": "cannot be read",
    "header_only.fasta": "holds no sequences",
}


@pytest.mark.parametrize("name", GOOD)
def test_good_files(name: str) -> None:
    alignment = read_alignment(CORPUS / name)
    assert [alignment.row(i) for i in range(alignment.depth)] == GOOD[name]


@pytest.mark.parametrize("name", BAD)
def test_bad_files_give_one_line(name: str) -> None:
    with pytest.raises(InputError, match=BAD[name]) as caught:
        read_alignment(CORPUS / name)
    assert "\n" not in str(caught.value)


def test_insertions_become_deletion_counts() -> None:
    alignment = read_alignment(CORPUS / "insertions.a3m")
    assert alignment.deletions is not None
    assert alignment.deletions.tolist() == [[0] * 5, [0, 0, 2, 0, 0], [2, 0, 0, 0, 0]]


def test_dropped_columns_join_the_counts() -> None:
    alignment = Alignment.from_sequences(["A-CD", "AGgCD"], ["q", "r"]).with_query("q")
    assert [alignment.row(i) for i in range(2)] == ["ACD", "ACD"]
    assert alignment.deletions is not None
    assert alignment.deletions.tolist() == [[0, 0, 0], [0, 2, 0]]


def test_query_by_name_and_sequence() -> None:
    alignment = Alignment.from_sequences(["AC-E", "-CDE", "ACDE"], ["a x", "b", "c"])
    assert alignment.find("a") == 0 and alignment.find("CDE") == 1
    moved = alignment.with_query("CDE")
    assert moved.names == ["b", "a x", "c"] and moved.row(0) == "CDE"
    with pytest.raises(InputError, match="unknown query"):
        alignment.find("d")
    with pytest.raises(InputError, match="no residues"):
        read_alignment(CORPUS / "query_all_gaps.a3m").with_query(0)


@pytest.mark.parametrize("suffix", [".a3m", ".fasta", ".sto", ".aln", ".a3m.gz"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    alignment = Alignment.from_sequences(["ACDEF", "A-xxDEF", "--DEX"], ["q", "r", "s"])
    path = tmp_path / f"x{suffix}"
    alignment.write(path)
    again = read_alignment(path)
    assert np.array_equal(again.rows, alignment.rows)
    if "a3m" in suffix:
        assert again.deletions is not None and alignment.deletions is not None
        assert np.array_equal(again.deletions, alignment.deletions)
    if suffix.endswith("gz"):
        assert path.read_bytes()[:2] == b"\x1f\x8b"


def test_weights_against_the_definition() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, (60, 20)).astype(np.uint8)
    alignment = Alignment([str(i) for i in range(60)], rows)
    same = (rows[:, None] == rows[None]).mean(-1)
    for identity in (0.3, 0.5, 0.8):
        expected = 1 / (same >= identity - 1e-12).sum(1)
        assert np.allclose(alignment.weights(identity), expected)


def test_filters() -> None:
    query = "ACDEFGHIKL"
    alignment = Alignment.from_sequences(
        [query, query, "ACDEFGHIKV", "----------", "ACDEF-----", "WWWWWWWWWW"]
    )
    assert alignment.deduplicate().depth == 5
    assert alignment.filter(min_coverage=0.6).depth == 4
    assert alignment.filter(min_identity=0.5).depth == 4
    assert alignment.filter(max_identity=0.85, min_coverage=0.1).depth == 2
    assert alignment.filter(max_rows=2).depth == 2
    with pytest.raises(InputError, match="min_coverage"):
        alignment.filter(min_coverage=2)


def test_shuffling_keeps_the_profile_and_breaks_the_rows() -> None:
    rng = np.random.default_rng(1)
    rows = np.repeat(rng.integers(0, 20, (50, 1)), 8, 1).astype(np.uint8)
    alignment = Alignment([str(i) for i in range(50)], rows)
    shuffled = alignment.shuffled_columns(0)
    assert np.array_equal(np.sort(shuffled.rows, 0), np.sort(rows, 0))
    assert (shuffled.rows[:, 0] != shuffled.rows[:, 1]).mean() > 0.5


def test_unaligned_fasta() -> None:
    records = read_fasta(CORPUS / "two_words.fasta")
    assert [name for name, _ in records] == ["chain one", "../../evil"]
    with pytest.raises(InputError, match="is empty"):
        read_fasta(CORPUS / "header_only.fasta")


def test_a_stop_ends_a_sequence(tmp_path: Path) -> None:
    path = tmp_path / "x.fasta"
    path.write_text(">a\nMKVL*\n>b\nAC-D.E**\n")
    assert read_fasta(path) == [("a", "MKVL"), ("b", "ACDE")]
    path.write_text(">a\nMKVL*ACDE\n")
    with pytest.raises(InputError, match="goes on after a stop"):
        read_fasta(path)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), suffix=st.sampled_from([".a3m", ".fasta", ".sto", ".a3m.gz"]))
def test_random_bytes_never_crash(tmp_path_factory, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") and len(data) % 2 else data)
    try:
        assert read_alignment(path).rows.size
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="ACDEFGacdefg-.>\n\r# xq1|\t", max_size=150),
    suffix=st.sampled_from([".a3m", ".fasta", ".aln"]),
)
def test_near_alignments_never_crash(tmp_path_factory, text: str, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"near{suffix}"
    path.write_text(">q\n" + text)
    try:
        alignment = read_alignment(path, query=None)
        alignment.with_query(0).filter(max_identity=0.9)
    except InputError as error:
        assert "\n" not in str(error)


def test_effective_sequences_by_counting() -> None:
    """Neff as the sum of 1 / (rows at 80 % identity or more), gaps a state of their own."""
    rng = np.random.default_rng(6)
    rows = rng.integers(0, 22, (12, 40))[rng.integers(0, 12, 150)].astype(np.uint8)
    changed = rng.random(rows.shape) < rng.uniform(0, 0.4, (150, 1))
    rows[changed] = rng.integers(0, 22, int(changed.sum()))
    alike = (rows[:, None] == rows).mean(-1) >= 0.8 - 1e-9
    expected = (1 / alike.sum(1)).sum()
    assert 12 < expected < 149
    names = [str(k) for k in range(150)]
    assert Alignment(names, rows).neff() == pytest.approx(expected, rel=1e-6)


def test_real_files(shared: Path) -> None:
    folder = shared / "data/protein/esm_examples"
    alignment = read_alignment(folder / "hhblits_uniclust_2017_10_1xcr_1_A.a3m.gz")
    assert (alignment.depth, alignment.columns) == (251, 313)
    assert alignment.deletions is not None and alignment.deletions.sum() > 0


def test_effective_sequences_of_real_families(shared: Path) -> None:
    root = shared / "data/protein/pfam40"
    lines = [line.split("\t") for line in (root / "families.tsv").read_text().splitlines()]
    column = lines[0].index("neff80")
    for row in lines[1:4]:
        alignment = read_alignment(root / row[0] / "msa.fasta.gz")
        assert alignment.neff() == pytest.approx(float(row[column]), abs=1)


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 130])
def test_weights_and_filters_at_word_boundaries(columns: int) -> None:
    rng = np.random.default_rng(columns)
    rows = rng.integers(0, 22, (5, columns))[rng.integers(0, 5, 120)].astype(np.uint8)
    changed = rng.random(rows.shape) < rng.uniform(0, 0.4, (120, 1))
    rows[changed] = rng.integers(0, 22, int(changed.sum()))
    alignment = Alignment([str(k) for k in range(120)], rows)
    for identity in (0.5, 0.62, 0.8, 1.0):
        needed = np.ceil(identity * columns - 1e-9)
        counts = ((rows[:, None] == rows[None]).sum(-1) >= needed).sum(1)
        assert np.array_equal(np.rint(1 / alignment.weights(identity)), counts)
    size = (rows != GAP).sum(1)
    size[0] = columns + 1
    kept: list[int] = []
    for i in np.argsort(-size, kind="stable"):
        both = (rows[i] != GAP) & (rows[kept] != GAP)
        same = ((rows[i] == rows[kept]) & both).sum(1)
        if not ((both.sum(1) > 0) & (same > 0.7 * both.sum(1))).any():
            kept.append(int(i))
    assert alignment.filter(max_identity=0.7).names == [str(i) for i in sorted(kept)]


@pytest.mark.slow
def test_a_large_alignment_takes_little_more_than_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util
    import subprocess
    import sys

    script = Path(__file__).parents[3] / "benchmarks" / "protein_alignments.py"
    specification = importlib.util.spec_from_file_location("protein_alignments", script)
    assert specification is not None and specification.loader is not None
    monkeypatch.syspath_prepend(script.parent)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    path = tmp_path / "made.a3m"
    module.make(path, 100_000)
    done = subprocess.run(
        [sys.executable, str(script), "--one", str(path)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["rows"] == 100_000 and measured["weighted_rows"] == 16_384
    # One byte a cell and two of a deletion count; dropping rows copies both once.
    cells = 100_000 * module.COLUMNS / 2**30
    assert measured["peak_gib"] - measured["loaded_gib"] < 8 * cells + 0.15
    assert measured["cpu_s"] < 60

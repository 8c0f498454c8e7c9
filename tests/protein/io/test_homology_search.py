"""Search against HMMER's own iteration: hits, E-values, scores and alignments."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein import read_alignment
from sciml.protein.io import homology_search

pyhmmer = pytest.importorskip("pyhmmer")
LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
ALPHABET = pyhmmer.easel.Alphabet.amino()  # pyhmmer's alignments need it as long as they live


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def jackhmmer(query: str, block: Any, iterations: int) -> tuple[list[Any], Any]:
    """HMMER's loop as pyhmmer runs it: the included hits and the last alignment."""
    digital = pyhmmer.easel.TextSequence(name=b"query", sequence=query).digitize(ALPHABET)
    last = next(
        iter(
            pyhmmer.hmmer.jackhmmer(
                digital, block, max_iterations=iterations, cpus=1, incE=1e-3, E=1e-3
            )
        )
    )
    return [hit for hit in last.hits if hit.included], last


def compare(query: str, database: Path, iterations: int) -> int:
    block = homology_search.read_database(database)
    config = homology_search.SearchConfig(iterations, 1e-3, 100_000, 2)
    result = homology_search.search(query, block, config)
    expected, last = jackhmmer(query, block, iterations)
    assert {name: (e, s) for name, e, s in result.hits} == {
        text(hit.name): (hit.evalue, hit.score) for hit in expected
    }
    assert result.converged == last.converged
    rows = last.msa.textize()
    plain = {text(n): str(r).upper() for n, r in zip(rows.names, rows.alignment, strict=True)}
    here = [k for k, letter in enumerate(plain["query"]) if letter not in "-."]
    for number, label in enumerate(result.alignment.names):
        assert result.alignment.row(number) == "".join(plain[label][k] for k in here)
    return len(result.hits)


def family(tmp_path: Path) -> tuple[str, Path]:
    """A query, and a database of its relatives and others."""
    rng = np.random.default_rng(0)
    query = "".join(rng.choice(LETTERS, 70))
    generations = [query]
    for _ in range(50):  # relatives of relatives, so that later rounds find more
        parent = generations[int(rng.integers(len(generations)))]
        row = [c if rng.random() < 0.6 else str(rng.choice(LETTERS)) for c in parent]
        cut = int(rng.integers(10, 60))
        generations.append("".join(row[:cut]) + "G" * int(rng.integers(0, 4)) + "".join(row[cut:]))
    others = ["".join(rng.choice(LETTERS, 90)) for _ in range(150)]
    database = tmp_path / "db.fasta"
    database.write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(generations + others)))
    return query, database


def test_three_rounds_equal_those_of_jackhmmer(tmp_path: Path) -> None:
    query, database = family(tmp_path)
    counts = [compare(query, database, iterations) for iterations in (1, 2, 3)]
    assert 5 < counts[0] < counts[1] <= counts[2] <= 60


def test_two_rounds_equal_those_of_the_program(tmp_path: Path) -> None:
    """HMMER's own jackhmmer: the same hits, E-values, scores and aligned rows."""
    if not shutil.which("jackhmmer"):
        pytest.skip("the program jackhmmer is not installed (Debian: apt-get install hmmer)")
    query, database = family(tmp_path)
    (tmp_path / "q.fasta").write_text(f">query\n{query}\n")
    table, rows = tmp_path / "hits.txt", tmp_path / "rows.sto"
    subprocess.run(
        ["jackhmmer", "-N", "2", "-E", "1e-3", "--incE", "1e-3", "--cpu", "1", "--noali",
         "--tblout", table, "-A", rows, "-o", "/dev/null", tmp_path / "q.fasta", database],
        check=True,
    )  # fmt: skip
    words = [line.split() for line in table.read_text().splitlines() if line[0] != "#"]
    expected = {word[0]: (float(word[4]), float(word[5])) for word in words}
    result = homology_search.search(
        query, database, homology_search.SearchConfig(2, 1e-3, 100_000, 1)
    )
    assert {name for name, _, _ in result.hits} == set(expected) and len(expected) > 10
    for name, evalue, score in result.hits:  # the table has two digits of the one, one of the other
        assert evalue == pytest.approx(expected[name][0], rel=0.06)
        assert score == pytest.approx(expected[name][1], abs=0.051)
    theirs = read_alignment(rows, query="query")
    aligned = {name: theirs.row(k) for k, name in enumerate(theirs.names)}
    for k, name in enumerate(result.alignment.names):
        assert result.alignment.row(k) == aligned[name], name


def test_nothing_found_is_the_query_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    database = tmp_path / "db.fasta"
    database.write_text(">a\n" + "".join(rng.choice(LETTERS, 60)) + "\n")
    query = "".join(rng.choice(LETTERS, 60))
    result = homology_search.search(query, database)
    assert result.hits == [] and result.converged
    assert result.alignment.depth == 1 and result.alignment.row(0) == query


def test_bad_queries_and_databases(tmp_path: Path) -> None:
    database = tmp_path / "db.fasta"
    database.write_text(">a\nACDEFG\n")
    with pytest.raises(InputError, match="no residue"):
        homology_search.search("AC1DE", database)
    (tmp_path / "bad.fasta").write_text(">a\nAC1DE\n")
    with pytest.raises(InputError, match="no residue"):
        homology_search.read_database(tmp_path / "bad.fasta")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1a3a_1_A", "1xcr_1_A"])
def test_real_sequences(name: str, shared: Path, tmp_path: Path) -> None:
    alignment = read_alignment(shared / "data/protein/esm_examples" / f"{name}.a3m.gz")
    database = tmp_path / "db.fasta"
    lines = [f">s{i}\n{alignment.sequence(i)}\n" for i in range(alignment.depth)]
    database.write_text("".join(lines))
    assert compare(alignment.sequence(0), database, 2) > 50

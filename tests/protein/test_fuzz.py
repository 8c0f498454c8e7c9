"""Thousands of damaged files: each ends in a result or a one-line error."""

import io
from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein import read_alignment
from sciml.protein.structure import read_chains

CORPUS = Path(__file__).parents[1] / "corpus" / "protein"


def damaged(rng: np.random.Generator, raw: bytes) -> bytes:
    """Bytes changed, doubled, dropped and cut at random."""
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 10))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        kind = rng.integers(4)
        if kind == 0:
            data[at] = int(rng.integers(1, 256))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 30))]
        elif kind == 2:
            data[at:at] = data[at : at + int(rng.integers(1, 80))]
        else:
            data = data[: max(1, at)] if rng.random() < 0.3 else data
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("suffixes", [(".a3m", ".fasta", ".sto", ".aln"), (".pdb", ".cif")])
def test_a_thousand_damaged_files_of_each_kind(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    seeds = [p.read_bytes() for p in sorted(CORPUS.iterdir()) if p.suffix in suffixes]
    if ".cif" in suffixes:
        from sciml.protein.residues import ATOM37_MASK
        from sciml.protein.structure import write_structure

        types = np.arange(5)
        whole = tmp_path / "whole.cif"
        write_structure(whole, types, rng.normal(size=(5, 37, 3)), ATOM37_MASK[types])
        seeds += [whole.read_bytes()] * 10
    read = read_chains if ".pdb" in suffixes else read_alignment
    results = faults = 0
    for number in range(1200):
        path = tmp_path / f"x{suffixes[number % len(suffixes)]}"
        path.write_bytes(damaged(rng, seeds[int(rng.integers(len(seeds)))]))
        try:
            read(path)
            results += 1
        except InputError as error:
            faults += 1
            assert len(io.StringIO(str(error)).readlines()) == 1
    assert results + faults == 1200 and results > 50 and faults > 50

"""Thousands of damaged files: each ends in a result that can be worked with or a one-line error."""

import gzip
import io
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein import read_alignment
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.features import features
from sciml.protein.alphafold.hhsearch import read_hhr
from sciml.protein.alphafold.templates import from_chain
from sciml.protein.contacts.features import contact_features
from sciml.protein.io.residues import ATOM37_MASK
from sciml.protein.io.structure import read_chains
from sciml.protein.io.structure_writing import write_structure
from sciml.protein.measure.score import score_chains

CORPUS = Path(__file__).parents[1] / "corpus" / "protein"
ALIGNMENTS, STRUCTURES = (".a3m", ".fasta", ".sto", ".aln"), (".pdb", ".cif")
FILES = 1300


def damaged(rng: np.random.Generator, raw: bytes) -> bytes:
    """Bytes changed, doubled, dropped and cut at random; now and then the rest gzipped."""
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 10))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        kind = rng.integers(6)
        if kind == 0:
            data[at] = int(rng.integers(1, 256))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 30))]
        elif kind == 2:
            data[at:at] = data[at : at + int(rng.integers(1, 80))]
        elif kind == 3:
            data = data[: max(1, at)] if rng.random() < 0.3 else data
        elif kind == 4:  # a number or word where another was
            data[at : at + 8] = [b"99999999", b"-1e308  ", b"nan     ", b">       "][
                int(rng.integers(4))
            ]
        else:  # two lines change places
            lines = bytes(data).split(b"\n")
            one, other = rng.integers(len(lines), size=2)
            lines[one], lines[other] = lines[other], lines[one]
            data = bytearray(b"\n".join(lines))
    if rng.random() < 0.1:
        packed = gzip.compress(bytes(data), 1)
        return packed[: int(rng.integers(1, len(packed) + 1))] if rng.random() < 0.5 else packed
    return bytes(data)


def alignments(path: Path) -> None:
    """Read an alignment and make what both networks take."""
    msa = read_alignment(path)
    made = features(msa, FeatureConfig(clusters=3, extra=3))
    assert all(np.isfinite(value).all() for value in made.values())
    if msa.columns < 40:
        columns = contact_features(msa)
        assert np.isfinite(columns.pairs).all() and np.isfinite(columns.nodes).all()


def structures(path: Path) -> None:
    """Read chains, score each against itself, lay it onto its own sequence, write it again."""
    for chain in read_chains(path):
        known = np.isfinite(chain.points()).all(1)
        if known.sum() >= 3:
            assert score_chains(chain, chain)["residues"] == len(chain)
        from_chain(chain, chain.sequence)
        again = path.with_name("again.cif")
        write_structure(again, chain.types, chain.atoms, chain.mask, chain.bfactors)
        assert len(read_chains(again)[0]) >= 1


def seeds(tmp_path: Path, suffixes: tuple[str, ...]) -> list[bytes]:
    """The corpus, and whole files of a few dozen residues or rows."""
    contents = [p.read_bytes() for p in sorted(CORPUS.iterdir()) if p.suffix in suffixes]
    rng = np.random.default_rng(1)
    if suffixes == STRUCTURES:
        for suffix in suffixes:
            types = rng.integers(0, 20, 24)
            atoms = np.cumsum(rng.normal(0, 2, (24, 1, 3)), 0) + rng.normal(size=(24, 37, 3))
            write_structure(tmp_path / f"whole{suffix}", types, atoms, ATOM37_MASK[types])
            contents += [(tmp_path / f"whole{suffix}").read_bytes()] * 8
        return contents
    for suffix in suffixes:
        rows = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY-"), 30)) for _ in range(12)]
        path = tmp_path / f"whole{suffix}"
        from sciml.protein import Alignment

        Alignment.from_sequences(rows).write(path)
        contents += [path.read_bytes()] * 5
    return contents


@pytest.mark.slow
@pytest.mark.parametrize(("suffixes", "use"), [(ALIGNMENTS, alignments), (STRUCTURES, structures)])
def test_more_than_a_thousand_damaged_files_of_each_kind(
    tmp_path: Path, suffixes: tuple[str, ...], use: Any
) -> None:
    rng = np.random.default_rng(0)
    whole = seeds(tmp_path, suffixes)
    use_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = faults = 0
    for number in range(FILES):
        path = tmp_path / f"x{suffixes[number % len(suffixes)]}"
        path.write_bytes(damaged(rng, whole[int(rng.integers(len(whole)))]))
        began = time.process_time()
        try:
            use(path)
            results += 1
        except InputError as error:
            faults += 1
            assert len(io.StringIO(str(error)).readlines()) == 1
        assert time.process_time() - began < 10, path.read_bytes()[:300]
    assert results + faults == FILES and results > 100 and faults > 100
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - use_before
    assert grown < 1 << 20, f"{grown >> 10} MiB more memory"


def test_damaged_hhsearch_results(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    whole = (
        b"Query q\n\nNo 1\n>1ABC_B x\nProbab=99 Sum_probs=20.0\n"
        b"Q q 5 AAGTREWQHNDCF-SPILKEEA 26 (26)\nT 1ABC_B 1 AAGTREWQW-DCFYSPILKEEA 22 (22)\n"
    )
    results = faults = 0
    for _ in range(300):
        path = tmp_path / "x.hhr"
        path.write_bytes(damaged(rng, whole))
        try:
            read_hhr(path)
            results += 1
        except InputError as error:
            faults += 1
            assert len(io.StringIO(str(error)).readlines()) == 1
    assert results > 30 and faults > 30

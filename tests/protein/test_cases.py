"""Files that people bring: made ones, and those of ../shared/cases/protein where at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein import read_alignment
from sciml.protein.alphafold.hhsearch import read_hhr
from sciml.protein.contacts.windows import starts
from sciml.protein.io.alignment_files import read_fasta
from sciml.protein.io.complexes import read_complexes
from sciml.protein.io.query_forms import ComplexError
from sciml.protein.io.structure import read_chain, read_chains


@pytest.fixture(scope="module")
def cases(
    origin: str,
    request: pytest.FixtureRequest,
    fixture_file: Callable[[str], Path],
    fixture_script: Callable,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    if origin == "shared":
        return request.getfixturevalue("shared") / "cases/protein"
    folder = tmp_path_factory.mktemp("cases")
    script = fixture_script("protein_files")
    script.write(folder)
    script.damaged_parameters(folder, fixture_file("protein/plain/params.npz"))
    return folder


def rows(path: Path) -> list[str]:
    alignment = read_alignment(path)
    return [alignment.row(i) for i in range(alignment.depth)]


COMPLEXES = {
    "p1_complex.a3m": [["MKVL", "ACD"]],
    "colon.fasta": [["MKVLAAGIVGLLLAQWERTY"] * 2],
    "p4_colon_wrap.fasta": [["MKVLAAGREIREH", "PSKTSNMKVLAAG"]],
    "nul.a3m": [["MKVL", "ACDE"]],
    "input.csv": [["YYDPETGTWY"], ["MRILPIST", "MPYTVRFT"]],
}


@pytest.mark.parametrize("name", COMPLEXES)
def test_complexes(
    cases: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [alignment.sequences for alignment in read_complexes(cases / name)] == COMPLEXES[name]
    for read in (read_alignment, read_fasta):
        with pytest.raises(ComplexError, match="2 chains"):
            read(cases / name)
    for command in (["fold", "-o", "out"], ["contacts", "-o", "out.tsv"]):
        parts = ["protein", command[0], str(cases / name), "-o", str(tmp_path / command[2])]
        assert main(parts) == 2 and "complex of 2 chains" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_paired_and_unpaired_rows(cases: Path) -> None:
    (complex_,) = read_complexes(cases / "p1_complex.a3m")
    one, other = complex_.chains
    assert one.paired is not None and other.paired is not None
    assert one.paired.depth == other.paired.depth == 2
    assert one.unpaired.names == ["101", "x"] and other.unpaired.names == ["102", "y"]


def test_alignments(cases: Path) -> None:
    assert rows(cases / "semi.a3m") == ["MKVLAAGIVG", "MKVLAAG-VG"]
    assert rows(cases / "a3m_hash.a3m") == ["MKVLAAGIVGLLLA", "MKVLAAG-VGLLLA"]
    assert rows(cases / "p9_not_query_first.sto") == ["MK-VLAAG", "MKAVLAAG", "MRAVLSAG"]
    alignment = read_alignment(cases / "p9_not_query_first.sto", query="query")
    assert alignment.row(0) == "MKAVLAAG" and alignment.columns == 8
    assert rows(cases / "lower.fasta") == ["MKVLAAGIVGCXXDEX"]
    assert starts(read_alignment(cases / "wide.a3m").columns)[-1] == 1200
    with pytest.raises(InputError, match="an HHsearch result"):
        read_alignment(cases / "sum_probs.hhr")
    with pytest.raises(InputError, match="1HF9_B: has Sum_probs=1.2.3 where a number"):
        read_hhr(cases / "sum_probs.hhr")


def test_structures(cases: Path) -> None:
    assert read_chain(cases / "p7_css.cif").sequence == "MCL"
    assert read_chain(cases / "mods.cif").sequence == "STYCKKKEPCCKKYCCHHSM"
    odd = read_chain(cases / "p5_icode.pdb")
    assert odd.sequence == "SSGXX" and odd.numbers == ["100", "100A", "99", "101", "-5"]
    assert read_chain(cases / "hybrid36.pdb").numbers == ["9999", "10000", "10001"]
    author = read_chain(cases / "p8_auth.cif")
    assert author.numbers == ["94", "95", "96", "97", "98"] and author.labels == [1, 2, 3, 4, 5]
    seen = read_chain(cases / "unobserved.cif")
    assert seen.sequence == "GSK" and seen.labels == [3, 4, 6]
    for name in ("p7_css.cif", "mods.cif", "p5_icode.pdb", "hybrid36.pdb", "unobserved.cif"):
        assert len(read_chains(cases / name)) == 1
        assert np.isfinite(read_chain(cases / name).points()).all()


@pytest.mark.parametrize("name", ["0d.npz", "empty.npz", "shape.pt", "heads0.pt", "blocks_1e9.pt"])
def test_damaged_parameters(
    cases: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta, out = tmp_path / "x.fasta", tmp_path / "out"
    fasta.write_text(">a\nMKVLAAGTRE\n")
    parts = ["protein", "fold", str(fasta), "-o", str(out), "--params", str(cases / name)]
    assert main(parts) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("sciml: error: ") and not out.exists()

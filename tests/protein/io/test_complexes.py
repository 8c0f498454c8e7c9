"""Complexes in every form: read into their chains, or refused in one line; never fused."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein import Alignment, ContactPredictor, read_alignment
from sciml.protein.contacts.families import read_families
from sciml.protein.contacts.pretraining import read_alignments
from sciml.protein.io.alignment_files import read_fasta
from sciml.protein.io.complexes import Complex, read_complex, read_complexes
from sciml.protein.io.query_forms import ComplexError, parse_header
from sciml.protein.io.residues import ATOM37_MASK
from sciml.protein.io.structure_writing import write_structure

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
DIMER = (
    "#4,3\t1,1\n>101\t102\nMKVLACD\n>U1\tU2\nMKILACE\n>101\nMKVL---\n>x\nMRVL---\n>102\n----ACD\n"
)


def rows_of(alignment: Alignment | None) -> list[str]:
    return [] if alignment is None else [alignment.row(i) for i in range(alignment.depth)]


def written(path: Path, text: str, **how: Any) -> Path:
    """Text with the line ends and packing asked for."""
    raw = text.replace("\n", how.get("end", "\n")).encode()
    raw = how.get("before", b"") + raw
    path.write_bytes(gzip.compress(raw) if how.get("packed") else raw)
    return path


def test_paired_and_unpaired_rows_of_each_chain(tmp_path: Path) -> None:
    complex_ = read_complex(written(tmp_path / "x.a3m", DIMER + ">y\n----SCD\n"))
    assert complex_.name == "x" and complex_.sequences == ["MKVL", "ACD"]
    one, other = complex_.chains
    assert rows_of(one.unpaired) == ["MKVL", "MRVL"] and rows_of(other.unpaired) == ["ACD", "SCD"]
    assert rows_of(one.paired) == ["MKVL", "MKIL"] and rows_of(other.paired) == ["ACD", "ACE"]
    assert one.paired is not None and one.paired.names == ["101", "U1"]


def test_insertions_stay_with_their_chain(tmp_path: Path) -> None:
    text = "#4,3\t1,1\n>101\t102\nMKVLACD\n>U1\tU2\nMKxxVLACyD\n"
    one, other = read_complex(written(tmp_path / "x.a3m", text)).chains
    assert one.paired is not None and one.paired.deletions is not None
    assert other.paired is not None and other.paired.deletions is not None
    assert one.paired.deletions[1].tolist() == [0, 0, 2, 0]
    assert other.paired.deletions[1].tolist() == [0, 0, 1]


REFUSED = {
    "header.a3m": (DIMER, 2),
    "spaces.a3m": (DIMER.replace("4,3\t1,1", "4, 3  1, 1"), 2),
    "later.a3m": ("# made by hand\n;\n\n" + DIMER, 2),
    "copies.a3m": ("#4\t2\n>101\nMKVL\n", 2),
    "many.a3m": ("#4,3\t2,3\n>101\t102\nMKVLACD\n", 5),
    "rows_only.aln": ("#4,3\t1,1\nMKVLACD\n", 2),
    "lengths.a3m": ("#4,3\n>q\nMKVLACD\n", 2),
    "no_header.a3m": (DIMER.split("\n", 1)[1], 2),
    "no_pairs.a3m": (">101\nMKVL---\n>x\nMRVL---\n>102\n----ACD\n", 2),
    "three.a3m": (">101\nMKVL-----\n>102\n----ACD--\n>103\n-------WW\n", 3),
    "own_names.a3m": (">P1\tP1\nMKVLACD\n>P1\nMKVL---\n>x\nMRVL---\n>P2\n----ACD\n", 2),
    "joined.a3m": ("#4\t1\n>101\nMKVL\n#3\t1\n>102\nACD\n", 2),
    "nul.a3m": (">101\nMKVL\n>h\nMRVL\n\0>102\nACDE\n\0", 2),
    "nul_inside.a3m": (">101\nMKVL\0>102\nACDE", 2),
    "colon.fasta": (">c\nMKVL:ACD\n", 2),
    "wrapped.fasta": (">c\nMKVL:\nACD\n", 2),
    "own_line.fasta": (">c\nMKVL\n:\nACD\n", 2),
    "slash.fasta": (">c\nMKVL/ACD/WW\n", 3),
    "ends.fasta": (">c\nMKVL:\n", 2),
    "second.fasta": (">a\nMKVL\n>c\nMKVL:ACD\n", 2),
    "rows.sto": ("# STOCKHOLM 1.0\nq MKVL:ACD\n//\n", 2),
    "table.csv": ("id,sequence\na,MKVL\nb,MKVL:ACD\n", 2),
    "excel.csv": ("\ufeffid;sequence\r\nb;MKVL:ACD:WW\r\n", 3),
    "job.json": (
        json.dumps(
            {"name": "j", "sequences": [{"protein": {"id": ["A", "B"], "sequence": "MKVL"}}]}
        ),
        2,
    ),
    "server.json": (
        json.dumps(
            [
                {
                    "name": "j",
                    "sequences": [
                        {"proteinChain": {"sequence": "MKVL", "count": 2}},
                        {"ion": {"ion": "MG", "count": 1}},
                    ],
                }
            ]
        ),
        3,
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_complexes_are_refused_with_their_number_of_chains(
    tmp_path: Path, name: str, packed: bool
) -> None:
    text, chains = REFUSED[name]
    path = written(tmp_path / f"{name}.gz" if packed else tmp_path / name, text, packed=packed)
    readers = [read_alignment] if Path(name).suffix in (".a3m", ".aln", ".sto") else [read_fasta]
    for read in readers:
        with pytest.raises(ComplexError, match=f"is a complex of {chains} chains") as caught:
            read(path)
        assert "\n" not in str(caught.value) and caught.value.chains == chains
        assert "ingle chains can be given" in str(caught.value)


ONE = {
    "monomer.a3m": "#4\t1\n>101\nMKVL\n>x\nMR-L\n",
    "comment.a3m": "# 5 2\n#A3M#\n# 3,000 rows\n>101\nMKVL\n>x\nMR-L\n",
    "block.a3m": ">101\nMKVL\n>x\nMR-L\n\0",
    "block_ends_later.a3m": ">101\nMKVL\n>x\nMR-L\0\n\n",
    "semicolons.a3m": ";\n; made by hand\n>101\nMKVL\n\n>x\nMR-L\n",
    "columns.a3m": ">101\t187\t0.44\t1.1E-50\nMKVL\n>x\t102\t0.2\nMR-L\n",
    "fragments.a3m": "#4\t1\n>q\tx\nMKVL\n>x\nMR-L\n",
    "structure_rows.a3m": ">ss_pred x\nCHHC\n>ss_conf\n9879\n>101\nMKVL\n>x\nMR-L\n",
    "numbered.a3m": ">101\nMKVL\n>102\nMR-L\n",
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_chain_is_read(tmp_path: Path, name: str, end: str) -> None:
    alignment = read_alignment(written(tmp_path / name, ONE[name], end=end, before=b"\xef\xbb\xbf"))
    assert rows_of(alignment) == ["MKVL", "MR-L"]


def test_headers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for text, message in (
        ("#5\t1\n>101\nMKVL\n", "header of a chain of 5 residues, its rows have 4"),
        ("#4,3\t1\n>101\nMKVLACD\n", "2 lengths and 1 numbers of copies"),
        ("#4,0\t1,1\n>101\nMKVL\n", "all of which must be above 0"),
        ("#4\t99999999999999999999\n>101\nMKVL\n", "of 999999999 chains"),
    ):
        with pytest.raises(InputError, match=message):
            read_alignment(written(tmp_path / "x.a3m", text))
    ragged = "#4,3\t1,1\n>101\nMKVL\n>x\nMRVL\n>102\nACD\n"
    with pytest.raises(InputError, match="has 3 columns, the first row has 4"):
        read_complexes(written(tmp_path / "x.a3m", ragged))
    half = "#4,3\t1,1\n>101\nMKVL---\n>x\n--VLACD\n>102\n----A-D\n"
    read_complexes(written(tmp_path / "x.a3m", half))
    with pytest.raises(InputError, match="no row gives chain 2 in full"):
        read_complexes(written(tmp_path / "x.a3m", half.replace("--VLACD", "--VL---")))
    assert parse_header(b"# STOCKHOLM 1.0") is None


def test_tables_and_jobs_of_single_chains(tmp_path: Path) -> None:
    table = "Name\tSequence\none\tMKVL\n\ntwo\tACDE\n"
    assert read_fasta(written(tmp_path / "x.tsv", table)) == [("one", "MKVL"), ("two", "ACDE")]
    assert rows_of(read_alignment(written(tmp_path / "y.csv", "id,sequence\na,MKVL\n"))) == ["MKVL"]
    with pytest.raises(InputError, match="holds 2 sequences, not an alignment"):
        read_alignment(tmp_path / "x.tsv")
    job: dict[str, Any] = {"name": "j", "sequences": [{"protein": {"id": "A", "sequence": "MKVL"}}]}
    assert read_fasta(written(tmp_path / "x.json", json.dumps(job))) == [("j", "MKVL")]
    job["sequences"][0]["protein"]["modifications"] = [{"ptmType": "SEP", "ptmPosition": 1}]
    for text, message in (
        (json.dumps(job), "'modifications', which is not supported"),
        ('{"sequences": [{"ligand": {"id": "L", "ccdCodes": ["ATP"]}}]}', "has no protein"),
        ('{"sequences": 3}', "no AlphaFold 3 job"),
        ("[" * 100_000, "no readable JSON"),
        ('{"sequences": [{"protein": {"sequence": "MK", "count": "9"}}]}', "of 9 copies"),
    ):
        with pytest.raises(InputError, match=message):
            read_fasta(written(tmp_path / "x.json", text))
    with pytest.raises(InputError, match="row 1 .'a'. has no sequence"):
        read_fasta(written(tmp_path / "z.csv", "id,sequence\na,\n"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Query         q\nMatch_columns 4\n", "an HHsearch result"),
        ("HMMER3/f [3.3]\nNAME x\n", "a profile"),
        ("data_1ABC\n#\nloop_\n", "a structure"),
        ("ATOM      1  CA  ALA A   1       0.000   0.000   0.000\n", "a structure"),
        ("<!DOCTYPE html>\n", "a web page"),
    ],
)
def test_other_files_are_named(tmp_path: Path, text: str, what: str) -> None:
    for read in (read_alignment, read_fasta):
        with pytest.raises(InputError, match=f"is {what}.*, not an alignment"):
            read(written(tmp_path / "x.a3m", text))


sequences = st.text(LETTERS, min_size=2, max_size=9)
complexes = st.lists(
    st.tuples(sequences, st.integers(1, 3)), min_size=1, max_size=4, unique_by=lambda c: c[0]
)


def wrapped(name: str, row: str, width: int) -> str:
    return "\n".join([f">{name}", *(row[i : i + width] for i in range(0, len(row), width))]) + "\n"


def a3m(chains: list[tuple[str, int]], data: Any, width: int, pairing: bool) -> str:
    """ColabFold's rows; relatives differ from their chain in one residue."""
    number = len(chains)
    ids = [str(101 + k) for k in range(number)]

    def relative(sequence: str) -> str:
        at = data.draw(st.integers(0, len(sequence) - 1))
        return sequence[:at] + data.draw(st.sampled_from(LETTERS)) + sequence[at + 1 :]

    text = ""
    if pairing or number == 1:
        text += wrapped("\t".join(ids), "".join(s for s, _ in chains), width)
        for k in range(data.draw(st.integers(0, 2))):
            names = "\t".join(f"U{k}_{i}" for i in range(number))
            text += wrapped(names, "".join(relative(s) for s, _ in chains), width)
    if number > 1:
        for k, (sequence, _) in enumerate(chains):
            before = "-" * sum(len(s) for s, _ in chains[:k])
            after = "-" * sum(len(s) for s, _ in chains[k + 1 :])
            text += wrapped(ids[k], before + sequence + after, width)
            for i in range(data.draw(st.integers(0, 2))):
                text += wrapped(f"r{k}_{i}", before + relative(sequence) + after, width)
    return text


@settings(max_examples=200, deadline=None)
@given(
    chains=complexes,
    form=st.sampled_from(["header", "no header", "fasta", "csv", "json", "nul"]),
    width=st.integers(1, 30),
    end=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
    pairing=st.booleans(),
    data=st.data(),
)
def test_the_same_chains_come_back_or_one_refusal(
    tmp_path_factory: pytest.TempPathFactory,
    chains: list[tuple[str, int]],
    form: str,
    width: int,
    end: str,
    packed: bool,
    pairing: bool,
    data: Any,
) -> None:
    every = [sequence for sequence, copies in chains for _ in range(copies)]
    suffix = {"fasta": ".fasta", "csv": ".csv", "json": ".json"}.get(form, ".a3m")
    if form == "header":
        lengths, copies = (",".join(str(v) for v in column) for column in
                           ([len(s) for s, _ in chains], [c for _, c in chains]))  # fmt: skip
        text = f"#{lengths}\t{copies}\n" + a3m(chains, data, width, pairing)
    elif form == "no header":
        every = [sequence for sequence, _ in chains]
        text = a3m(chains, data, width, pairing)
    elif form == "nul":
        every = [sequence for sequence, _ in chains]
        text = "".join(
            wrapped(f"{101 + k}", sequence, width) + "\0" for k, sequence in enumerate(every)
        )
    elif form == "fasta":
        text = wrapped("c", ":".join(every), width)
    elif form == "csv":
        text = f"id,sequence\nc,{':'.join(every)}\n"
    else:
        entities = [
            {"protein": {"id": [f"{k}{i}" for i in range(n)], "sequence": s}}
            for k, (s, n) in enumerate(chains)
        ]
        text = json.dumps({"name": "c", "sequences": entities})
    path = tmp_path_factory.getbasetemp() / f"complex{suffix}"
    written(path, text, end=end, packed=packed)

    try:
        complexes: list[Complex] = read_complexes(path)
        assert sorted(s for c in complexes for s in c.sequences) == sorted(every)
        for chain in (chain for c in complexes for chain in c.chains):
            for part in (chain.unpaired, chain.paired):
                assert part is None or part.row(0) == chain.sequence
                assert part is None or part.depth <= 5
    except InputError as error:
        assert form == "no header" and len(chains) > 1 and "\n" not in str(error)

    for read in (read_alignment, read_fasta):
        if len(every) > 1:
            with pytest.raises(InputError) as caught:
                one = read(path)
                if isinstance(one, list):  # FASTA may hold chains, each a record
                    assert "".join(every) not in [letters for _, letters in one]
                    raise InputError("separate records")
            assert "\n" not in str(caught.value)
        else:
            one = read(path)
            assert (one[0][1] if isinstance(one, list) else one.row(0)) == every[0]


@pytest.mark.parametrize("name", ["header.a3m", "nul.a3m", "rows.sto", "colon.fasta"])
def test_corpora_and_families_refuse(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "all" / "one"
    folder.mkdir(parents=True)
    path = written(folder / name, REFUSED[name][0])
    types, atoms = np.arange(7), np.random.default_rng(0).normal(0, 9, (7, 37, 3))
    write_structure(folder / "x.pdb", types, atoms, ATOM37_MASK[types])
    with pytest.raises(ComplexError):
        read_families(folder.parent)
    with pytest.raises(ComplexError):
        read_alignments(folder).dataset[0]
    with pytest.raises(ComplexError):
        ContactPredictor([], "cpu").predict(path)
    with pytest.raises(ComplexError):
        Alignment.from_sequences(["MKVL:ACD"])


@pytest.mark.parametrize("name", ["header.a3m", "colon.fasta", "table.csv", "nul.a3m", "job.json"])
def test_every_command_refuses_and_leaves_nothing(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = written(folder / name, REFUSED[name][0])
    out = tmp_path / "out"
    db = written(tmp_path / "db.fasta", ">a\nMKVLACDE\n")
    commands: list[list[str | Path]] = [
        ["protein", "fold", path, "-o", out],
        ["protein", "fold", folder, "-o", out],
        ["protein", "contacts", path, "-o", tmp_path / "out.tsv"],
        ["protein", "search", db, "-o", tmp_path / "out.a3m", "--db", path],
    ]
    for command in commands:
        assert main([os.fspath(part) for part in command]) == 2
        line = capsys.readouterr().err.strip()
        assert "complex of 2 chains" in line and "\n" not in line, line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["db.fasta", "in"]


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(alphabet='#,\t\n\r\0>:/;[]{}"1290 ACDacd-idsequence', max_size=120),
    suffix=st.sampled_from([".a3m", ".fasta", ".csv", ".json"]),
    start=st.sampled_from(
        ["", "#4,3\t1,1\n", "id,sequence\n", '{"sequences": [', ">101\n", "#4\t1\n"]
    ),
)
def test_near_complexes_end_in_chains_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str, start: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"near{suffix}"
    path.write_text(start + text, newline="")
    for read in (read_alignment, read_fasta, read_complexes):
        try:
            assert read(path)
        except InputError as error:
            assert "\n" not in str(error)

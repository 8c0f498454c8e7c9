"""One dimer in every form that people have: the same features from each."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from sciml.cli import main
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.job import Job
from sciml.protein.fold_inputs import find_jobs, with_homologues
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.io.complexes import complex_of, read_complex, write_complex
from sciml.protein.io.pairing import pair_chains

CHAINS = ("MKVLAAGIVGLC", "ACDWYRR")
PAIRED = [  # name and row of each chain, of one organism
    (("sp|P0AAA1|ONE_ECOLI OX=83333", "MKILAAGIVG-C"), ("sp|P0AAA4|TWO_ECOLI OX=83333", "ACEWYRK")),
    (("UniRef90_Q1AA01 TaxID=9606", "MRVLAaaAGIVSLC"), ("tr|Q1AB01|TWO_HUMAN OX=9606", "GCDWYcRR")),
]
ALONE = (
    [("x1", "MKVL-AGIVGLA"), ("x2", "-KVLSAGIVGLC")],
    [("y1", "ACDWFRR"), ("y2", "--DWYRR"), ("y3", "SCDWYR-")],
)


def rows(chain: int, homologues: bool) -> list[tuple[str, str]]:
    query = [(f"query{chain}", CHAINS[chain])]
    return query + ([pair[chain] for pair in PAIRED] + ALONE[chain] if homologues else [])


def a3m(records: list[tuple[str, str]], width: int = 1000) -> str:
    return "".join(
        f">{name}\n" + "".join(f"{row[k : k + width]}\n" for k in range(0, len(row), width))
        for name, row in records
    )


def colabfold(homologues: bool, width: int = 1000, end: str = "") -> str:
    """ColabFold's A3M, its blocks ended by `end`."""
    together = [("101\t102", "".join(CHAINS))]
    if homologues:
        together += [("\t".join(n for n, _ in p), "".join(r for _, r in p)) for p in PAIRED]
    text = f"#{len(CHAINS[0])},{len(CHAINS[1])}\t1,1\n" + a3m(together, width) + end
    for k, chain in enumerate(CHAINS):
        own = [(str(101 + k), chain), *(ALONE[k] if homologues else [])]
        before, after = "-" * len("".join(CHAINS[:k])), "-" * len("".join(CHAINS[k + 1 :]))
        text += a3m([(name, before + row + after) for name, row in own], width) + end
    return text


def write_forms(folder: Path, homologues: bool) -> list[str]:
    """Write the dimer in all forms that can say so much; what `read_complex` takes."""
    entities = [
        {"protein": {"id": "AB"[k], "sequence": chain}
         | ({"unpairedMsa": a3m([(f"q{k}", chain), *ALONE[k]]),
             "pairedMsa": a3m([(f"q{k}", chain), *(p[k] for p in PAIRED)])} if homologues else {})}
        for k, chain in enumerate(CHAINS)
    ]  # fmt: skip
    files = {
        "header.a3m": colabfold(homologues),
        "wrapped.a3m": colabfold(homologues, 5).replace("\n", "\r\n"),
        "blocks.a3m": colabfold(homologues, 8, "\0"),
        "server.a3m": "".join(
            a3m([(f"{101 + k}", CHAINS[k]), *rows(k, homologues)[1:]]) + "\0" for k in (0, 1)
        ),
        "job.json": json.dumps({"name": "job", "sequences": entities, "modelSeeds": [1]}),
    }
    if not homologues:
        files |= {
            "colon.fasta": f">dimer\n{':'.join(CHAINS)}\n",
            "ends.fa": f">dimer\n{CHAINS[0]}:\n{CHAINS[1]}\n",
            "table.csv": f"id,sequence\ndimer,{':'.join(CHAINS)}\n",
        }
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    (folder / "chains").mkdir()
    for k in (0, 1):
        (folder / "chains" / f"{'AB'[k]}.a3m").write_text(a3m(rows(k, homologues)))
    joined = ":".join(str(folder / "chains" / f"{k}.a3m") for k in "AB")
    return [str(folder / name) for name in files] + [str(folder / "chains"), joined]


@pytest.mark.parametrize("homologues", [False, True])
def test_every_form_gives_the_same_features(tmp_path: Path, homologues: bool) -> None:
    forms = write_forms(tmp_path, homologues)
    assert len(forms) == (7 if homologues else 10)
    sizes = FeatureConfig(clusters=4, extra=5)
    first = None
    for form in forms:
        complex_ = pair_chains(read_complex(form))
        assert complex_.sequences == list(CHAINS)
        assert complex_.paired_depth == (3 if homologues else 1), form
        job = Job.of(complex_)
        assert job.alignment.depth == (8 if homologues else 1), form
        found = [
            job.features(job.alignment, sizes, seed=3, multimer=multimer, use_templates=True)
            for multimer in (True, False)
        ]
        first = first or found
        for expected, features in zip(first, found, strict=True):
            assert expected.keys() == features.keys()
            for key, value in expected.items():
                np.testing.assert_array_equal(features[key], value, err_msg=f"{form}: {key}")
    assert first is not None and (first[0]["extra_msa_mask"].sum() > 0) == homologues


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_forms(tmp_path, True)
    complex_ = pair_chains(read_complex(tmp_path / "job.json"))
    complex_.chains[1].copies = 3
    write_complex(complex_, tmp_path / "again.a3m")
    again = read_complex(tmp_path / "again.a3m")
    assert again.sequences == [CHAINS[0], *[CHAINS[1]] * 3] and again.paired_depth == 3
    merged, back = Job.of(complex_).alignment, Job.of(again).alignment
    np.testing.assert_array_equal(merged.rows, back.rows)
    assert merged.deletions is not None and back.deletions is not None
    np.testing.assert_array_equal(merged.deletions, back.deletions)
    assert again.chains[0].paired is not None
    assert again.chains[0].paired.names[1] == PAIRED[0][0][0]


def test_a_folder_of_inputs_gives_complexes_and_chains(tmp_path: Path) -> None:
    write_forms(tmp_path, False)
    (tmp_path / "single.a3m").write_text(">s\nMKVL\n>r\nMKIL\n")
    (tmp_path / "two.fasta").write_text(">a\nMKVL\n>b\nMKIL\n>c\nMKVL:MKVL:ACD\n")
    jobs = {job.name: job for job in find_jobs(tmp_path)}
    assert len(jobs) == 8 + 1 + 1 + 3, sorted(jobs)  # files, folder of chains, single, records
    lengths = {name: None if j.chains is None else j.chains.lengths for name, j in jobs.items()}
    assert lengths["chains"] == lengths["header"] == lengths["job"] == [12, 7]
    assert lengths["single"] is None and lengths["a"] is None and lengths["c"] == [4, 4, 3]


def test_a_search_pairs_hits_of_several_databases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyhmmer")
    rng = np.random.default_rng(5)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    chains = ["".join(rng.choice(letters, n)) for n in (60, 70)]
    files = [tmp_path / "uniprot.fasta", tmp_path / "environment.fasta.gz"]
    entries: list[list[tuple[str, str]]] = [[], []]
    for chain, sequence in enumerate(chains):
        for k in range(12):
            row = [c if rng.random() < 0.7 else str(rng.choice(letters)) for c in sequence]
            row.insert(30, "GG" if k % 3 else "")
            species = f"OS=Species {k} OX={1000 + k}" if k < 8 else "no organism"
            entries[k % 2].append(
                (f"sp|P{chain}A{'AB'[k // 10]}A{k % 10}|C{chain}_X {species}", "".join(row))
            )
    noise = [(f"n{k}", "".join(rng.choice(letters, 80))) for k in range(60)]
    for file, part in zip(files, entries, strict=True):
        text = "".join(f">{name}\n{row}\n" for name, row in part + noise)
        file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    fasta = tmp_path / "dimer.fasta"
    fasta.write_text(f">dimer\n{chains[0]}:\n{chains[1]}\n>homo\n{chains[0]}:{chains[0]}\n")
    for form in ("a3m", "sto"):
        out = [os.fspath(fasta), "-o", os.fspath(tmp_path / form), "--format", form]
        assert main(["protein", "search", *out, "--db", *map(os.fspath, files)]) == 0
    assert "8 rows pair chains" in " ".join(capsys.readouterr().err.split())
    found = read_complex(tmp_path / "a3m" / "dimer.a3m")
    assert found.sequences == chains and found.paired_depth == 9
    one, two = (chain.paired for chain in found.chains)
    assert one is not None and two is not None
    for first, second in zip(one.names[1:], two.names[1:], strict=True):
        assert first.split("OX=")[1] == second.split("OX=")[1]
    # The same from Stockholm files of the chains, and from a search before folding.
    again = pair_chains(complex_of([tmp_path / "sto" / f"dimer_{k}.sto" for k in "AB"], "dimer"))
    assert again.paired_depth == 9
    job = with_homologues(find_jobs(fasta), files, tmp_path)[0]
    np.testing.assert_array_equal(job.alignment.rows, Job.of(found).alignment.rows)
    assert job.alignment.deletions is not None and job.alignment.deletions.max() == 2
    np.testing.assert_array_equal(job.alignment.deletions, Job.of(found).alignment.deletions)
    np.testing.assert_array_equal(job.alignment.rows, Job.of(again).alignment.rows)
    homo = read_complex(tmp_path / "a3m" / "homo.a3m")
    assert homo.sequences == [chains[0]] * 2 and homo.chains[0].unpaired.depth >= 13
    assert read_alignment(tmp_path / "sto" / "homo.sto").row(0) == chains[0]

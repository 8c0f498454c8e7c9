"""The commands, through the command line."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.protein.alphafold_weights import write_alphafold
from sciml.protein.contacts import ContactConfig, ContactNet, ContactPredictor
from sciml.protein.model import AlphaFold, AlphaFoldConfig
from sciml.trunks.pair_transformer import PairTransformerConfig

CORPUS = Path(__file__).parents[1] / "corpus" / "protein"


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    trunk = PairTransformerConfig(
        dim=8, pair_dim=8, depth=1, heads=1, class_depth=0, pair_update="triangle", pair_hidden=4
    )
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    net = ContactNet(ContactConfig(pair_dim=8, convolutions=1, trunk=trunk))
    ContactPredictor(net, "cpu").save(path)
    return path


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Path:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    config = AlphaFoldConfig(
        msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
        column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
        scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4, templates=None,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("params") / "params_model_x.npz"
    write_alphafold(AlphaFold(config), path)
    return path


def alignment(folder: Path, name: str = "query.a3m") -> Path:
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 30)) for _ in range(20)]
    path = folder / name
    path.write_text("".join(f">s{i}\n{row}\n" for i, row in enumerate(rows)))
    return path


def test_contacts(tmp_path: Path, net: Path) -> None:
    out = tmp_path / "contacts.tsv"
    msa = alignment(tmp_path)
    assert main(["protein", "contacts", str(msa), "-o", str(out), "--model", str(net)]) == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "i\tj\tprobability" and len(lines) == 1 + 24 * 25 // 2
    scores = [float(line.split("\t")[2]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    out = tmp_path / "contacts.npz"
    assert main(["protein", "contacts", str(msa), "-o", str(out), "--model", str(net)]) == 0
    assert np.load(out)["probability"].shape == (30, 30)


@pytest.mark.parametrize("name", ["empty.a3m", "ragged.a3m", "binary.a3m", "cut_off.sto"])
def test_bad_input_is_one_line_and_code_2(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "x.tsv"
    arguments = ["protein", "contacts", str(CORPUS / name), "-o", str(out), "--model", str(net)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and name in error
    assert not list(tmp_path.iterdir())


def test_coarse_folding_skips_what_is_done(tmp_path: Path, net: Path) -> None:
    alignment(tmp_path, "one.a3m")
    out = tmp_path / "out"
    arguments = ["protein", "fold", str(tmp_path / "one.a3m"), "-o", str(out), "--model", str(net)]
    assert main(arguments) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        "one.cif", "one.pdb", "one_distances.npz", "one_confidence.json", "ranking.json",
        "report.html",
    }  # fmt: skip
    before = (out / "one.cif").stat().st_mtime_ns
    page = (out / "report.html").read_text()
    assert "canvas" in page and not re.search(r"(src|href)=[\"']https?:|url\(https?:", page)
    assert main(arguments) == 0
    assert (out / "one.cif").stat().st_mtime_ns == before
    assert main(["protein", "score", str(out / "one.pdb"), str(out / "one.cif")]) == 0


def test_coarse_folding_says_what_it_takes_and_refuses_at_once(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    alignment(folder, "one.a3m")
    alignment(folder, "two.a3m")
    out = tmp_path / "out"
    arguments = ["protein", "fold", str(folder), "-o", str(out), "--model", str(net), "--dry-run"]
    assert main(arguments) == 0 and not out.exists()
    printed = capsys.readouterr()
    said = " ".join((printed.out + printed.err).split())
    for name in ("one", "two"):
        assert re.search(rf"{name}: 30 residues, 20 sequences, about [\d.]+ GiB and \d+ s", said)
    (folder / "long.fasta").write_text(">long\n" + "ACDEFGHIKL" * 500 + "\n")
    start = time.process_time()
    assert main(arguments[:-1]) == 2 and not out.exists()
    assert time.process_time() - start < 1.0
    error = " ".join(capsys.readouterr().err.split())
    assert "'long' has 5000 residues, which need" in error and "at most 700" in error


def test_folding_with_parameters(tmp_path: Path, params: Path) -> None:
    fasta = tmp_path / "chains.fasta"
    fasta.write_text(">a first\nACDEFGHIKLMN\n>b\nMKVLAAGTRE\n>../../c\nWWYYPP\n")
    out = tmp_path / "out"
    arguments = ["protein", "fold", str(fasta), "-o", str(out), "--params", str(params)]
    assert main([*arguments, "--recycles", "1", "--dry-run"]) == 0
    assert not out.exists()
    assert main([*arguments, "--recycles", "1"]) == 0
    ranking = json.loads((out / "ranking.json").read_text())
    assert sorted(ranking["order"]) == ["_.._c", "a", "b"]
    confidences = json.loads((out / "a_confidence.json").read_text())
    assert len(confidences["plddt"]) == 12 and 0 <= confidences["mean_plddt"] <= 100
    pae = json.loads((out / "a_pae.json").read_text())
    assert np.array(pae[0]["predicted_aligned_error"]).shape == (12, 12)


def test_search(tmp_path: Path) -> None:
    pytest.importorskip("pyhmmer")
    rng = np.random.default_rng(0)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    query = "".join(rng.choice(letters, 80))
    related = []
    for _ in range(12):
        row = [c if rng.random() < 0.6 else str(rng.choice(letters)) for c in query]
        related.append("".join(row[:40]) + ("GG" if rng.random() < 0.5 else "") + "".join(row[40:]))
    others = ["".join(rng.choice(letters, 100)) for _ in range(60)]
    (tmp_path / "q.fasta").write_text(f">q\n{query}\n")
    database = tmp_path / "db.fasta"
    database.write_text("".join(f">s{i} x\n{s}\n" for i, s in enumerate(related + others)))
    out = tmp_path / "q.a3m"
    arguments = ["protein", "search", str(tmp_path / "q.fasta"), "-o", str(out)]
    assert main([*arguments, "--db", str(database), "--cores", "1"]) == 0
    from sciml.protein import read_alignment

    found = read_alignment(out)
    assert found.row(0) == query and found.columns == 80
    names = {name.split("/")[0] for name in found.names[1:]}
    assert {f"s{i}" for i in range(12)} <= names and len(found.names) <= 15
    assert found.deletions is not None and found.deletions.max() == 2

"""The commands, through the command line."""

import importlib.util
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.protein.alphafold import relaxation
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.official import write_alphafold
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.io.residues import ATOM37_MASK, RESIDUES
from sciml.protein.io.structure import read_chain
from sciml.protein.io.structure_writing import write_structure
from sciml.trunks.pair_transformer import PairTransformerConfig

TINY = AlphaFoldConfig(
    msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
    column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
    scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4, templates=None,
)  # fmt: skip
TEMPLATES = TemplateConfig(
    dim=4, blocks=1, heads=1, head_dim=4, hidden=4, attention_heads=1, attention_head_dim=4
)
CORPUS = Path(__file__).parents[1] / "corpus" / "protein"


MULTIMER = replace(
    TINY, templates=None, target_classes=21, masked_classes=22, chain_positions=True,
    outer_product_first=True, separate_projections=True, position_scale=20.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    trunk = PairTransformerConfig(
        dim=8, pair_dim=8, depth=1, heads=1, class_depth=0, pair_update="triangle", pair_hidden=4
    )
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    net = ContactNet(ContactConfig(pair_dim=8, convolutions=1, trunk=trunk))
    ContactPredictor(net, "cpu").save(path)
    return path


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("params") / "params_model_x.npz"
    write_alphafold(AlphaFold(TINY), path)
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


def test_a_chain_too_long_for_the_full_network_is_refused_at_once(
    tmp_path: Path, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta = tmp_path / "long.fasta"
    fasta.write_text(">long\n" + "ACDEFGHIKL" * 4000 + "\n")
    out = tmp_path / "out"
    start = time.process_time()
    error = one_line(
        ["protein", "fold", str(fasta), "-o", str(out), "--params", str(params)], capsys
    )
    assert time.process_time() - start < 1.0 and not out.exists()
    assert re.search(r"40,?000 residues need about [\d.]+ GiB", error)
    assert re.search(r"Chains of up to \d+ residues fit here", error)


def test_what_is_done_stays_and_what_differs_is_refused(
    tmp_path: Path, params: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    alignment(folder, "one.a3m")
    fold = ["protein", "fold", str(folder), "-o", str(out), "--recycles", "0"]
    fold += ["--params", str(params)]
    assert main(fold) == 0
    one = {path: path.stat().st_mtime_ns for path in out.glob("one*")}
    (folder / "two.a3m").write_text(">q\nMKVLAAGTREWQ\n")
    assert main(fold) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("one*")} == one
    page = (out / "report.html").read_text()
    assert page.count('data-component="structure"') == 2
    assert page.count(">Predicted aligned error.<") == 2
    ranking = json.loads((out / "ranking.json").read_text())
    assert {row["name"] for row in ranking["predictions"]} == {"one", "two"}
    assert all("plddt" not in row for row in ranking["predictions"])
    # The same name with another sequence, or other parameters: nothing is lost or mixed up.
    (folder / "two.a3m").write_text(">q\nMKVLAAGTREWC\n")
    assert "holds another chain of this name" in one_line(fold, capsys)
    (folder / "two.a3m").write_text(">q\nMKVLAAGTREWQ\n")
    other = [*fold[:-2], "--model", str(net)]
    assert "folded with params_model_x" in one_line(other, capsys)


def test_several_models_are_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyhmmer")
    folder, out = tmp_path / "models", tmp_path / "out"
    folder.mkdir()
    fasta = tmp_path / "two.fasta"
    query = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 40))
    fasta.write_text(f">a\n{query}\n>b\nMKVLAAGTRE\n")
    (tmp_path / "db.fasta").write_text(f">r\nM{query[:36]}\n")
    fold = ["protein", "fold", str(fasta), "-o", str(out), "--params", str(folder)]
    fold += ["--recycles", "0", "--db", str(tmp_path / "db.fasta")]
    assert "holds no parameter files" in one_line(fold, capsys)
    for seed, templates in ((1, TEMPLATES), (3, None)):
        torch.manual_seed(seed)
        model = AlphaFold(replace(TINY, templates=templates))
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.3)
        write_alphafold(model, folder / f"params_model_{seed}.npz")
    write_alphafold(AlphaFold(MULTIMER), folder / "params_model_1_multimer_v3.npz", fused=True)
    assert main(fold) == 0
    assert "params_model_1_multimer_v3.npz is left out" in capsys.readouterr().err
    ranking = json.loads((out / "ranking.json").read_text())
    names = {f"params_model_{m}/{chain}" for m in (1, 3) for chain in "ab"}
    assert set(ranking["order"]) == names
    scores = [row["mean_plddt"] for row in ranking["predictions"]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    assert all((out / f"{name}.cif").exists() for name in names)
    assert (out / "report.html").read_text().count(
        'data-component="structure"'
    ) == 2  # the best of each chain
    assert (out / "a.a3m").exists() and not (out / "params_model_1" / "a.a3m").exists()
    monkeypatch.setattr(
        "sciml.protein.alphafold.predictor.StructurePredictor.from_pretrained", None
    )
    capsys.readouterr()
    assert main(fold) == 0  # everything is done
    said = capsys.readouterr()
    assert (said.out + said.err).count("2 of them done already") == 2


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


def one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The error of a command that must fail with code 2 and nothing but that line."""
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    return " ".join(error.split())


def test_templates_by_hhsearch(
    tmp_path: Path, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "MKVLAAGTREWQHNDCFYSPILKEEA"
    homologue = query[4:12] + "W" + query[13:]
    types = np.array([RESIDUES.index(c) for c in homologue])
    files = tmp_path / "files"
    atoms = np.random.default_rng(0).normal(0, 9, (len(types), 37, 3))
    write_structure(files / "1abc.cif", types, atoms, ATOM37_MASK[types], chain="B")
    (tmp_path / "q.hhr").write_text(
        "Query q\n\nNo 1\n>1ABC_B x\nProbab=99 Sum_probs=20.0\n"
        f"Q q 5 {query[4:]} 26 (26)\nT 1ABC_B 1 {homologue} 22 (22)\n"
    )
    (tmp_path / "q.fasta").write_text(f">q\n{query}\n")
    out = tmp_path / "out"
    fold = ["protein", "fold", str(tmp_path / "q.fasta"), "-o", str(out), "--recycles", "0"]
    fold += ["--clusters", "4", "--extra", "4"]
    hhr = ["--hhr", str(tmp_path / "q.hhr")]
    assert "full models" in one_line([*fold, *hhr], capsys)
    plain = [*fold, "--params", str(params)]
    assert "--templates" in one_line([*plain, *hhr], capsys)
    hhr += ["--templates", str(files)]
    assert "a model without templates" in one_line([*plain, *hhr], capsys)
    with_templates = tmp_path / "params_templates.npz"
    model = AlphaFold(replace(TINY, templates=TEMPLATES))
    for p in model.parameters():  # fresh last layers are zero, and nothing would show
        if not p.any():
            torch.nn.init.normal_(p, 0, 0.3)
    write_alphafold(model, with_templates)
    full = [*fold, "--params", str(with_templates)]
    assert "no such HHsearch" in one_line(
        [*full, "--hhr", "none.hhr", "--templates", str(files)], capsys
    )
    two = tmp_path / "two.fasta"
    two.write_text(f">q\n{query}\n>other\n{homologue}\n")
    folder = [*full[:2], str(two), *full[3:]]
    assert "there are 2 to fold" in one_line([*folder, *hhr], capsys)
    assert main([*full, *hhr]) == 0
    said = capsys.readouterr()
    assert "q: 1 templates, used: 1ABC_B" in said.out + said.err
    alone = tmp_path / "alone"
    assert main([*full[:4], str(alone), *full[5:]]) == 0
    ours, theirs = (read_chain(path / "q.cif").atoms for path in (out, alone))
    assert np.abs(ours - theirs).max() > 0.01  # the template has been read


def test_relaxation_says_what_is_missing_before_folding(
    tmp_path: Path, params: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    (tmp_path / "q.fasta").write_text(">q\nACDEXGHIKLMN\n")
    out = tmp_path / "out"
    fold = ["protein", "fold", str(tmp_path / "q.fasta"), "-o", str(out), "--relax"]
    assert "full models" in one_line(fold, capsys)
    fold += ["--params", str(params), "--recycles", "0"]
    if importlib.util.find_spec("openmm") is None:
        assert 'pip install "sciml[relax]"' in one_line(fold, capsys)
    monkeypatch.setattr(relaxation, "require", lambda: (None, None))
    assert "residue 5 of 'q'" in one_line(fold, capsys) and not out.exists()


def test_relaxed_chains_keep_the_unrelaxed_one(
    tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def relax(types: np.ndarray, atoms: np.ndarray, mask: np.ndarray, *, rounds: int):
        counts = {"broken_bonds": 3, "bad_angles": 1, "clashing_atoms": 2}
        return relaxation.Relaxed(
            atoms + np.float32(1), mask, counts, dict.fromkeys(counts, 0), 1, 0, 1, 1
        )

    monkeypatch.setattr(relaxation, "require", lambda: (None, None))
    monkeypatch.setattr(relaxation, "relax", relax)
    (tmp_path / "q.fasta").write_text(">q\nACDEFGHIKLMN\n")
    out = tmp_path / "out"
    fold = ["protein", "fold", str(tmp_path / "q.fasta"), "-o", str(out), "--relax"]
    assert main([*fold, "--params", str(params), "--recycles", "0"]) == 0
    row = json.loads((out / "q_confidence.json").read_text())
    assert row["violations"]["before"]["broken_bonds"] == 3
    assert row["violations"]["after"]["clashing_atoms"] == 0
    before, after = (read_chain(out / f"q{x}.cif").atoms for x in ("_unrelaxed", ""))
    shift = (after - before)[before.any(-1)]
    assert np.allclose(shift, 1, atol=2e-3)
    assert "broken bonds 3 -&gt; 0" in (out / "report.html").read_text()


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

    written = read_alignment(out)
    assert written.row(0) == query and written.columns == 80
    names = {name.split("/")[0] for name in written.names[1:]}
    assert {f"s{i}" for i in range(12)} <= names and len(written.names) <= 15
    assert written.deletions is not None and written.deletions.max() == 2


def test_relatives_are_kept_and_not_searched_for_again(
    tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyhmmer")
    query = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 40))
    (tmp_path / "q.fasta").write_text(f">q\n{query}\n")
    (tmp_path / "db.fasta").write_text(f">a\n{query[:30]}{query[5:10]}\n>b\nM{query[:36]}\n")
    out = tmp_path / "out"
    fold = ["protein", "fold", str(tmp_path / "q.fasta"), "-o", str(out), "--recycles", "0"]
    fold += ["--params", str(params), "--db", str(tmp_path / "db.fasta")]
    assert main(fold) == 0
    assert (out / "q.a3m").read_text().startswith(f">q\n{query}\n")
    assert json.loads((out / "q_confidence.json").read_text())["sequences"] == 3
    (out / "q_confidence.json").unlink()  # as if stopped after the search
    monkeypatch.setattr("sciml.protein.io.homology_search.search", None)
    assert main(fold) == 0
    assert json.loads((out / "q_confidence.json").read_text())["sequences"] == 3


def test_multimer_parameters_fold_a_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta, out = tmp_path / "x.fasta", tmp_path / "out"
    fasta.write_text(">a\nMKVLAAGTRE\n")
    file = tmp_path / "params_model_1_multimer_v3.npz"
    write_alphafold(AlphaFold(MULTIMER), file, fused=True)
    fold = ["protein", "fold", str(fasta), "--recycles", "0", "-o"]
    assert main([*fold, str(out), "--params", str(file)]) == 0
    assert json.loads((out / "a_confidence.json").read_text())["model"] == file.stem
    name = "module.model.structure_module.ipa.linear_k.weight"
    torch.save(
        {"params": {name.removeprefix("module.model."): torch.ones(3, 3)}}, tmp_path / "m.pt"
    )
    fold += [str(tmp_path / "none"), "--params", str(tmp_path / "m.pt")]
    assert "lacks the parameter" in one_line(fold, capsys)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("end", [".pdb", ".cif", "_distances.npz", "_confidence.json"])
def test_a_damaged_result_is_made_again(
    tmp_path: Path, params: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    fasta, out = tmp_path / "x.fasta", tmp_path / "out"
    fasta.write_text(">a\nMKVLAAGTRE\n")
    fold = ["protein", "fold", str(fasta), "-o", str(out), "--params", str(params)]
    fold += ["--recycles", "0"]
    assert main(fold) == 0
    path = out / f"a{end}"
    before = path.read_bytes()
    for damaged in (b"", before[: len(before) // 2], bytes([before[40] ^ 1]).join(
        (before[:40], before[41:])
    )):  # fmt: skip
        path.write_bytes(damaged)
        capsys.readouterr()
        assert main(fold) == 0
        said = capsys.readouterr()
        assert "0 of them done already" in said.out + said.err and f"a{end} is" in said.err
        if end != "_confidence.json" and end != "_distances.npz":
            assert path.read_bytes() == before
    assert main(fold) == 0 and "1 of them done already" in "".join(capsys.readouterr())


def test_former_options_work_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query, database = tmp_path / "query.fasta", tmp_path / "database.fasta"
    query.write_text(">q\nACDEFGHIKLMNPQRSTVWY\n")
    database.write_text(">one\nACDEFGHIKLMNPQRSTVWY\n>two\nACDEFGHIKLMNPQRSTVWA\n")
    command = ["protein", "search", str(query), "--db", str(database), "-o"]
    assert main([*command, str(tmp_path / "new.a3m"), "--max-hits", "1"]) == 0
    assert main([*command, str(tmp_path / "old.a3m"), "--most", "1"]) == 0
    assert "--most is now --max-hits" in capsys.readouterr().err
    assert (tmp_path / "old.a3m").read_bytes() == (tmp_path / "new.a3m").read_bytes()
    with pytest.warns(DeprecationWarning, match="max_rows"):
        assert read_alignment(tmp_path / "new.a3m", most=1).depth == 1  # type: ignore[call-arg]


def test_scores_are_written_with_the_short_option(tmp_path: Path) -> None:
    types = np.arange(12) % 20
    atoms = np.random.default_rng(0).normal(0, 9, (12, 37, 3)) * ATOM37_MASK[types][..., None]
    write_structure(tmp_path / "x.cif", types, atoms, ATOM37_MASK[types])
    model = str(tmp_path / "x.cif")
    assert main(["protein", "score", model, model, "-o", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["lddt_ca"] == 1

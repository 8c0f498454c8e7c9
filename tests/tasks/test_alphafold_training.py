"""The AlphaFold training recipe: losses, files, resuming, structures of the user's."""

import json
from pathlib import Path

import numpy as np
import pytest

from sciml.cli import main
from sciml.protein import Alignment, StructurePredictor, read_structure, write_structure
from sciml.protein.alphafold.training_data import read_training_chains
from sciml.protein.contacts.backbone import backbone, backbone_atoms
from sciml.protein.contacts.topologies import ideal_cb, made_folds, pseudo_cb

GOLDEN = {
    "initial training": [9.761619, 8.648203],
    "fine-tuning": [17.0, 16.5],
}
CLOSE = {"initial training": 1e-3, "fine-tuning": 0.12}
"""After some training steps the rounding of processors has grown to several per cent."""
TERMS = {
    "backbone_fape", "side_chain_fape", "chi", "angle_norm", "distogram", "masked_msa", "plddt",
    "pae",
}  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tiny"
    assert main(["run", "alphafold_training", "--tiny", "--out", str(folder)]) == 0
    return folder


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_loss_sequence(out: Path) -> None:
    """Any change of data, features, network, losses or optimiser shows here."""
    for stage, losses in GOLDEN.items():
        records = [r for r in lines(out) if r.get("stage") == stage and r["split"] == "train"]
        assert [r["loss_per_chain"] for r in records][:2] == pytest.approx(
            losses, rel=CLOSE[stage]
        ), stage
        assert set(records[0]) >= TERMS
        assert {"resolved", "violation"} <= set(records[0]) or stage == "initial training"


def test_the_distogram_is_learned(out: Path) -> None:
    records = [r for r in lines(out) if r.get("stage") == "initial training"]
    distogram = [r["distogram"] for r in records if r["split"] == "train"]
    assert np.mean(distogram[-3:]) < 0.8 * distogram[0]


def test_held_out_chains_are_scored(out: Path) -> None:
    scores = [line for line in lines(out) if line.get("event") == "score"]
    assert {(row["method"], row["chain"]) for row in scores} == {
        (method, f"generated_{k}") for method in ("trained", "untrained") for k in (0, 1)
    }
    assert all(0 <= row["lDDT-CA"] <= 1 and 0 <= row["mean pLDDT"] <= 100 for row in scores)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Held-out chains" in report and 'data-component="structure"' in report


def test_the_trained_network_folds(out: Path, tmp_path: Path) -> None:
    (tmp_path / "chain.fasta").write_text(">a\nACDEFGHIKLMN\n")
    command = ["protein", "fold", str(tmp_path / "chain.fasta"), "-o", str(tmp_path / "folded")]
    assert main([*command, "--params", str(out / "model.safetensors"), "--recycles", "0"]) == 0
    assert (tmp_path / "folded" / "a.cif").exists()


def test_an_interrupted_run_has_the_same_end(out: Path, tmp_path: Path, monkeypatch) -> None:
    from sciml import recipes

    folder = tmp_path / "run"
    module = recipes.load("alphafold_training").module
    train_stage = module.train_stage

    def interrupted(*arguments, **options):
        if arguments[-1] == "fine-tuning":
            raise KeyboardInterrupt
        return train_stage(*arguments, **options)

    command = ["run", "alphafold_training", "--tiny", "--out", str(folder)]
    recipe = recipes.Recipe("alphafold_training", Path(str(module.__file__)), module)
    monkeypatch.setattr(recipes, "load", lambda name: recipe)
    monkeypatch.setattr(module, "train_stage", interrupted)
    assert main(command) != 0 and not (folder / "model.safetensors").exists()
    monkeypatch.setattr(module, "train_stage", train_stage)
    assert main(command) == 0
    one, other = (
        StructurePredictor.from_pretrained(place, device="cpu").model.state_dict()
        for place in (out / "model.safetensors", folder / "model.safetensors")
    )
    assert all((one[name] == other[name]).all() for name in one)


def test_own_structures_and_alignments_without_structures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    structures, unlabelled = tmp_path / "structures", tmp_path / "unlabelled"
    structures.mkdir()
    unlabelled.mkdir()
    for number, fold in enumerate(made_folds(rng, np.array([20, 21, 22]))):
        types = rng.integers(0, 20, len(fold.ca))
        atoms, mask = backbone_atoms(fold.ca, types)
        write_structure(structures / f"chain{number}.pdb", types, atoms, mask)
        rows = np.stack([types, rng.integers(0, 20, len(types))]).astype(np.uint8)
        Alignment(["query", "other"], rows).write(
            (structures if number else unlabelled) / f"chain{number}.a3m"
        )
    chains = read_training_chains(structures)
    assert [chain.alignment.depth for chain in chains] == [1, 2, 2]
    folder = tmp_path / "run"
    assert main([
        "run", "alphafold_training", "--tiny", "--structures", str(structures), "--held-out", "1",
        "--unlabelled", str(unlabelled), "--least-plddt", "0", "--train.steps", "2",
        "--finetune.steps", "2", "--out", str(folder),
    ]) == 0  # fmt: skip
    assert "1 alignments without structures, 1 predictions" in (folder / "report.html").read_text()


def write_complexes(folder: Path) -> None:
    """Three complexes of two or three chains that touch: equal ones, two kinds, three equal."""
    rng = np.random.default_rng(1)
    one, two = made_folds(rng, np.array([12, 10]))
    first, second = rng.integers(0, 20, 12), rng.integers(0, 20, 10)
    forms = (("a", [one, one]), ("b", [one, two]), ("c", [one, one, one]))
    folder.mkdir()
    for name, parts in forms:
        types = [first if fold is one else second for fold in parts]
        placed = [fold.ca - fold.ca.mean(0) + [0, 0, 9.0 * k] for k, fold in enumerate(parts)]
        pieces = [backbone_atoms(ca, t) for ca, t in zip(placed, types, strict=True)]
        atoms, mask = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 1))
        chains = np.repeat(np.arange(1, len(parts) + 1), [len(t) for t in types])
        write_structure(folder / f"{name}.cif", np.concatenate(types), atoms, mask, chains=chains)
    letters = "".join("ARNDCQEGHILKMFPSTWYV"[k] for k in first)
    (folder / "a.a3m").write_text(f"#12\t2\n>101\n{letters}\n>x\n{letters[:-2]}AC\n")


def test_complexes_are_learned_and_folded(tmp_path: Path, capsys) -> None:
    write_complexes(tmp_path / "complexes")
    chain = tmp_path / "chains"
    chain.mkdir()
    fold = made_folds(np.random.default_rng(2), np.array([14]))[0]
    types = np.random.default_rng(3).integers(0, 20, 14)
    write_structure(chain / "alone.pdb", types, *backbone_atoms(fold.ca, types))
    out = tmp_path / "run"
    command = [
        "run", "alphafold_training", "--tiny", "--complexes", str(tmp_path / "complexes"),
        "--structures", str(chain), "--held-out", "2", "--train.steps", "2",
        "--finetune.steps", "2", "--out", str(out),
    ]  # fmt: skip
    assert main(command) == 0
    records = [r for r in lines(out) if r.get("split") == "train"]
    assert records and all(np.isfinite(r["chain_centers"]) for r in records)
    scores = [line for line in lines(out) if line.get("event") == "score"]
    assert len(scores) == 4 and any("DockQ" in row for row in scores)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Trained on 2 complexes, measured on 2 others" in report and "DockQ" in report
    trained = StructurePredictor.from_pretrained(out / "model.safetensors", device="cpu")
    assert trained.model.config == trained.model.config.as_multimer()
    folded = trained.predict(tmp_path / "complexes" / "a.a3m", recycles=0)
    assert folded.iptm is not None and folded.atoms.shape == (24, 37, 3)
    refused = [*command[:-1], str(tmp_path / "other"), "--unlabelled", str(tmp_path)]
    assert main(refused) == 2 and "do not go together" in capsys.readouterr().err


def test_an_alignment_of_another_sequence_is_refused(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    fold = made_folds(rng, np.array([20]))[0]
    types = rng.integers(0, 20, 20)
    write_structure(tmp_path / "chain.pdb", types, *backbone_atoms(fold.ca, types))
    (tmp_path / "chain.a3m").write_text(">query\nACDEFGHIKLACDEFGHIKL\n")
    arguments = ["--structures", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["run", "alphafold_training", "--tiny", *arguments]) == 2
    assert "not the sequence of chain" in capsys.readouterr().err


def test_backbones_lie_near_those_of_structures(shared: Path) -> None:
    """N within 0.2 A, C within 0.3 A, O within 0.8 A of experimental chains, on the mean."""
    errors = []
    for path in sorted((shared / "data/protein/pfam40").rglob("*.pdb"))[:8]:
        chain = read_structure(path)[0]
        ca = chain.points()
        if np.isfinite(ca).all() and chain.gaps is not None and not chain.gaps.any():
            made = backbone(ca)
            gaps = [np.linalg.norm(x - chain.points(name), axis=1) for name, x in zip("NCO", made)]
            errors.append([np.nanmean(gap) for gap in gaps])
    n, c, o = np.mean(errors, 0)
    assert len(errors) > 2 and n < 0.25 and c < 0.3 and o < 0.9


def test_backbones_have_the_geometry_of_peptides() -> None:
    fold = made_folds(np.random.default_rng(1), np.array([40]))[0]
    n, c, o = backbone(fold.ca)
    peptide = np.linalg.norm(n[1:] - c[:-1], axis=1)
    assert np.abs(peptide - 1.33).max() < 0.4 and np.abs(peptide - 1.33).mean() < 0.05
    for points, length in ((n, 1.46), (c, 1.525)):
        bond = np.linalg.norm(points - fold.ca, axis=1)
        assert np.nanmax(np.abs(bond - length)) < 0.02
    assert np.nanmax(np.abs(np.linalg.norm(o - c, axis=1) - 1.23)) < 0.02
    cb = pseudo_cb(fold.ca)[1:-1]
    handed = np.linalg.norm((ideal_cb(n, fold.ca, c))[1:-1] - cb, axis=1).mean()
    mirrored = np.linalg.norm((ideal_cb(c, fold.ca, n))[1:-1] - cb, axis=1).mean()
    assert handed < 0.7 and mirrored > 1.5  # L-residues, whatever the fold
    atoms, mask = backbone_atoms(fold.ca, np.full(40, 7))
    assert mask[:, 3].sum() == 0 and mask[0, 0] == 0 and mask[-1, 2] == 0 and mask.sum() == 157
    assert np.isfinite(atoms).all()

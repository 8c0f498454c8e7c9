"""One trunk for four sciences: pretrained jointly or on one, and every recipe starts from it.

All through the command line. A run is stopped where its first training begins, and the weights that
it begins with are compared with those of the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sciml import recipes, trunks
from sciml.cli import main
from sciml.errors import InputError
from sciml.files import tensors
from sciml.placement.formats.io import write_design
from sciml.placement.generate import netlist, randomised
from sciml.protein import Alignment
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.trunks import start

SCIENCES = ("jets", "placement", "protein", "symbolic")
SMALL = [
    "--tiny", "--pair-dim", "8", "--train.steps", "2", "--train.batch-size", "8",
    "--train.device", "cpu", "--max-held-out", "8", "--probe-examples", "32", "--trunk-settings",
    "{pair_update: triangle, depth: 1, heads: 2, bias_hidden: 8, pair_hidden: 8, class_depth: 0}",
]  # fmt: skip
FEWEST = {
    "jet_tagging": ["--seeds", "0"],
    "jet_mass": [],
    "protein_structure": ["--families", "2", "--held-out", "1", "--calibration", "0",
                          "--train.device", "cpu"],
    "symbolic_math": ["--pairs", "30", "--test", "1", "--finetune.device", "cpu"],
    "circuit_placement": ["--train-designs", "1"],
}  # fmt: skip
"""Recipe -> flags that leave little to do before its first training."""
SCIENCE = {
    "jet_tagging": "jets", "jet_mass": "jets", "protein_structure": "protein",
    "symbolic_math": "symbolic", "circuit_placement": "placement",
}  # fmt: skip
PREFIX = {"protein_structure": "net.", "symbolic_math": "encoder."}
"""Recipe -> where its module holds trunk and embedder."""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Science -> what `--data` names: the package's sample, and files of our own generators."""
    folder = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    for name in ("protein", "placement"):
        (folder / name).mkdir()
    for k in range(4):
        parent = rng.integers(0, 20, 24)
        rows = np.where(rng.random((40, 24)) < 0.3, rng.integers(0, 20, (40, 24)), parent)
        names = [f"s{i}" for i in range(40)]
        Alignment(names, rows.astype(np.uint8)).write(folder / "protein" / f"family{k}.a3m")
        design = netlist(randomised(np.random.default_rng([k, 5]), 0.1), k)
        write_design(design, folder / "placement" / f"design{k}.pb.txt")
    expressions = ("x*exp(x) + 12", "sin(x)^2/(x+1)", "x", "log(x)*x^3")
    (folder / "some.expr").write_text("\n".join(expressions * 2) + "\n")
    return {
        "jets": "jets-sample/train.parquet",
        "protein": f"protein:{folder / 'protein'}",
        "symbolic": f"symbolic:{folder / 'some.expr'}",
        "placement": f"placement:{folder / 'placement'}",
    }


def pretrain(out: Path, *data: str) -> Path:
    assert main(["run", "pretrain", "--data", *data, "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def joint(corpora: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trunk that was pretrained on all four sciences."""
    return pretrain(tmp_path_factory.mktemp("joint") / "out", *corpora.values())


@pytest.fixture(scope="module")
def single(corpora: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Science -> the folder of a trunk that was pretrained on it alone."""
    base = tmp_path_factory.mktemp("single")
    return {science: pretrain(base / science, data) for science, data in corpora.items()}


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a recipe up to its first training step: the weights that training begins with."""
    states: list[dict[str, Tensor]] = []

    def stop(module: nn.Module, *_: object, **__: object) -> None:
        states.append({name: value.clone() for name, value in module.state_dict().items()})
        raise InputError("stopped by this test")

    monkeypatch.setattr("sciml.train.loop._fit", stop)
    monkeypatch.setattr("sciml.placement.learning.imitation.imitate", stop)

    def run(recipe: str, *arguments: str) -> dict[str, Tensor]:
        states.clear()
        out = ["--out", str(tmp_path / recipe)]
        assert main(["run", recipe, "--tiny", *FEWEST[recipe], *out, *arguments]) == 2
        return states[0]

    return run


def of_folder(folder: Path, science: str) -> dict[str, Tensor]:
    """The tensors in a folder of pretraining, as trunk.* and embedder.*."""
    files = {"trunk": folder / "trunk" / "trunk.safetensors"}
    several = folder / "embedders" / f"{science}.safetensors"
    files["embedder"] = several if several.exists() else folder / "embedder.safetensors"
    return {
        f"{part}.{name}": value
        for part, path in files.items()
        for name, value in tensors.read(path)[0].items()
        if (science, part, name) != ("protein", "embedder", "token")  # only pretraining hides
    }


def test_a_joint_pretraining_leaves_a_trunk_and_an_embedder_for_each_science(joint: Path) -> None:
    assert (joint / "trunk" / "trunk.safetensors").exists()
    assert {path.stem for path in (joint / "embedders").iterdir()} == set(SCIENCES)
    assert not (joint / "embedder.safetensors").exists()
    facts = json.loads((joint / "pretrained.json").read_text())
    assert set(facts["corpora"]) == set(SCIENCES)
    assert 0 <= facts["pretrained"]["jets/linear_auc"] <= 1
    lines = [json.loads(line) for line in (joint / "metrics.jsonl").read_text().splitlines()]
    (check,) = [line for line in lines if line["split"] == "valid"]
    losses = [check[f"{science}/loss"] for science in SCIENCES]
    assert check["loss"] == pytest.approx(np.mean(losses))
    page = (joint / "report.html").read_text()
    assert "jets/loss" in page and f"sciml run protein_structure --start {joint}" in page


@pytest.mark.parametrize("recipe", sorted(FEWEST))
@pytest.mark.parametrize("pretraining", ["joint", "single"])
def test_training_begins_with_the_weights_of_the_folder(
    recipe: str, pretraining: str, joint: Path, single: dict[str, Path], begin: Callable
) -> None:
    science = SCIENCE[recipe]
    folder = joint if pretraining == "joint" else single[science]
    weights = of_folder(folder, science)
    assert {name.partition(".")[0] for name in weights} == {"trunk", "embedder"}
    state = begin(recipe, "--start", str(folder))
    prefix = PREFIX.get(recipe, "")
    for name, value in weights.items():
        assert torch.equal(state[prefix + name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted(FEWEST))
def test_recipes_say_in_their_report_what_they_started_from(
    recipe: str, joint: Path, tmp_path: Path
) -> None:
    flags = ["--tiny", *FEWEST[recipe], "--start", str(joint), "--out", str(tmp_path / "out")]
    assert main(["run", recipe, *flags]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Started from: pair_transformer, pretrained by masked on jets, protein" in page
    assert "scratch" in page


@pytest.mark.slow
def test_masses_from_the_folder_stand_beside_masses_from_scratch(
    single: dict[str, Path], tmp_path: Path
) -> None:
    command = ["run", "jet_mass", "--tiny", "--max-jets", "60", "--fit.steps", "4"]
    command += ["--start", str(single["jets"])]
    scores = {}
    for name, flags in (("both", []), ("alone", ["--no-compare"])):
        assert main([*command, *flags, "--out", str(tmp_path / name)]) == 0
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        scores[name] = [r for r in records if r.get("event") == "score"]
        steps = {r["run"]: r["step"] for r in records if "run" in r}
        assert set(steps.values()) == {4}
    pretrained, scratch = scores["both"]
    assert (pretrained["method"], scratch["method"]) == ("pretrained", "scratch")
    assert pretrained["resolution"] != scratch["resolution"]
    assert scores["alone"] == [{k: v for k, v in pretrained.items() if k != "method"}]
    files = [tmp_path / name / "model.safetensors" for name in ("both", "alone")]
    one, two = (tensors.read(file)[0] for file in files)
    assert all(torch.equal(one[key], two[key]) for key in one)  # the pretrained one is kept
    page = (tmp_path / "both" / "report.html").read_text()
    assert "Resolution from scratch minus that from the pretrained weights" in page


def test_training_from_scratch_begins_with_other_weights(joint: Path, begin: Callable) -> None:
    """The negative control: the same sizes, random weights."""
    weights = of_folder(joint, "jets")
    state = begin("jet_tagging", "--start", str(joint), "--no-pretraining")
    assert {name: state[name].shape for name in weights} == {n: v.shape for n, v in weights.items()}
    matrices = [name for name, value in weights.items() if value.ndim == 2 and value.any()]
    assert len(matrices) > 5
    assert not any(torch.equal(state[name], weights[name]) for name in matrices)


def test_the_contact_network_begins_as_the_pretrained_embedder(
    single: dict[str, Path], begin: Callable
) -> None:
    """Convolutions that were not pretrained add nothing at first."""
    state = begin("protein_structure", "--start", str(single["protein"]), "--net.convolutions", "2")
    for block in (0, 1):
        assert not state[f"net.embedder.blocks.{block}.conv.weight"].any()
    assert not state["net.embedder.linear_left.weight"].any()


def save_protein(folder: Path, update: str, **settings: Any) -> Path:
    """A folder as pretraining on alignments writes it."""
    trunk = trunks.build("pair_transformer", dim=16, pair_dim=8, depth=1, heads=2,
                         pair_update=update, pair_hidden=8)  # fmt: skip
    embedder = AlignmentEmbedder(16, 8, **settings)
    start.save(folder, trunk, {"protein": (embedder, settings)})
    return folder


def test_what_cannot_be_started_from_is_refused_in_one_line(
    joint: Path, single: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("mine")
    lone = trunks.save(trunks.build("pair_transformer", dim=8), tmp_path / "lone" / "trunk")
    plain = save_protein(tmp_path / "plain", "none")
    deep = save_protein(tmp_path / "deep", "triangle", convolutions=2)
    jets, own = single["jets"], save_protein(tmp_path / "own", "triangle")
    settings_file = own / "trunk" / "trunk.yaml"
    settings_file.write_text(settings_file.read_text().replace("pair_transformer", "mine:Mine"))
    cases: list[tuple[str, list[Any], str]] = [
        ("jet_tagging", [tmp_path / "empty"], "holds no trunk, but notes.txt"),
        ("circuit_placement", [lone.parent.parent], "holds a trunk without an embedder"),
        ("circuit_placement", [jets], "an embedder of jets, none of placement"),
        ("symbolic_math", [jets], "--data symbolic:FILES"),
        ("jet_mass", [joint, "--features", "kin"], "features 'full', not 'kin'"),
        ("jet_mass", [jets, "--features", "kin"], "--features full fine-tunes it"),
        ("protein_structure", [plain], "--trunk-settings '{pair_update: triangle}'"),
        ("protein_structure", [deep, "--net.convolutions", "1"], "--net.convolutions 2 or more"),
        ("protein_structure", ["lorentz"], "is no folder of `sciml run pretrain`"),
        ("protein_structure", [joint, "--model", "contacts-small"], "give `model` or `start`"),
        ("jet_mass", ["lorentz", "--own-trunk", "mine.py:Mine"], "belongs to a folder in `start`"),
        ("symbolic_math", [own],
         "circuit_placement, flavour_tagging, jet_mass, jet_tagging do, with --own-trunk"),
        ("protein_structure", [own], "which this recipe does not start from"),
        ("protein_structure", [own, "--own-trunk", "mine.py:Mine"], "a setting of circuit_placem"),
        ("jet_mass", [own], "Your own is named in the call"),
    ]  # fmt: skip
    for k, (recipe, given, message) in enumerate(cases):
        name, *flags = given
        out = tmp_path / f"out{k}"
        arguments = ["run", recipe, "--tiny", *FEWEST[recipe], "--out", str(out), *flags]
        assert main([*arguments, "--start", str(name)]) == 2, (recipe, name)
        assert message in capsys.readouterr().err.strip().splitlines()[-1], (recipe, message)
        assert not out.exists(), recipe


def test_two_corpora_of_a_science_are_refused(
    corpora: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [corpora["symbolic"], corpora["symbolic"]]
    assert main(["run", "pretrain", "--data", *data, "--out", str(tmp_path / "a"), *SMALL]) == 2
    assert "is a second corpus of symbolic" in capsys.readouterr().err


def test_joint_pretraining_resumes_bit_for_bit_and_goes_on_from_a_folder(
    corpora: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sciml.trunks.multihead import Mixture

    data = [corpora["symbolic"], corpora["placement"]]
    command = ["run", "pretrain", "--data", *data, *SMALL, "--train.checkpoint-every", "1",
               "--train.steps", "3", "--out"]  # fmt: skip
    assert main([*command, str(tmp_path / "whole")]) == 0
    after_step = Mixture.after_step

    def interrupt(self: Mixture, step: int) -> None:
        after_step(self, step)
        if step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Mixture, "after_step", interrupt)
        assert main([*command, str(tmp_path / "stopped")]) == 130
    assert main([*command, str(tmp_path / "stopped")]) == 0
    for file in ("trunk/trunk", "embedders/symbolic", "embedders/placement"):
        one, two = (tmp_path / name / f"{file}.safetensors" for name in ("whole", "stopped"))
        assert one.read_bytes() == two.read_bytes()

    on = [*command[:2], "--data", data[0], *SMALL, "--start", str(tmp_path / "whole")]
    assert main([*on, "--train.lr", "1e-30", "--out", str(tmp_path / "on")]) == 0
    before, after = (
        of_folder(tmp_path / "whole", "symbolic"),
        of_folder(tmp_path / "on", "symbolic"),
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_settings_file_may_give_one_corpus_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("data: jets.root\n")
    assert recipes.load("pretrain").config(tmp_path / "old.yaml").data == ("jets.root",)

"""Predictors on disk and in memory: file and folder, former names, copies, pickles, predictions."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein import Alignment, ContactPredictor, StructurePredictor
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.formats import read_config
from sciml.protein.contacts.calibration import KNOTS, Calibration
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.trunks.pair_transformer import PairTransformerConfig

SMALL = AlphaFoldConfig(
    msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
    column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
    scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4,
    templates=TemplateConfig(
        dim=4, blocks=1, heads=1, head_dim=4, hidden=4, attention_heads=4, attention_head_dim=1
    ),
)  # fmt: skip
ROWS = Alignment.from_sequences(["ACDEFGHIKLMN", "ACD-FGHIKLMN", "GCDEFGHIKLM-"])
SIZES = FeatureConfig(clusters=2, extra=2)


def contacts() -> ContactPredictor:
    torch.manual_seed(0)
    trunk = PairTransformerConfig(
        dim=8, pair_dim=8, depth=1, heads=1, class_depth=0, pair_update="triangle", pair_hidden=4
    )
    nets = [ContactNet(ContactConfig(8, 1, trunk)) for _ in range(2)]
    terms = np.tile([0.1, 0.9, 0.0, 0.0], (len(KNOTS), 1))
    return ContactPredictor(nets, "cpu", Calibration(terms))


def structures() -> StructurePredictor:
    torch.manual_seed(0)
    return StructurePredictor(AlphaFold(SMALL), "cpu", name="params_model_1")


def predicted(predictor: ContactPredictor | StructurePredictor) -> np.ndarray:
    if isinstance(predictor, ContactPredictor):
        return np.asarray(predictor.predict(ROWS))
    return np.asarray(predictor.predict(ROWS, config=SIZES, recycles=0))


@pytest.mark.parametrize("make", [contacts, structures])
@pytest.mark.parametrize("name", ["model.safetensors", "folder"])
def test_saved_predictors_predict_the_same(make, name: str, tmp_path: Path) -> None:
    predictor = make()
    path = tmp_path / name
    written = predictor.save(path, notes={"seed": "0"})
    assert written.exists()
    if name == "folder":
        assert {file.name for file in path.iterdir()} == {
            "config.json", "model.safetensors", "README.md"
        }  # fmt: skip
        assert json.loads((path / "config.json").read_text())["model"] == type(predictor).__name__
    again = type(predictor).from_pretrained(path, device="cpu")
    assert np.array_equal(predicted(again), predicted(predictor))
    assert again.describe() == predictor.describe()


@pytest.mark.parametrize("make", [contacts, structures])
def test_stored_in_half_precision(make, tmp_path: Path) -> None:
    predictor = make()
    whole = predictor.save(tmp_path / "whole.safetensors").stat().st_size
    half = predictor.save(tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.75 * whole
    again = predicted(type(predictor).from_pretrained(half, device="cpu"))
    assert np.isfinite(again).all() and again.shape == predicted(predictor).shape


@pytest.mark.parametrize("make", [contacts, structures])
def test_copies_and_pickles_predict_the_same(make) -> None:
    predictor = make()
    expected = predicted(predictor)
    for twin in (copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert np.array_equal(predicted(twin), expected)
    assert predictor.to("cpu") is predictor


def test_half_precision_works_or_says_why_not() -> None:
    predictor = contacts()
    expected = predicted(predictor)
    assert np.abs(predicted(predictor.half()).astype(float) - expected).max() < 5e-3
    with pytest.raises(InputError, match="float16 overflows"):
        structures().half()


def test_a_predictor_reads_no_file_of_the_other(tmp_path: Path) -> None:
    contacts().save(tmp_path / "contacts.safetensors")
    structures().save(tmp_path / "structures.safetensors")
    with pytest.raises(InputError, match="holds no AlphaFold network"):
        StructurePredictor.from_pretrained(tmp_path / "contacts.safetensors")
    with pytest.raises(InputError, match="holds no contact network"):
        ContactPredictor.from_pretrained(tmp_path / "structures.safetensors")


def test_one_loader_for_all_kinds_of_parameters(tmp_path: Path) -> None:
    predictor = structures()
    predictor.to_alphafold(tmp_path / "params.npz")
    torch.save(predictor.model.state_dict(), tmp_path / "openfold.pt")
    predictor.save(tmp_path / "ours.safetensors")
    for name in ("params.npz", "openfold.pt", "ours.safetensors"):
        again = StructurePredictor.from_pretrained(tmp_path / name, device="cpu")
        batch = predictor.predict(ROWS, config=SIZES, recycles=0)
        assert np.allclose(again.predict(ROWS, config=SIZES, recycles=0), batch, atol=1e-5)
    assert read_config(tmp_path / "ours.safetensors") == SMALL
    with pytest.warns(DeprecationWarning, match="from_pretrained"):
        StructurePredictor.from_file(tmp_path / "params.npz", "cpu")


def test_folding_with_a_saved_network(tmp_path: Path) -> None:
    structures().save(tmp_path / "ours.safetensors")
    (tmp_path / "chain.fasta").write_text(">a\nACDEFGHIKLMN\n")
    out = tmp_path / "out"
    command = ["protein", "fold", str(tmp_path / "chain.fasta"), "--recycles", "0", "-o", str(out)]
    assert main([*command, "--params", str(tmp_path / "ours.safetensors")]) == 0
    assert (out / "a.cif").exists() and (out / "a_pae.json").exists()


def test_contact_predictions_are_their_probabilities() -> None:
    result = contacts().predict(ROWS)
    n = ROWS.columns
    assert result.shape == (n, n) == np.asarray(result).shape and len(result) == n
    assert result[0, 5] == result.probability[0, 5]
    assert result.argmax(1).shape == (n,) and (1 - result).min() >= 0
    assert result.distogram.shape == (n, n, len(result.edges) + 1)
    assert result.dca.shape == (n, n) and result.query == ROWS.row(0) and result.neff > 1
    with pytest.warns(DeprecationWarning, match="distogram"):
        assert result.distances is result.distogram
    with pytest.warns(DeprecationWarning, match="predict_distances"):
        assert np.array_equal(contacts().predict_distances(ROWS), result)
    with pytest.raises(AttributeError, match="frozen|assign"):
        setattr(result, "neff", 0.0)  # noqa: B010
    again = pickle.loads(pickle.dumps(result))
    assert np.array_equal(again, result) and again.query == result.query


def test_structure_predictions_are_their_atoms() -> None:
    result = structures().predict(ROWS, config=SIZES, recycles=0)
    assert result.shape == (12, 37, 3) and np.array_equal(np.asarray(result), result.atoms)
    assert result.plddt.shape == (12,) and 0 <= result.mean_plddt <= 100
    assert result.pae is not None and result.pae.shape == (12, 12)
    with pytest.warns(DeprecationWarning, match="atoms"):
        assert result.coordinates is result.atoms
    from sciml.protein.alphafold import prediction

    with pytest.warns(DeprecationWarning, match="StructurePrediction"):
        assert prediction.Prediction is type(result)

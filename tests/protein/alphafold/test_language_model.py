"""SoloSeq: an embedding in place of an alignment; parity with OpenFold, and from file to file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein import Alignment, StructurePredictor
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.features import features
from sciml.protein.io.embeddings import read_embedding


@pytest.fixture(scope="module")
def script(fixture_script: Any) -> Any:
    return fixture_script("openfold_soloseq")


@pytest.fixture(scope="module")
def stored(fixture_file: Any) -> Any:
    return np.load(fixture_file("protein/soloseq.npz"))


@pytest.fixture(scope="module")
def weights(
    script: Any, stored: Any, fixture_script: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """OpenFold's checkpoint."""
    drawn = fixture_script("weaver_core").draw(json.loads(str(stored["shapes"])), script.SEED)
    path = tmp_path_factory.mktemp("weights") / "seq_model_esm1b_ptm.pt"
    torch.save({name: torch.from_numpy(value) for name, value in drawn.items()}, path)
    return path


@pytest.fixture(scope="module")
def predictor(weights: Path) -> StructurePredictor:
    return StructurePredictor.from_openfold(weights, "cpu")


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def test_the_network_is_openfolds(predictor: StructurePredictor, script: Any, stored: Any) -> None:
    config = predictor.model.config
    assert (config.embedding_dim, config.extra_blocks, config.blocks) == (12, 0, 2)
    sizes = FeatureConfig(clusters=1, extra=1)
    alignment = Alignment.from_sequences([script.SEQUENCE])
    made = features(alignment, sizes, seed=0, templates=[], use_templates=False)
    batch = {name: np.asarray(value) for name, value in made.items()}
    given = {**batch, "seq_embedding": script.embedding()}
    last = f"pass{script.PASSES - 1}/"
    results = predictor.predict_features(given, script.PASSES - 1, every_pass=False)
    for name in script.OUTPUTS.values():
        assert difference(results[last + name], stored[name]) < 1e-5, name
    # the embedding is what it reads
    other = predictor.predict_features(
        {**given, "seq_embedding": -script.embedding()}, 0, every_pass=False
    )
    assert difference(other["pass0/distogram/logits"], stored["distogram/logits"]) > 1e-2
    with pytest.raises(InputError, match="lack seq_embedding"):
        predictor.predict_features(batch, 0)


def test_rows_of_an_alignment_change_nothing(predictor: StructurePredictor, script: Any) -> None:
    other = script.SEQUENCE[::-1]
    given = {"recycles": 0, "embedding": script.embedding()}
    alone = predictor.predict(Alignment.from_sequences([script.SEQUENCE]), **given)
    many = predictor.predict(Alignment.from_sequences([script.SEQUENCE, other]), **given)
    assert np.array_equal(alone.atoms, many.atoms) and np.isfinite(alone.atoms).all()


def test_what_is_saved_is_read_and_official_arrays_are_refused(
    predictor: StructurePredictor, script: Any, tmp_path: Path
) -> None:
    predictor.save(tmp_path / "solo.safetensors")
    again = StructurePredictor.from_pretrained(tmp_path / "solo.safetensors", device="cpu")
    assert again.model.config == predictor.model.config
    with pytest.raises(InputError, match="no place for a network of embeddings"):
        predictor.to_alphafold()


def test_embeddings_that_do_not_fit_are_refused(
    predictor: StructurePredictor, script: Any, tmp_path: Path
) -> None:
    alignment = Alignment.from_sequences([script.SEQUENCE])
    with pytest.raises(InputError, match="reads a language model's embedding, 12 channels"):
        predictor.predict(alignment)
    with pytest.raises(InputError, match=r"has the shape \[20, 12\], not \[21, 12\]"):
        predictor.predict(alignment, embedding=script.embedding()[1:])
    np.save(tmp_path / "a.npy", script.embedding())
    assert np.array_equal(read_embedding(tmp_path / "a.npy", 21), script.embedding())
    layers = {32: torch.zeros(21, 12), 33: torch.from_numpy(script.embedding())}
    torch.save({"label": "a", "representations": layers}, tmp_path / "a.pt")
    assert np.array_equal(read_embedding(tmp_path / "a.pt"), script.embedding())
    with pytest.raises(InputError, match="embeds 21 residues, the chain has 23.*tokens"):
        read_embedding(tmp_path / "a.pt", 23)
    for name, content in (("b", np.zeros(3)), ("c", np.full((2, 2), np.nan)),
                          ("d", np.zeros((2, 2), int))):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", content)
        with pytest.raises(InputError):
            read_embedding(tmp_path / f"{name}.npy")
    np.save(tmp_path / "e.npy", np.array([{}], object))
    (tmp_path / "f.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:90])
    (tmp_path / "g.pt").write_bytes(b"PK not a zip")
    torch.save({"representations": {}}, tmp_path / "h.pt")
    for name in ("e.npy", "f.npy", "g.pt", "h.pt", "none.pt"):
        with pytest.raises(InputError):
            read_embedding(tmp_path / name)


def test_from_files_to_files(
    weights: Path, script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chain.fasta").write_text(f">chain\n{script.SEQUENCE}\n")
    (tmp_path / "embeddings").mkdir()
    fold = ["protein", "fold", str(tmp_path / "chain.fasta"), "-o", str(tmp_path / "out"),
            "--params", str(weights), "--recycles", "0", "--device", "cpu"]  # fmt: skip
    assert main(fold) == 2
    assert "read embeddings of a language model" in capsys.readouterr().err
    with_folder = [*fold, "--embeddings", str(tmp_path / "embeddings")]
    assert main(with_folder) == 2
    assert "has no chain.pt or chain.npy" in capsys.readouterr().err
    np.save(tmp_path / "embeddings" / "chain.npy", script.embedding())
    assert main(with_folder) == 0
    assert (tmp_path / "out" / "chain.cif").stat().st_size > 1000

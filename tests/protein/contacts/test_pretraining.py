"""Proteins without labels: alignments without structures, structures without alignments."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml import objectives, trunks
from sciml.errors import InputError
from sciml.protein import Alignment
from sciml.protein.contacts.features import PAIR_SCORES
from sciml.protein.contacts.pretraining import AlignmentEmbedder, read_alignments, read_structures
from sciml.protein.io.residues import ATOM37_MASK
from sciml.protein.io.structure_writing import write_structure
from sciml.train import TrainConfig, fit


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    """Helices and strands of 14 to 20 residues, as PDB and mmCIF."""
    rng = np.random.default_rng(0)
    for number in range(8):
        n = 14 + number % 7
        step = np.arange(n)
        if number % 2:
            ca = np.stack([2.3 * np.cos(1.745 * step), 2.3 * np.sin(1.745 * step), 1.5 * step], 1)
        else:
            ca = np.stack([3.3 * step, 0.9 * (-1.0) ** step, 0 * step], 1)
        atoms = ca[:, None] + rng.normal(0, 0.3, (n, 37, 3))
        types = rng.integers(0, 20, n)
        path = tmp_path / f"chain{number}.{'cif' if number % 3 else 'pdb'}"
        write_structure(path, types, atoms, ATOM37_MASK[types])
    return tmp_path


def test_denoising_coordinates_with_the_equivariant_trunk(structures: Path) -> None:
    corpus = read_structures(structures)
    assert corpus.lengths is not None
    lengths = sorted(np.asarray(corpus.lengths))
    assert len(corpus.dataset) == 8 and lengths == [14, 14, 15, 16, 17, 18, 19, 20]
    torch.manual_seed(0)
    trunk = trunks.build({"name": "equivariant", "dim": 8, "depth": 1})
    module = objectives.build("denoising")(trunk, corpus.embedder(trunk.dim, 0))
    batch = corpus.collate([corpus.dataset[k] for k in range(8)])

    def loss(turned: torch.Tensor | None = None) -> float:
        torch.manual_seed(1)
        known = batch.clone()
        if turned is not None:
            known.pos = known.pos @ turned
        module.eval()
        return float(np.mean([float(module(known)["loss"].detach()) for _ in range(2)]))

    before = loss()
    config = TrainConfig(steps=24, batch_size=4, lr=2e-2, warmup=0, device="cpu")
    fit(module, corpus.dataset, config, out=structures, collate=corpus.collate, quiet=True)
    assert loss() < 0.9 * before
    q, _ = torch.linalg.qr(torch.randn(3, 3))
    # Turned chains with other noise: as hard as before, not harder.
    assert loss(q) == pytest.approx(loss(), rel=0.15)


def test_masked_columns_of_alignments(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        parent = rng.integers(0, 20, 24)
        rows = np.where(rng.random((40, 24)) < 0.3, rng.integers(0, 20, (40, 24)), parent)
        names = [f"s{k}" for k in range(40)]
        Alignment(names, rows.astype(np.uint8)).write(tmp_path / f"family{number}.a3m")
    corpus = read_alignments(tmp_path)
    assert len(corpus.dataset) == 4
    torch.manual_seed(0)
    trunk = trunks.build({"name": "pair_transformer", "dim": 16, "pair_dim": 8, "depth": 1})
    embedder = corpus.embedder(trunk.dim, 8)
    module = objectives.build("masked")(trunk, embedder)
    batch = corpus.collate([corpus.dataset[k] for k in range(4)])

    def loss() -> float:
        torch.manual_seed(1)
        module.eval()
        return float(module(batch)["loss"].detach())

    before = loss()
    config = TrainConfig(steps=30, batch_size=4, lr=1e-2, warmup=0, device="cpu")
    fit(module, corpus.dataset, config, out=tmp_path / "run", collate=corpus.collate, quiet=True)
    assert loss() < 0.95 * before


def test_a_hidden_column_tells_nothing_but_its_place() -> None:
    embedder = AlignmentEmbedder(8, 4)
    from torch_geometric.data import Data

    torch.manual_seed(0)
    batch = Data(x=torch.rand(1, 6, 26), pair=torch.rand(1, 6, 6, 25))
    other = Data(x=batch.x.clone(), pair=batch.pair.clone())
    other.x[0, 2], other.pair[0, 2, :, :PAIR_SCORES], other.pair[0, :, 2, :PAIR_SCORES] = 9, 9, 9
    hidden = torch.zeros(1, 6, dtype=torch.bool)
    hidden[0, 2] = True
    one, two = embedder(batch, hidden), embedder(other, hidden)
    assert torch.equal(one.x, two.x) and torch.equal(one.pair, two.pair)
    assert not torch.equal(embedder(batch).x, embedder(other).x)


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no structures"):
        read_structures(tmp_path)
    with pytest.raises(InputError, match="holds no alignments"):
        read_alignments(tmp_path)


def test_features_are_computed_once_and_kept_on_disk(tmp_path: Path, monkeypatch) -> None:
    from sciml.data import shards
    from sciml.protein.contacts import pretraining as pt

    monkeypatch.setenv("SCIML_CACHE", str(tmp_path / "cache"))
    text = "".join(f">member_{k}\n{'ACDEFGHIKLMNPQRSTVWY'[k:] + 'ACDEF'[:k]}\n" for k in range(6))
    shards.write(tmp_path / "shards" / "a.parquet", "alignments", [{"alignment": text}], {})
    (tmp_path / "family.a3m").write_text(text)
    calls = []
    compute = pt.contact_features

    def counted(alignment: Any) -> Any:
        calls.append(1)
        return compute(alignment)

    monkeypatch.setattr(pt, "contact_features", counted)

    read = [read_alignments(tmp_path / name) for name in ("family.a3m", "shards")]
    first, second = (corpus.dataset[0] for corpus in read)
    assert len(calls) == 2 and torch.equal(first["pair"], second["pair"])
    again = read_alignments(tmp_path / "shards").dataset[0]
    assert len(calls) == 2 and torch.equal(again["x"], second["x"])
    again["x"].zero_()  # a model's changes stay its own
    assert torch.equal(read_alignments(tmp_path / "shards").dataset[0]["x"], second["x"])
    for path in (tmp_path / "cache").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:1000])
    assert torch.equal(read_alignments(tmp_path / "shards").dataset[0]["x"], second["x"])
    assert len(calls) == 3
    # another content is another alignment
    (tmp_path / "family.a3m").write_text(text.replace("member_1\n", "other\n"))
    read_alignments(tmp_path / "family.a3m").dataset[0]
    assert len(calls) == 4


@pytest.mark.slow
def test_shards_of_families_hold_what_their_files_hold(tmp_path: Path) -> None:
    from sciml.cli import main
    from sciml.data import shards
    from sciml.protein.io.alignment_files import read_alignment

    make = ["data", "make", "protein-families", "--count", "17"]
    assert main([*make, "-o", str(tmp_path / "files")]) == 0
    assert main([*make, "--shards", "2", "-o", str(tmp_path / "both")]) == 0
    assert main([*make, "--shards", "2", "--shard", "1", "-o", str(tmp_path / "one")]) == 0
    (alone,) = (tmp_path / "one").iterdir()
    assert alone.read_bytes() == (tmp_path / "both" / alone.name).read_bytes()
    rows = shards.Rows(shards.files(tmp_path / "both"), "name", "alignment", "ca")
    assert len(rows) == 17
    for row in (rows[0], rows[16]):
        path = tmp_path / f"{row['name']}.a3m"
        path.write_text(row["alignment"])
        one, other = (read_alignment(tmp_path / part / path.name) for part in ("", "files"))
        assert np.array_equal(one.rows, other.rows)
        with np.load(tmp_path / "files" / f"{row['name']}.npz") as file:
            assert np.allclose(np.reshape(row["ca"], (-1, 3)), file["ca"], atol=1e-4)

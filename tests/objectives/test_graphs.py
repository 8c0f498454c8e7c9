"""Graph files: read lazily, refused with the file's name, embedded without a leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.objectives.corpus import Corpus, suffixes
from sciml.objectives.graphs import FeatureEmbedder, read_graphs


def write(folder, number=5, **extra):
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(number):
        n = 3 + i
        content = {"x": random.normal(size=(n, 2)), "pos": random.normal(size=(n, 3)), "y": i % 2}
        np.savez(folder / f"{i}.npz", **{**content, **{k: f(n) for k, f in extra.items()}})
    return folder


def test_reads_dense_and_sparse_graphs(tmp_path):
    corpus = read_graphs(write(tmp_path / "dense"))
    assert len(corpus.dataset) == 5 and np.asarray(corpus.lengths).tolist() == [3, 4, 5, 6, 7]
    assert np.asarray(corpus.labels).tolist() == [0, 1, 0, 1, 0] and corpus.classes == ("0", "1")
    batch = corpus.collate([corpus.dataset[i] for i in (0, 4)])
    assert batch.x.shape == (2, 7, 2) and "y" not in batch
    data = corpus.embedder(8, 3)(batch)
    assert data.x.shape == (2, 7, 8) and data.pair.shape == (2, 7, 7, 3)
    sparse = read_graphs(
        write(
            tmp_path / "sparse",
            edge_index=lambda n: np.stack([np.arange(n - 1), np.arange(1, n)]),
            edge_attr=lambda n: np.ones((n - 1, 4)),
        )
    )
    batch = sparse.collate([sparse.dataset[i] for i in range(2)])
    assert batch.edge_index.tolist() == [[0, 1, 3, 4, 5], [1, 2, 4, 5, 6]]
    assert sparse.embedder(8, 3)(batch).edge_attr.shape == (5, 3)
    assert np.asarray(read_graphs(tmp_path / "dense" / "2.npz").lengths).tolist() == [5]


def test_bad_files_are_named(tmp_path):
    folder = write(tmp_path / "g")
    (folder / "3.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="3.npz: is not a readable"):
        read_graphs(folder)
    np.savez(folder / "3.npz", x=np.full((3, 2), np.nan))
    with pytest.raises(InputError, match="3.npz: has features that are not finite"):
        read_graphs(folder)
    np.savez(folder / "3.npz", x=np.zeros((3, 9)))
    with pytest.raises(InputError, match=r"3.npz: needs `x` \[n, 2\]"):
        read_graphs(folder)
    np.savez(folder / "3.npz", x=np.zeros((3, 2)))
    corpus = read_graphs(folder)
    with pytest.raises(InputError, match=r"3.npz: has no \['pos'\]"):
        corpus.dataset[3]
    with pytest.raises(InputError, match="no .npz file"):
        read_graphs(tmp_path / "nothing")
    np.savez(folder / "0.npz", x=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="0.npz"):
        read_graphs(folder)


def test_corpus_checks_itself():
    arguments: dict[str, Any] = dict(name="c", collate=list, embedder=FeatureEmbedder)
    with pytest.raises(InputError, match="no usable example"):
        Corpus(dataset=[], **arguments)
    with pytest.raises(InputError, match="3 labels for 2"):
        Corpus(dataset=[1, 2], labels=np.zeros(3, dtype=int), **arguments)
    with pytest.raises(InputError, match="label 2 but only 2"):
        Corpus(dataset=[1, 2], labels=np.array([0, 2]), classes=("a", "b"), **arguments)


def test_suffixes(tmp_path):
    for name in ("a.pb.txt", "b.pb.txt", "c.root", "d.cif.gz"):
        (tmp_path / name).write_text("")
    assert suffixes(tmp_path)[0] == ".pb.txt"
    assert {".txt", ".root", ".cif"} <= set(suffixes(tmp_path))
    assert suffixes(tmp_path / "d.cif.gz") == [".cif"]


def test_wrong_width_is_refused(dense_batch):
    with pytest.raises(InputError, match="3 features, got 4"):
        FeatureEmbedder(3, 8)(dense_batch)


def test_gradient_is_finite_where_nodes_coincide(dense_batch):
    embedder = FeatureEmbedder(4, 8, 3)
    dense_batch.pos = torch.zeros_like(dense_batch.pos).requires_grad_()
    embedder(dense_batch).pair.sum().backward()
    assert torch.isfinite(dense_batch.pos.grad).all()

"""Jets as a corpus: what a reader gives, and that objectives train on it."""

import numpy as np
import pytest
import torch

from sciml import objectives, trunks
from sciml.errors import InputError
from sciml.jets.data.sample import shipped
from sciml.jets.learning.pretraining import READERS, read_jets


@pytest.fixture(scope="module")
def corpus():
    return read_jets(shipped("test"))


def test_corpus_of_the_shipped_sample(corpus):
    assert len(corpus.dataset) == len(corpus.labels) == len(corpus.lengths) == 2500
    assert corpus.classes[0] == "QCD" and corpus.labels.min() >= 0
    item = corpus.dataset[5]
    assert item["x"].shape == (corpus.lengths[5], 16)


def test_one_step_lowers_the_loss(corpus):
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, depth=1, heads=2, pair_dim=4)
    module = objectives.build("masked")(trunk, corpus.embedder(trunk.dim, trunk.pair_dim))
    batch = corpus.collate([corpus.dataset[i] for i in range(24)])
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        torch.manual_seed(1)
        loss = module(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0] and np.isfinite(losses).all()


def test_files_that_hold_no_jets_are_refused(tmp_path):
    (tmp_path / "x.root").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.root"):
        READERS[".root"](tmp_path / "x.root")
    with pytest.raises(InputError):
        READERS["jets"](tmp_path)

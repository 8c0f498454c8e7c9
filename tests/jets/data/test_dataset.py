"""The map-style data set: in memory or mapped, it holds the same jets; training on it is exact."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from sciml.data.on_disk import OnDisk
from sciml.errors import InputError
from sciml.jets.data import io
from sciml.jets.data.dataset import JetDataset
from sciml.jets.data.ragged import to_dense
from sciml.jets.data.sample import shipped
from sciml.jets.networks.embedder import collate
from sciml.train import TrainConfig, fit
from sciml.train.sampler import Plan

CLASSES = ("QCD", "Hbb", "Hgg", "Zqq", "Wqq", "Tbqq")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    jets = io.read_jets(shipped("test"))[:400]
    for k, suffix in enumerate((".parquet", ".root")):
        with io.create(folder / f"jets{k}{suffix}") as writer:
            writer.write(jets[200 * k : 200 * (k + 1)])
    return folder, jets


def test_items_are_the_jets_of_the_files(files, tmp_path):
    folder, jets = files
    dense = to_dense(jets)
    small = JetDataset(sorted(folder.iterdir()), classes=CLASSES)
    large = JetDataset(sorted(folder.iterdir()), classes=CLASSES, memory=1, cache=tmp_path)
    again = JetDataset(sorted(folder.iterdir()), classes=CLASSES, memory=1, cache=tmp_path)
    assert isinstance(large._particles, OnDisk) and isinstance(again._particles, OnDisk)
    assert isinstance(small._particles, np.ndarray)
    for data in (small, large, again):
        assert len(data) == 400
        assert data.lengths.tolist() == dense.mask.sum(1).tolist()
        for i in (0, 199, 200, 399):
            item = data[i]
            assert torch.equal(item["x"], dense.particles[i][dense.mask[i]])
            assert torch.equal(item["jet"], dense.jets[i])
            assert jets[f"label_{CLASSES[int(item['y'])]}"][i] == 1
    batch = collate([large[i] for i in range(5)])
    assert batch.x.shape[0] == 5 and batch.y.tolist() == large.y[:5].tolist()


def test_faulty_jets_are_left_out(tmp_path):
    jets = io.read_jets(shipped("test"))[:20]
    lists = jets.part_energy.to_list()
    lists[4][0] = float("nan")
    columns = {n: jets[n] for n in jets.fields} | {"part_energy": lists}
    with io.create(tmp_path / "bad.parquet") as writer:
        writer.write(columns)
    assert len(JetDataset(tmp_path / "bad.parquet")) == 19
    assert len(JetDataset(tmp_path / "bad.parquet", good=False)) == 20
    assert (np.asarray(JetDataset(tmp_path / "bad.parquet").y) == -1).all()


def test_labels_must_be_one(tmp_path, files):
    with pytest.raises(InputError, match="labels"):
        JetDataset(files[0] / "jets0.parquet", classes=("Hbb", "Tbqq"))
    with pytest.raises(InputError, match="label_Hxx"):
        JetDataset(files[0] / "jets0.parquet", classes=("Hxx",))


def test_an_interrupted_packing_leaves_nothing(tmp_path, files):
    broken = tmp_path / "broken.root"
    data = bytearray((files[0] / "jets1.root").read_bytes())
    data[20_000:40_000] = bytes(20_000)
    broken.write_bytes(data)
    cache = tmp_path / "cache"
    with pytest.raises(InputError):
        JetDataset([files[0] / "jets0.parquet", broken], memory=1, cache=cache)
    assert not list(cache.iterdir())


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 6)
        self.drop = nn.Dropout(0.2)

    def forward(self, batch):
        x = (batch.x.clamp(-5, 5) * batch.mask[..., None]).sum(1) / batch.mask.sum(1)[:, None]
        return {"loss": nn.functional.cross_entropy(self.linear(self.drop(x)), batch.y)}


def test_training_from_mapped_files_resumes_bitwise(tmp_path, files):
    data = JetDataset(
        sorted(files[0].iterdir()), classes=CLASSES, memory=1, cache=tmp_path / "cache"
    )

    def train(out, *steps):
        for step in steps:
            torch.manual_seed(1)
            config = TrainConfig(steps=step, batch_size=32, checkpoint_every=3, device="cpu")
            module = fit(
                Mean(), data, config, out=tmp_path / out, collate=collate, lengths=data.lengths
            ).module
        return [p.detach().clone() for p in module.parameters()]

    whole = train("whole", 9)
    again = train("again", 9)
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_a_batch_at_once_is_what_collating_its_jets_gives(tmp_path):
    from sciml.jets.data.sample import shipped
    from sciml.jets.networks.embedder import collate

    dataset = JetDataset(
        shipped("test"),
        classes=("QCD", "Tbqq", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbl"),
        memory=1,
        cache=tmp_path,
    )
    places = [5, 1999, 0, 5, 77]
    one, other = dataset.batch(places), collate([dataset[i] for i in places])
    assert set(one.keys()) == set(other.keys())
    for key in one.keys():
        assert torch.equal(one[key], other[key]), key


def test_ten_times_the_jets_take_no_more_memory(tmp_path, files):
    """Of a data set that was packed before: opening it and reading from it."""
    source = files[0] / "jets0.parquet"
    peaks = []
    for copies in (1, 10):
        paths = [tmp_path / f"{copies}-{k}.parquet" for k in range(copies)]
        for path in paths:
            path.write_bytes(source.read_bytes())
        JetDataset(paths, classes=CLASSES, memory=0, cache=tmp_path / "cache")
        tracemalloc.start()
        data = JetDataset(paths, classes=CLASSES, memory=0, cache=tmp_path / "cache")
        plan = Plan(len(data), 32, lengths=data.lengths)
        for micro in islice(plan.micro_batches(0), 6):
            collate([data[i] for i in micro.indices])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(data) == 2000 and peaks[1] < 1.1 * peaks[0] + 100_000

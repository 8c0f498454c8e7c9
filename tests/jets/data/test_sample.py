"""Samples in memory: how they are split into jets to learn from and jets to measure on."""

from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets.data.sample import JetSample, shipped, train_and_test


def test_a_split_of_one_file_keeps_its_parts_apart_and_comes_out_the_same():
    options: dict[str, Any] = {"share": 0.25, "max_jets": 200, "classes": ("QCD", "Tbqq")}
    train, test = train_and_test([str(shipped("test"))], seed=3, **options)
    assert train.classes == test.classes == ("QCD", "Tbqq")
    rows = np.concatenate([train.rows, test.rows])
    assert len(set(rows)) == len(rows) and len(test) == round(0.25 * len(rows))
    again = train_and_test([str(shipped("test"))], seed=3, **options)
    assert again[1].sha256() == test.sha256()
    other = train_and_test([str(shipped("test"))], seed=4, **options)
    assert other[1].sha256() != test.sha256()


def test_files_to_measure_on_have_the_classes_of_those_to_learn_from():
    train, test = train_and_test(
        [str(shipped("train"))], [str(shipped("test"))], share=0.5, seed=0, classes=("Hbb", "QCD")
    )
    assert train.classes == test.classes == ("Hbb", "QCD")
    assert set(train.y) == set(test.y) == {0, 1} and train.sha256() != test.sha256()
    with pytest.raises(InputError, match="Hbb"):
        train_and_test([str(shipped("train"))], share=0.5, seed=0, classes=("Hbbb",))


def test_on_disk_or_in_memory_it_is_the_same_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIML_CACHE", str(tmp_path))
    options: dict[str, Any] = {"classes": ["Tbqq", "QCD"], "columns": ["jet_pt"], "max_jets": 600}
    small = JetSample.read(shipped("test"), **options)
    for _ in range(2):
        large = JetSample.read(shipped("test"), **options, memory=0)
        assert large.on_disk and not small.on_disk
        assert large.classes == small.classes and len(large) == len(small)
        assert large.sha256() == small.sha256()
        chosen = np.random.default_rng(0).permutation(len(small))[:50]
        one, other = small.subset(chosen), large.subset(chosen)
        assert np.array_equal(one.lengths, other.lengths) and np.array_equal(one.y, other.y)
        assert np.array_equal(one.column("jet_pt"), other.column("jet_pt"))
        for name, value in vars(one.dense()).items():
            assert torch.equal(value, vars(other.dense())[name]), name

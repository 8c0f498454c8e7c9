"""Features of generated families in files: the same from any number of processes."""

from pathlib import Path

import numpy as np

from sciml.protein.contacts.features import (
    COUPLINGS,
    PROPERTIES,
    ContactFeatures,
    contact_features,
)
from sciml.protein.contacts.generated_features import Plan, fewer, write_features
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.contacts.topologies import made_folds
from sciml.trunks.pair_transformer import PairTransformerConfig

FOLDS = made_folds(np.random.default_rng(0), np.array([24, 26]))
for _fold in FOLDS:
    _fold.native = np.random.default_rng(1).integers(0, 20, len(_fold.ca))
PLAN = Plan(
    3, FOLDS, (24, 26), (20, 40), seed=5, made=1, made_length=(28, 30), thinned=1, couplings=True
)


def test_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one = list(write_features(PLAN, tmp_path / "one"))
    two = list(write_features(PLAN, tmp_path / "two", workers=2))
    assert [[p.name for p in paths] for paths in one] == [[p.name for p in paths] for paths in two]
    assert [p.name for p in one[0]] == ["0000.npz", "0000 thinned 1.npz"]
    for first, second in zip(sum(one, []), sum(two, []), strict=True):
        (a, cb), (b, _) = ContactFeatures.read(first), ContactFeatures.read(second)
        assert np.array_equal(a.pairs, b.pairs) and a.neff == b.neff
        assert a.couplings is not None and b.couplings is not None
        assert np.array_equal(a.couplings, b.couplings) and len(cb) == len(a.nodes)
    lengths = [len(ContactFeatures.read(paths[0])[0].nodes) for paths in one]
    assert lengths[:2] == [24, 26] and 28 <= lengths[2] <= 30
    times = [path.stat().st_mtime_ns for path in sum(one, [])]
    list(write_features(PLAN, tmp_path / "one"))
    assert [path.stat().st_mtime_ns for path in sum(one, [])] == times  # kept, not made again


def test_thinned_alignments_keep_the_query() -> None:
    alignment = families(1, 3, folds=FOLDS[:1], depth=(60, 60))[0].alignment
    depths = set()
    for seed in range(12):
        thin = fewer(alignment, [seed])
        assert np.array_equal(thin.rows[0], alignment.rows[0]) and 1 <= thin.depth <= 60
        depths.add(thin.depth)
    assert len(depths) > 4


def test_couplings_along_properties_belong_to_row_and_column() -> None:
    alignment = families(1, 3, folds=FOLDS[:1], depth=(80, 80))[0].alignment
    features = contact_features(alignment, couplings=True)
    assert contact_features(alignment).couplings is None
    assert features.couplings is not None and features.couplings.shape[-1] == COUPLINGS
    count = PROPERTIES.shape[1]
    matrix = features.couplings.reshape(*features.couplings.shape[:2], count, count)
    assert np.allclose(matrix, matrix.transpose(1, 0, 3, 2), atol=1e-5)
    assert np.abs(matrix).max() > 0.1
    bare = features.without_scores().couplings
    assert bare is not None and not bare.any()


def test_a_network_with_couplings_is_saved_and_uses_them(tmp_path: Path) -> None:
    trunk = PairTransformerConfig(
        dim=8, pair_dim=8, depth=1, heads=1, class_depth=0, pair_update="triangle", pair_hidden=4
    )
    net = ContactNet(ContactConfig(8, 1, trunk, couplings=True))
    predictor = ContactPredictor(net, device="cpu")
    alignment = families(1, 3, folds=FOLDS[:1], depth=(80, 80))[0].alignment
    whole = predictor.predict(alignment)
    predictor.save(tmp_path / "model.safetensors")
    again = ContactPredictor.from_pretrained(tmp_path / "model.safetensors", device="cpu")
    assert np.array_equal(np.asarray(again.predict(alignment)), np.asarray(whole))
    features = predictor.features(alignment)
    assert features.couplings is not None
    features.couplings[:] = 0
    assert np.abs(np.asarray(predictor.from_features(features)) - np.asarray(whole)).max() > 1e-6
    plain = ContactPredictor(ContactNet(ContactConfig(8, 1, trunk)), device="cpu")
    assert plain.features(alignment).couplings is None

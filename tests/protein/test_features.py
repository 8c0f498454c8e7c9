"""AlphaFold's features: shapes, masking, clustering, deletions."""

import numpy as np

from sciml.protein import Alignment
from sciml.protein.features import (
    MASK,
    FeatureConfig,
    features,
    mask_cells,
    nearest_centre,
    profile,
)


def random_alignment(depth: int = 40, n: int = 20) -> Alignment:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 20, (depth, n)).astype(np.uint8)
    deletions = (rng.random((depth, n)) < 0.05).astype(np.uint16) * 3
    return Alignment([str(i) for i in range(depth)], rows, deletions)


def test_shapes_and_ranges() -> None:
    found = features(random_alignment(), FeatureConfig(clusters=8, extra=16), seed=1)
    assert found["msa_feat"].shape == (8, 20, 49) and found["extra_msa"].shape == (16, 20)
    assert np.allclose(found["msa_feat"][..., :23].sum(-1), 1)
    assert np.allclose(found["msa_feat"][..., 25:48].sum(-1), 1, atol=1e-5)
    assert (found["msa_feat"] >= 0).all() and (found["msa_feat"] <= 1).all()
    assert np.array_equal(found["true_msa"][0], found["aatype"])
    assert found["target_feat"].sum() == 20
    again = features(random_alignment(), FeatureConfig(clusters=8, extra=16), seed=1)
    assert all(np.array_equal(found[key], again[key]) for key in found)


def test_single_sequences_have_all_features() -> None:
    found = features(Alignment.from_sequences(["ACDEFGHIKL"]))
    assert found["msa_feat"].shape == (1, 10, 49)
    assert found["extra_msa_mask"].sum() == 0
    assert found["template_mask"].sum() == 0


def test_masking_has_the_published_shares() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 20, (300, 100))
    shown, chosen = mask_cells(rows, profile(rows), 0.15, rng)
    assert abs(chosen.mean() - 0.15) < 0.01
    assert np.array_equal(shown[~chosen], rows[~chosen])
    hidden = shown[chosen]
    assert abs((hidden == MASK).mean() - 0.7) < 0.02
    assert 0.09 < (hidden == rows[chosen]).mean() < 0.13


def test_rows_join_the_most_similar_centre() -> None:
    centres = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    rows = np.array([[0, 1, 9, 9], [4, 9, 6, 7], [21, 5, 21, 21]])
    assert nearest_centre(centres, rows).tolist() == [0, 1, 1]


def test_deletions_reach_the_features() -> None:
    alignment = Alignment.from_sequences(["ACDE", "AxxxCDF"])
    found = features(alignment, FeatureConfig(clusters=2, extra=1, masked=0.0))
    assert found["msa_feat"][1, 1, 23] == 1
    assert np.isclose(found["msa_feat"][1, 1, 24], np.arctan(1.0) * 2 / np.pi)

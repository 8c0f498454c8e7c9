"""AlphaFold's features: shapes, masking, clustering, deletions."""

import numpy as np
import pytest

from sciml.protein import Alignment
from sciml.protein.alphafold.feature_config import FeatureConfig, published
from sciml.protein.alphafold.features import features
from sciml.protein.alphafold.msa_features import (
    MASK,
    centre_planes,
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
    made = features(random_alignment(), FeatureConfig(clusters=8, extra=16), seed=1)
    assert made["msa_feat"].shape == (8, 20, 49) and made["extra_msa"].shape == (16, 20)
    assert np.allclose(made["msa_feat"][..., :23].sum(-1), 1)
    assert np.allclose(made["msa_feat"][..., 25:48].sum(-1), 1, atol=1e-5)
    assert (made["msa_feat"] >= 0).all() and (made["msa_feat"] <= 1).all()
    assert np.array_equal(made["true_msa"][0], made["aatype"])
    assert made["target_feat"].sum() == 20
    again = features(random_alignment(), FeatureConfig(clusters=8, extra=16), seed=1)
    assert all(np.array_equal(made[key], again[key]) for key in made)


def test_single_sequences_have_all_features() -> None:
    made = features(Alignment.from_sequences(["ACDEFGHIKL"]))
    assert made["msa_feat"].shape == (1, 10, 49)
    assert made["extra_msa_mask"].sum() == 0
    assert made["template_mask"].sum() == 0


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
    assert nearest_centre(centre_planes(centres), rows).tolist() == [0, 1, 1]


def test_every_other_row_counts_into_the_clusters() -> None:
    """The cluster profiles are made before the extra sequences are cut, as published."""
    alignment = random_alignment(depth=60)
    config = FeatureConfig(clusters=6, extra=4, masked=0.0)
    result = features(alignment, config, seed=3)
    order = np.r_[0, 1 + np.random.default_rng(3).permutation(59)]
    centre, rest = order[:6], order[6:]
    assert alignment.deletions is not None
    rows, deletions = alignment.rows.astype(int), alignment.deletions.astype(float)
    members = {int(c): [int(c)] for c in centre}
    for row in rest:
        agree = [(rows[row] == rows[c])[rows[c] < 21].sum() for c in centre]
        members[int(centre[int(np.argmax(agree))])].append(int(row))
    assert result["extra_msa"].shape[0] == 4 and max(map(len, members.values())) > 5
    for k, group in enumerate(members.values()):
        share = np.eye(23)[rows[group]].mean(0)
        assert np.allclose(result["msa_feat"][k, :, 25:48], share, atol=1e-6)
        mean = np.arctan(deletions[group].mean(0) / 3) * 2 / np.pi
        assert np.allclose(result["msa_feat"][k, :, 48], mean, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "templates", "clusters", "extra"),
    [
        ("params_model_1", True, 508, 5120),
        ("params_model_2_ptm", True, 508, 1024),
        ("params_model_3_ptm", False, 512, 5120),
        ("params_model_4", False, 512, 5120),
        ("params_model_5_ptm", False, 512, 1024),
        ("finetuning_ptm_2", True, 508, 5120),
        ("alphafold", False, 512, 1024),
    ],
)
def test_sizes_of_the_published_models(
    name: str, templates: bool, clusters: int, extra: int
) -> None:
    sizes = published(name, templates)
    assert (sizes.clusters, sizes.extra) == (clusters, extra)


def test_deletions_reach_the_features() -> None:
    alignment = Alignment.from_sequences(["ACDE", "AxxxCDF"])
    made = features(alignment, FeatureConfig(clusters=2, extra=1, masked=0.0))
    assert made["msa_feat"][1, 1, 23] == 1
    assert np.isclose(made["msa_feat"][1, 1, 24], np.arctan(1.0) * 2 / np.pi)

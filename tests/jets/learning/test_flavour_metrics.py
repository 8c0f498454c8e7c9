"""Numbers of flavour tagging on cases whose answer is known."""

import numpy as np

from sciml.jets.learning import flavour_metrics as m


def test_discriminant_of_five_classes_by_hand():
    p = np.array([[0.5, 0.2, 0.05, 0.15, 0.1]])
    expected = np.log(0.5 / (0.2 * 0.2 + 0.01 * 0.05 + 0.79 * 0.25))
    classes = ("b", "c", "tau", "light", "gluon")
    np.testing.assert_allclose(m.b_discriminant(p, classes), expected)
    # without tau, light jets have the rest
    np.testing.assert_allclose(
        m.b_discriminant(p[:, :2], ("b", "c")), np.log(0.5 / (0.2 * 0.2)), rtol=1e-12
    )


def test_rejections_of_scores_that_are_exactly_known():
    classes = ("b", "c", "light")
    n = 1000
    level = (np.arange(n) + 0.5) / n
    p_b = np.concatenate([level, level * 0.5, level * 0.4])  # b uniform up to 1
    p = np.stack([p_b, (1 - p_b) / 2, (1 - p_b) / 2], 1)
    out = m.tagging_quality(p, np.repeat([0, 1, 2], n), classes, bootstraps=2)
    # 70 % of b jets have p_b >= .3, and so have .25 of the light jets and .4 of the c jets
    np.testing.assert_allclose(out["rejection_light_70"], 4, rtol=0.01)
    np.testing.assert_allclose(out["rejection_c_70"], 2.5, rtol=0.01)
    np.testing.assert_allclose(out["auc_b_light"], 1 - 0.4 / 2, atol=0.002)


def test_vertices_are_found_by_recall_and_purity():
    true = np.array([0, 0, 1, 1, 1, -1, 0, 1, 1, 2, 2])
    made = np.array([0, 0, 1, 1, 2, -1, 1, 1, 1, 2, 3])
    counts, y, classes = np.array([6, 5]), np.array([0, 1]), ("b", "light")
    out = m.vertex_quality(made, true, counts, y, classes)
    # jet 0: two of three tracks (.667) in a pure vertex; jet 1: a vertex with one wrong track of
    # three is found, one that was split in single tracks is not
    assert out["vertex_efficiency_b"] == 1.0 and out["vertex_efficiency_light"] == 0.5
    assert out["vertex_rate_b"] == 1.0 and out["vertex_true_light"] == 2.0
    nothing = m.vertex_quality(np.where(true >= 0, 0, -1), true, counts, y, classes)
    assert nothing["vertex_efficiency"] == 0.0 and nothing["vertex_rate_b"] == 0.0


def test_origins_and_momenta():
    truth = np.array([1, 1, 1, 2, -1])
    guess = np.zeros((5, 7))
    guess[:, 1] = 1
    out = m.origin_quality(guess, truth)
    assert out["origin_accuracy"] == out["origin_majority"] == 0.75
    assert out["origin_balanced_accuracy"] == 0.5 and out["origin_b"] == 0.0
    random = np.random.default_rng(0)
    response = random.normal(1, 0.1, 20_000)
    measured = 50 * response
    quantiles = measured[:, None] / (1 + 0.1 * np.array([0.994, 0.0, -0.994]))
    pt = m.pt_quality(quantiles, np.full(20_000, 50.0), measured, (0.16, 0.5, 0.84))
    np.testing.assert_allclose(pt["measured_pt_resolution"], 0.1, atol=0.003)
    np.testing.assert_allclose([pt[f"coverage_{q}"] for q in (16, 50, 84)], (0.16, 0.5, 0.84),
                               atol=0.01)  # fmt: skip

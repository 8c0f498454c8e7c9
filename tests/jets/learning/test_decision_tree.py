"""Decision trees on a tagger's classes, against the paper's formula and in known cases."""

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.jets.learning import decision_tree as dt
from sciml.jets.learning.decision_tree import Node


def softmax(values):
    out = np.exp(values - values.max(-1, keepdims=True))
    return out / out.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 6))
    weights[1] = 2 * weights[0] + 0.1 * rng.normal(size=6)  # alike but for their length
    weights[3] = weights[2] + 0.1 * rng.normal(size=6)
    return weights, rng.normal(size=(50, 6))


def test_a_root_of_all_classes_is_the_plain_head(layer):
    weights, x = layer
    p = softmax(x @ weights.T)
    flat = Node("all", (0, 1, 2, 3), tuple(Node(str(i), (i,)) for i in range(4)))
    np.testing.assert_allclose(dt.soft(flat, p), p, rtol=1e-10)
    assert (dt.hard(flat, p) == p.argmax(1)).all()


def test_the_induced_tree_and_equation_2(layer):
    weights, x = layer
    tree = dt.induced(weights, "abcd")
    assert sorted(child.classes for child in tree.children) == [(0, 1), (2, 3)]
    p = softmax(x @ weights.T)
    # Inner nodes have the mean weight of their classes; children compete by a softmax.
    top = softmax(np.stack([x @ weights[:2].mean(0), x @ weights[2:].mean(0)], -1))
    left, right = softmax(x @ weights[:2].T), softmax(x @ weights[2:].T)
    expected = np.concatenate([top[:, :1] * left, top[:, 1:] * right], 1)
    got = dt.soft(tree, p)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    np.testing.assert_allclose(got.sum(1), 1)
    side = top.argmax(1)
    leaf = np.where(side == 0, left.argmax(1), 2 + right.argmax(1))
    assert (dt.hard(tree, p) == leaf).all()
    steps = dt.path(tree, p[0])
    assert [s.probability for s in steps] == pytest.approx(
        [top[0].max(), (left, right)[side[0]][0].max()]
    )
    measured = dt.accuracies(tree, p, p.argmax(1))
    assert measured["plain head"] == 1 and measured["hard, mean"] == np.mean(leaf == p.argmax(1))


def test_sums_of_probabilities_account_for_the_head(layer):
    weights, x = layer
    tree = dt.induced(weights, "abcd")
    p = softmax(x @ weights.T)
    np.testing.assert_allclose(dt.soft(tree, p, "sum"), p, rtol=1e-9)
    steps = dt.path(tree, p[0], "sum")
    end = dt.hard(tree, p, "sum")[0]
    assert np.prod([step.probability for step in steps]) == pytest.approx(p[0, end])


def test_a_physicists_tree_of_the_classes_that_there_are():
    names = ("QCD", "Hbb", "Wqq", "Zqq", "Tbqq", "mine")
    tree = dt.physics(names)
    assert [child.name for child in tree.children] == ["QCD", "heavy particle", "mine"]
    heavy = tree.children[1]
    assert [child.name for child in heavy.children] == ["two prongs", "Tbqq"]
    assert sorted(leaf.classes[0] for leaf in dt.leaves(tree)) == list(range(6))
    assert dt.lines(tree)[:3] == ["jet", "  QCD", "  heavy particle"]
    assert dt.physics(("Zqq", "Wqq")).name == "W or Z"


def test_bad_input():
    for make in (dt.physics, lambda names: dt.induced(np.ones((1, 3)), names)):
        with pytest.raises(InputError, match="two classes"):
            make(("QCD",))

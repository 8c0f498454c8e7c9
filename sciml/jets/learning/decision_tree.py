"""A tagger's decision as a path through a hierarchy of classes: neural-backed decision trees.

Wan et al. 2021 (arXiv:2004.00221): the last layer of a trained network is read as a tree. A node
stands for the mean of the weights of its classes, so its score is the mean of their logits; the
children of a node compete by a softmax. A class has the product of the probabilities along its path
(soft inference, equation 2), or the path goes to the likeliest child (hard inference). Nothing is
trained here (the paper fine-tunes with the tree in the loss, without which a mean of logits is no
good score); means of logits follow from probabilities but for a constant that all nodes share.

The rule "sum" takes the probability of a child to be the sum of those of its classes instead: soft
inference then gives the head's probabilities themselves, and a path is an exact account of them.

The hierarchy is induced (section 3.2: weights of unit length, merged by Ward's method), or that of
`PHYSICS`, which asks what a physicist would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import nn

from sciml.errors import InputError

if TYPE_CHECKING:
    from sciml.jets.tagger import JetTagger

Rule = Literal["mean", "sum"]
"""The score of a node: the mean of its classes' logits, or the sum of their probabilities."""
PHYSICS: tuple[Any, ...] = (
    "jet",
    "QCD",
    ("heavy particle",
     ("two prongs",
      ("W or Z", "Zqq", "Wqq"),
      ("Higgs", "Hbb", "Hcc", "Hgg")),
     ("more prongs",
      ("hadronic", "H4q", "Tbqq"),
      ("with a lepton", "Hqql", "Tbl"))),
)  # fmt: skip
"""(name, child, ...); a child is a class or such a tuple."""


@dataclass(frozen=True)
class Node:
    """A set of classes.

    Attributes:
        name: of the set; of a leaf, the class.
        classes: indices of its classes.
        children: none for a leaf, else at least two.
    """

    name: str
    classes: tuple[int, ...]
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Step:
    """A decision on the way of one jet: the child that was chosen, and its probability there."""

    name: str
    probability: float


def physics(classes: Sequence[str]) -> Node:
    """`PHYSICS` for the classes that a tagger has; classes that it does not name hang at the top.

    Raises:
        InputError: fewer than two classes.
    """
    names = list(classes)

    def made(part: Any) -> Node | None:
        if isinstance(part, str):
            return Node(part, (names.index(part),)) if part in names else None
        children = tuple(child for child in map(made, part[1:]) if child is not None)
        if len(children) < 2:  # a question with one answer is none
            return children[0] if children else None
        return Node(part[0], tuple(c for child in children for c in child.classes), children)

    if len(names) < 2:
        raise InputError(f"a tree needs at least two classes, got {len(names)}")
    children = [child for child in map(made, PHYSICS[1:]) if child is not None]
    known = {c for child in children for c in child.classes}
    children += [Node(n, (i,)) for i, n in enumerate(names) if i not in known]
    if len(children) == 1:
        return children[0]
    return Node(PHYSICS[0], tuple(range(len(names))), tuple(children))


def induced(weights: np.ndarray, classes: Sequence[str]) -> Node:
    """The hierarchy of a last layer, a binary tree; a set of classes is named by its members.

    Args:
        weights: [classes, dim] of the last layer.
        classes: their names.

    Raises:
        InputError: fewer than two classes.
    """
    from scipy.cluster.hierarchy import linkage

    if len(classes) < 2:
        raise InputError(f"a tree needs at least two classes, got {len(classes)}")
    directions = weights / np.linalg.norm(weights, axis=1, keepdims=True).clip(1e-12)
    nodes = [Node(name, (i,)) for i, name in enumerate(classes)]
    for first, second, *_ in linkage(directions, "ward"):
        children = nodes[int(first)], nodes[int(second)]
        members = tuple(sorted(children[0].classes + children[1].classes))
        nodes.append(Node(" or ".join(classes[i] for i in members), members, children))
    return nodes[-1]


def last_layer(tagger: JetTagger) -> np.ndarray:
    """[classes, dim] weights of the linear layer that gives a tagger's logits.

    Raises:
        InputError: the network does not end with one.
    """
    layers = [m for m in tagger.network.modules() if isinstance(m, nn.Linear)]
    last = [m for m in layers if m.out_features == len(tagger.classes)]
    if not last:
        raise InputError("has no last linear layer of one output per class")
    return last[-1].weight.detach().float().cpu().numpy()


def _scores(node: Node, logs: np.ndarray, rule: Rule) -> np.ndarray:
    """[n, children] log probabilities of a node's children."""
    of_children = [logs[:, list(child.classes)] for child in node.children]
    if rule == "mean":
        scores = np.stack([log.mean(1) for log in of_children], 1)
    else:
        scores = np.stack([np.logaddexp.reduce(log, axis=1) for log in of_children], 1)
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-30))


def soft(tree: Node, probabilities: np.ndarray, rule: Rule = "mean") -> np.ndarray:
    """[n, classes] products along the paths, from a tagger's probabilities [n, classes]."""
    logs = _logs(probabilities)
    out = np.zeros_like(logs)

    def descend(node: Node, so_far: np.ndarray) -> None:
        if not node.children:
            out[:, node.classes[0]] = so_far
            return
        scores = _scores(node, logs, rule)
        for index, child in enumerate(node.children):
            descend(child, so_far + scores[:, index])

    descend(tree, np.zeros(len(logs)))
    return np.asarray(np.exp(out))


def path(tree: Node, probabilities: np.ndarray, rule: Rule = "mean") -> list[Step]:
    """The decisions of one jet, from its probabilities [classes]: the likeliest child each time."""
    logs, node, steps = _logs(probabilities)[None], tree, []
    while node.children:
        scores = _scores(node, logs, rule)[0]
        best = int(scores.argmax())
        node = node.children[best]
        steps.append(Step(node.name, float(np.exp(scores[best]))))
    return steps


def hard(tree: Node, probabilities: np.ndarray, rule: Rule = "mean") -> np.ndarray:
    """[n] the class at the end of each jet's path."""
    names = {leaf.name: leaf.classes[0] for leaf in leaves(tree)}
    return np.array([names[path(tree, p, rule)[-1].name] for p in probabilities])


def leaves(tree: Node) -> list[Node]:
    """The nodes of single classes, from left to right."""
    return [leaf for c in tree.children for leaf in leaves(c)] if tree.children else [tree]


def lines(tree: Node, indent: int = 0) -> list[str]:
    """The hierarchy as indented text, a node a line."""
    return ["  " * indent + tree.name] + [
        line for child in tree.children for line in lines(child, indent + 1)
    ]


def accuracies(tree: Node, probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of jets whose class is right: by the plain head (which "soft, sum" equals), and by the
    ways to read the tree."""
    answers = {
        "plain head": probabilities.argmax(1), "soft, mean": soft(tree, probabilities).argmax(1),
        "hard, mean": hard(tree, probabilities), "hard, sum": hard(tree, probabilities, "sum"),
    }  # fmt: skip
    return {name: float((answer == truth).mean()) for name, answer in answers.items()}

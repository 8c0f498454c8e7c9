"""Augmentation of the training problems: equivalent forms, and masked subtrees."""

from __future__ import annotations

import torch

from sciml.symbolic.algebra.rewriting import expand, together
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.expression import Expr
from sciml.symbolic.neural import vocabulary as vb

_IDENTITIES = (
    ("tan", lambda u: ex.call("sin", u) / ex.call("cos", u)),
    ("tanh", lambda u: ex.call("sinh", u) / ex.call("cosh", u)),
    ("sinh", lambda u: (ex.call("exp", u) - ex.call("exp", -u)) / 2),
    ("cosh", lambda u: (ex.call("exp", u) + ex.call("exp", -u)) / 2),
)


def equivalent(e: Expr) -> Expr:
    """An equivalent form of `e`: expanded, over one denominator, or with one function replaced by
    an identity. Drawn from torch's global random numbers; `e` itself where nothing applies."""
    choice = int(torch.randint(3, ()))
    if choice == 0:
        out = expand(e)
    elif choice == 1:
        out = together(e)
    else:
        name, rule = _IDENTITIES[int(torch.randint(len(_IDENTITIES), ()))]
        nodes = [n for n in ex.subtrees(e) if n.op == name]
        if not nodes:
            return e
        node = nodes[int(torch.randint(len(nodes), ()))]
        out = ex.substitute(e, {node: rule(node.args[0])})
    return out if ex.size(out) <= 3 * ex.size(e) else e


def masked_subtrees(ids: list[int], share: float = 0.3) -> list[int]:
    """Ids with whole subtrees replaced by one mask token each."""
    from sciml.symbolic.neural.pretraining import subtree_mask

    masked = subtree_mask(torch.tensor([ids]), share)[0].tolist()
    out: list[int] = []
    for i, token in enumerate(ids):
        if not masked[i]:
            out.append(token)
        elif i == 0 or not masked[i - 1]:
            out.append(vb.MASK)
    return out

"""Other ways to write the same thing, and sources with hidden subtrees, for training."""

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
    """An equal expression in another form: expanded, over one denominator, or with a function
    written by others. Drawn from torch's global random numbers; `e` itself where nothing fits."""
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


def hidden_subtrees(ids: list[int], share: float = 0.3) -> list[int]:
    """Ids with whole subtrees replaced by one mask token each."""
    from sciml.symbolic.neural.pretraining import subtree_mask

    hidden = subtree_mask(torch.tensor([ids]), share)[0].tolist()
    out: list[int] = []
    for i, token in enumerate(ids):
        if not hidden[i]:
            out.append(token)
        elif i == 0 or not hidden[i - 1]:
            out.append(vb.MASK)
    return out

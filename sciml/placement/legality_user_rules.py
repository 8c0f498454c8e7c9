"""The rules that a user adds: the channel between macros, soft-fixed objects, aligned macros.

Part of the checker of legality, which shares no code with the placers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciml.placement.constraints import EDGES
from sciml.placement.design import MACRO, Design
from sciml.placement.overlaps import touching

if TYPE_CHECKING:
    from sciml.placement.legality import Verdict


def check_user_rules(
    design: Design, solid: np.ndarray, boxes: np.ndarray, verdict: Verdict, tolerance: float
) -> None:
    """Add to `verdict` which of the nodes `solid` (outlines `boxes` [N, 4]) break such a rule."""
    rules, names = design.constraints, design.names
    assert rules is not None
    macros = solid[design.kind[solid] == MACRO]
    if rules.channel > 0:
        wider = boxes + np.array([-1, -1, 1, 1]) * rules.channel
        for i in macros.tolist():
            near = macros[touching(boxes[macros], wider[i], tolerance)]
            for j in near[near > i].tolist():
                if design.fixed[i] and design.fixed[j]:
                    continue
                verdict.add("channels", f"{names[i]!r} and {names[j]!r} are nearer than the "
                                        f"channel of {rules.channel:g}", i, j)  # fmt: skip
    if rules.window is not None:
        window = rules.window[solid]
        outside = (boxes[solid, :2] < window[:, :2] - tolerance).any(1)
        outside |= (boxes[solid, 2:] > window[:, 2:] + tolerance).any(1)
        for i in solid[outside].tolist():
            verdict.add("windows", f"{names[i]!r} is soft-fixed and too far from its place", i)
    for group in rules.aligned:
        members = group.members[np.isin(group.members, solid)]
        if not len(members):
            continue
        column = EDGES.index(group.edge)
        edge = boxes[members, column] if column < 4 else boxes[members, column % 2 :: 2].mean(1)
        for i in members[np.abs(edge - edge[0]) > tolerance].tolist():
            first = int(members[0])
            verdict.add("unaligned", f"{names[i]!r} is not aligned with {names[first]!r} "
                                     f"({group.edge})", i, first)  # fmt: skip

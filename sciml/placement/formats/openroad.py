"""Macro placements as a Tcl script of OpenROAD's `place_macro`, one line per hard macro.

    place_macro -macro_name {ram} -location {12.5 40} -orientation MY

The location is the lower-left corner as placed [um]. OpenROAD-flow-scripts sources such a file as
MACRO_PLACEMENT_TCL. Format: OpenROAD, `src/mpl/README.md`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.placement.design import MACRO, ORIENTATIONS, Design

WORDS = dict(
    zip(ORIENTATIONS, ("R0", "R180", "MY", "MX", "R270", "R90", "MYR90", "MXR90"), strict=True)
)
"""OpenROAD's names of DEF's orientations."""


def tcl_word(name: str) -> str:
    """A name as one word of Tcl that stands for itself, whatever characters it has."""
    depth = 0
    for k, character in enumerate(name):
        # Within braces a backslash stays, and a brace after it does not count.
        if k and name[k - 1] == "\\" and character in "{}":
            depth = -1
        if depth >= 0:
            depth += (character == "{") - (character == "}")
        if depth < 0:
            break
    if depth == 0 and not name.endswith("\\"):
        return "{" + name + "}"
    return "".join("\\" + c if not c.isalnum() and c not in "_/." else c for c in name)


def write_tcl(design: Design, path: Path) -> list[Path]:
    """Write the placed hard macros that are not fixed; returns the path.

    Raises:
        InputError: there is none.
    """
    chosen = (design.kind == MACRO) & ~design.fixed
    if design.constraints is not None:
        chosen &= ~design.constraints.unplaced
    if not chosen.any():
        raise InputError("the design has no placed movable macro to write", where=path)
    width, height = design.size()
    low = np.stack([design.x - width / 2, design.y - height / 2], 1) * design.unit_um
    lines = []
    for i in np.flatnonzero(chosen).tolist():
        # Six decimals are finer than any database unit; no -0.
        x, y = (f"{value + 0.0:.6f}".rstrip("0").rstrip(".") for value in np.round(low[i], 6))
        turn = WORDS[ORIENTATIONS[design.orientation[i]]]
        lines.append(f"place_macro -macro_name {tcl_word(design.names[i])} "
                     f"-location {{{x} {y}}} -orientation {turn}\n")  # fmt: skip
    with atomic_write(path) as part:
        part.write_text("".join(lines))
    return [path]

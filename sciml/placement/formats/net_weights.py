"""Weights of nets from a text file, for instance from a timing report.

    net,criticality
    core/alu/n42,0.93
    core/alu/n43,0.10

One net a line, its name and a number, between them a comma or blanks; `#` begins a comment. The
first line may say what the numbers are: `weight` (as without it), which multiplies the weight that
the netlist gives, or `criticality`, from 0 to 1, as timing analysers give it: 1 - slack over the
worst slack.
Analytic placers follow timing by such weights (Kong, "A novel net weighting algorithm for
timing-driven placement", ICCAD 2002); the criticality's power keeps nets that are far from
critical from pulling (Marquardt, Betz and Rose, FPGA 2000).
"""

from __future__ import annotations

import math
import os
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.placement.design import Design
from sciml.placement.tokens import Names

STRENGTH = 3.0
"""A net of criticality 1 pulls 1 + STRENGTH times as strongly."""
EXPONENT = 2.0
"""Power of the criticality."""
HEAVIEST = 1e6
HEADERS = ("weight", "criticality")


def from_criticality(criticality: np.ndarray) -> np.ndarray:
    """Factors of net weights from criticalities in 0 .. 1."""
    return 1.0 + STRENGTH * np.asarray(criticality, np.float64) ** EXPONENT


def read_net_weights(path: str | os.PathLike[str], design: Design) -> np.ndarray:
    """Factors of the design's net weights [M], from a file; 1 for nets that it does not name.

    Nets of a .pb.txt have the names of their drivers.

    Raises:
        InputError: no such file or net, a net that is named twice, no number, a negative or too
            large one, or a criticality above 1.
    """
    if design.net_names is None:
        raise InputError("the nets of this design have no names", where=design.source)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=path) from None
    labels: list[str] = []
    values: list[float] = []
    kind, first = "weight", True
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].replace(",", " ").split()
        if not words:
            continue
        if first and len(words) == 2 and words[1].lower() in HEADERS:
            kind, first = words[1].lower(), False
            continue
        first = False
        try:
            if len(words) != 2:
                raise ValueError
            value = float(words[1])
        except ValueError:
            raise InputError(f"expected a net and a number, got {line.strip()[:60]!r}",
                             where=f"{path}:{number}") from None  # fmt: skip
        most = 1.0 if kind == "criticality" else HEAVIEST
        if not (math.isfinite(value) and 0 <= value <= most):
            raise InputError(
                f"the {kind} of net {words[0]!r} must be in 0 .. {most:g}, got {words[1]}",
                where=f"{path}:{number}",
            )
        labels.append(words[0])
        values.append(value)
    index = design.net_names.find(Names.of(labels))
    for k in np.flatnonzero(index < 0)[:1].tolist():
        near = get_close_matches(labels[k], list(design.net_names)[:20000], 1)
        raise InputError(
            f"no net {labels[k]!r} in {design.name}", where=path,
            hint=f"The nearest is {near[0]!r}" if near else "Nets are named as in the netlist",
        )  # fmt: skip
    if len(np.unique(index)) < len(index):
        seen = np.bincount(index)
        twice = design.net_names[int(seen.argmax())]
        raise InputError(f"net {twice!r} stands there twice", where=path)
    factors = np.ones(design.nets)
    numbers = np.array(values, np.float64)
    factors[index] = from_criticality(numbers) if kind == "criticality" else numbers
    return factors

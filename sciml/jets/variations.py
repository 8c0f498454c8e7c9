"""Systematic variations of jets: what scores become if the detector was another one.

    varied = vary(jets, "jes_up")  # `jets` as `read_jets` gives them
    for variation in parse(["jes_up", "jer_down=0.2"]): ...

Random numbers depend on the jet's place in the input, the constituent's place in its jet and the
kind of variation alone: a jet is varied alike whatever is read, or varied, together with it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, unknown
from sciml.jets.data.columns import MOMENTUM
from sciml.jets.data.packing import PADDING, kinds_of

SIZES = {
    "jes": 0.01, "jer": 0.1, "neutral": 0.03, "photon": 0.01, "tracking": 0.03, "impact": 0.1,
}  # fmt: skip
"""Default size of each kind of variation, see `KINDS`."""
KINDS = {
    "jes": "jet energy scale: momenta of all constituents, relative",
    "jer": "jet energy resolution: momenta times 1 + size z, z normal per jet; down is -z",
    "neutral": "energy scale of neutral hadrons, relative",
    "photon": "energy scale of photons, relative",
    "tracking": "share of charged constituents that are lost; down only",
    "impact": "resolution of impact parameters: values times 1 + size",
}
"""What each kind of variation changes."""
NAMES = tuple(
    f"{kind}_{side}"
    for kind in KINDS
    for side in ("up", "down")
    if (kind, side) != ("tracking", "up")
)
"""Names of all variations."""


@dataclasses.dataclass(frozen=True)
class Variation:
    """A variation of known size.

    Attributes:
        kind: of `KINDS`.
        up: the side.
        size: how much, > 0.
    """

    kind: str
    up: bool
    size: float

    @property
    def name(self) -> str:
        """As on the command line: jes_up."""
        return f"{self.kind}_{'up' if self.up else 'down'}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads beside the momenta."""
        return {
            "neutral": ("part_isNeutralHadron",), "photon": ("part_isPhoton",),
            "tracking": ("part_charge",), "impact": ("part_d0val", "part_dzval"),
        }.get(self.kind, ())  # fmt: skip


def parse(names: Iterable[str]) -> list[Variation]:
    """Variations by name, `jes_up` or with a size `jes_up=0.02`; several may be joined by commas.

    Raises:
        InputError: an unknown name (the nearest is named), one given twice, or a size that is not
            within (0, 1).
    """
    out: dict[str, Variation] = {}
    for word in (part.strip() for name in names for part in name.split(",")):
        name, _, text = word.partition("=")
        if name == "tracking_up":
            raise InputError(
                "tracks that were not reconstructed cannot be added: there is no tracking_up",
                hint="Mirror the change by tracking_down",
            )
        if name not in NAMES:
            raise unknown("variation", name, NAMES)
        kind, _, side = name.rpartition("_")
        if text and not re.fullmatch(r"[0-9.eE+-]{1,20}", text):
            raise InputError(f"the size of {name} must be a number, got {text!r}")
        try:
            size = float(text) if text else SIZES[kind]
        except ValueError as error:
            raise InputError(f"the size of {name} must be a number, got {text!r}") from error
        if not 0 < size < 1:
            raise InputError(f"the size of {name} must be within (0, 1), got {size}")
        if name in out:
            raise InputError(f"the variation {name} is named twice")
        out[name] = Variation(kind, side == "up", size)
    return list(out.values())


def vary(events: Any, variation: Variation | str, first: int = 0) -> ak.Array:
    """Jets as the varied detector would have measured them.

    The momentum of a jet (`jet_pt`, `jet_energy`) changes by the ratio of the sums of its
    constituents; angles stay.

    Args:
        events: awkward record array of jets, with the columns of momenta.
        variation: a variation or its name.
        first: place of the first of these jets in the whole input.

    Raises:
        InputError: a column is missing that the variation needs.
    """
    if isinstance(variation, str):
        (variation,) = parse([variation])
    for name in (*MOMENTUM, *variation.columns):
        if name not in events.fields:
            raise InputError(f"the variation {variation.name} needs the column {name!r}")
    columns = {name: events[name] for name in events.fields}
    sign = 1.0 if variation.up else -1.0
    counts = ak.to_numpy(ak.num(events[MOMENTUM[0]]))
    row = np.repeat(np.arange(len(counts)), counts)
    momenta = [ak.to_numpy(ak.flatten(events[name])) for name in MOMENTUM]
    dense = len(counts) > 0 and counts[0] > 0 and bool((counts == counts[0]).all())
    px, py, pz, energy = momenta
    real = kinds_of(px, py, pz, energy, counts, dense) != PADDING
    if variation.kind == "impact":
        for name in variation.columns:
            columns[name] = _scaled(columns[name], 1 + sign * variation.size)
        return ak.zip(columns, depth_limit=1)
    if variation.kind == "tracking":
        charged = ak.to_numpy(ak.flatten(events["part_charge"])) != 0
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        lost = charged & (_uniform(row + first, place, 2) < variation.size)
        # Without momentum they are left out as all candidates without momentum; lengths stay.
        factor: Any = np.where(lost, 0.0, 1.0)
    elif variation.kind == "jes":
        factor = np.full(len(row), 1 + sign * variation.size)
    elif variation.kind == "jer":
        z = _normal(np.arange(first, first + len(counts)), np.zeros(len(counts), int), 1)
        factor = np.maximum(1 + sign * variation.size * z, 0.01)[row]
    else:
        chosen = ak.to_numpy(ak.flatten(events[variation.columns[0]])) > 0
        factor = np.where(chosen, 1 + sign * variation.size, 1.0)
    factor = np.where(real, factor, 1.0)
    before = _sums(px[real], py[real], energy[real], row[real], len(counts))
    for name in MOMENTUM:
        columns[name] = _scaled(columns[name], ak.unflatten(factor, counts))
    px, py, energy = (values[real] * factor[real] for values in (px, py, energy))
    return _with_jets(columns, before, _sums(px, py, energy, row[real], len(counts)))


def _scaled(values: ak.Array, factor: Any) -> ak.Array:
    """The product, in single precision."""
    return ak.values_astype(ak.values_astype(values, np.float64) * factor, np.float32)


def _sums(px: Any, py: Any, energy: Any, row: NDArray[np.int64], jets: int) -> tuple[Any, Any]:
    """pT and energy of the sum of constituents [jets]."""
    total = [np.bincount(row, v.astype(np.float64), jets) for v in (px, py, energy)]
    return np.hypot(total[0], total[1]), total[2]


def _with_jets(columns: dict[str, Any], before: Any, after: Any) -> ak.Array:
    for name, old, new in zip(("jet_pt", "jet_energy"), before, after, strict=True):
        if name in columns:
            ratio = np.divide(new, old, out=np.ones(len(old)), where=old > 0)
            values = np.asarray(columns[name])
            columns[name] = (values.astype(np.float64) * ratio).astype(values.dtype)
    return ak.zip(columns, depth_limit=1)


def _uniform(row: NDArray[np.int64], place: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """Numbers in (0, 1) by the place in the input alone (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = _mix(_mix(row.astype(np.uint64) + np.uint64(stream) * np.uint64(0xD1342543DE82EF95)))
        z = _mix(z + place.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _normal(row: NDArray[np.int64], place: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    from scipy.special import ndtri

    return ndtri(_uniform(row, place, stream))

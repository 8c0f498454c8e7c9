"""Working points: thresholds on a score by the background efficiency, and how efficient they are.

    points = measure(probabilities, labels, classes, efficiencies=[0.1, 0.01])
    points.threshold("Tbqq", 0.01)                  # of p_Tbqq / (p_Tbqq + p_QCD)
    points.passing(probabilities)["Tbqq", 0.01]     # bool per jet

Efficiencies per class come in bins of pT and |eta|, with Clopper and Pearson's intervals.
`to_correctionlib` gives all of it, and templates of scale factors, in the format that CMS tools
read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.errors import InputError, unknown
from sciml.jets.metrics import discriminant
from sciml.jets.weighting import checked, effective

FORMAT = "sciml.jets.working_points/1"
LEVEL = 0.6827
"""Confidence of the intervals."""


@dataclasses.dataclass(frozen=True)
class Efficiency:
    """A share of jets that pass.

    Attributes:
        value: the share; NaN without jets.
        low, high: Clopper and Pearson's interval at 68.27 %.
        jets: effective number of jets (`sciml.jets.weighting`).
    """

    value: float
    low: float
    high: float
    jets: float


def efficiency(passed: NDArray[np.bool_], weights: Any = None, level: float = LEVEL) -> Efficiency:
    """The (weighted) share of jets that pass.

    The interval is that of Clopper and Pearson 1934, Biometrika 26, 404; a weighted sample counts
    as its effective number of jets.
    """
    passed = np.asarray(passed, bool)
    if not len(passed):
        return Efficiency(math.nan, 0.0, 1.0, 0.0)
    weights = checked(weights, passed.shape)
    jets = effective(weights)
    value = float(weights[passed].sum() / weights.sum())
    return Efficiency(value, *clopper_pearson(value * jets, jets, level), jets)


def clopper_pearson(passing: float, jets: float, level: float = LEVEL) -> tuple[float, float]:
    """Limits of a binomial share, of `passing` out of `jets`; both may be fractions."""
    from scipy.stats import beta

    rest, tail = jets - passing, (1 - level) / 2
    low = 0.0 if passing <= 1e-9 else float(beta.ppf(tail, passing, rest + 1))
    high = 1.0 if rest <= 1e-9 else float(beta.ppf(1 - tail, passing + 1, rest))
    return low, high


@dataclasses.dataclass(frozen=True)
class WorkingPoints:
    """Thresholds of each signal class at each background efficiency.

    Attributes:
        classes: names of the classes of the tagger.
        background: the class that is rejected.
        efficiencies: of the background, [points].
        thresholds: signal -> [points] thresholds of p_signal / (p_signal + p_background).
        total: (signal, point, class) -> `Efficiency` of all jets of the class.
        pt, eta: edges of the bins [GeV] and of |eta|; empty without maps.
        maps: (signal, point, class) -> efficiencies [len(pt) - 1][len(eta) - 1].
        model: name of the tagger.
    """

    classes: tuple[str, ...]
    background: str
    efficiencies: tuple[float, ...]
    thresholds: dict[str, tuple[float, ...]]
    total: dict[tuple[str, int, str], Efficiency]
    pt: tuple[float, ...] = ()
    eta: tuple[float, ...] = ()
    maps: dict[tuple[str, int, str], list[list[Efficiency]]] = dataclasses.field(
        default_factory=dict
    )
    model: str = ""

    def threshold(self, signal: str, background_efficiency: float) -> float:
        """The threshold of a signal class.

        Raises:
            InputError: no such class or working point.
        """
        if signal not in self.thresholds:
            raise unknown("signal class", signal, self.thresholds)
        return self.thresholds[signal][self.point(background_efficiency)]

    def point(self, background_efficiency: float) -> int:
        """Index of a working point.

        Raises:
            InputError: it was not measured.
        """
        for index, value in enumerate(self.efficiencies):
            if math.isclose(value, background_efficiency, rel_tol=1e-6):
                return index
        raise InputError(
            f"no working point at the background efficiency {background_efficiency:g}",
            hint=f"Measured are {', '.join(f'{v:g}' for v in self.efficiencies)}",
        )

    def at(self, background_efficiencies: Sequence[float]) -> WorkingPoints:
        """These working points alone, without maps.

        Raises:
            InputError: one was not measured.
        """
        chosen = [self.point(value) for value in background_efficiencies]
        return dataclasses.replace(
            self,
            efficiencies=tuple(self.efficiencies[i] for i in chosen),
            thresholds={s: tuple(t[i] for i in chosen) for s, t in self.thresholds.items()},
            total={
                (s, chosen.index(p), c): e for (s, p, c), e in self.total.items() if p in chosen
            },
            maps={}, pt=(), eta=(),
        )  # fmt: skip

    def passing(self, probabilities: np.ndarray) -> dict[tuple[str, float], NDArray[np.bool_]]:
        """(signal, background efficiency) -> which jets pass; a NaN row passes nowhere."""
        base, out = self.classes.index(self.background), {}
        for signal, thresholds in self.thresholds.items():
            scores = discriminant(probabilities, self.classes.index(signal), base)
            for value, threshold in zip(self.efficiencies, thresholds, strict=True):
                out[signal, value] = scores >= threshold
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        signals = {
            signal: [
                {
                    "background_efficiency": value,
                    "threshold": self.thresholds[signal][point],
                    "efficiency": {
                        name: dataclasses.asdict(self.total[signal, point, name])
                        for name in self.classes if (signal, point, name) in self.total
                    },
                    "map": {
                        name: [[dataclasses.asdict(cell) for cell in row] for row in rows]
                        for (s, p, name), rows in self.maps.items() if (s, p) == (signal, point)
                    },
                }
                for point, value in enumerate(self.efficiencies)
            ]
            for signal in self.thresholds
        }  # fmt: skip
        return {
            "format": FORMAT, "model": self.model, "classes": list(self.classes),
            "background": self.background, "score": "p_signal / (p_signal + p_background)",
            "pt_edges": list(self.pt), "abs_eta_edges": list(self.eta), "signals": signals,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Any, where: object = None) -> WorkingPoints:
        """What `to_dict` gave.

        Raises:
            InputError: it is something else.
        """
        try:
            if values["format"] != FORMAT:
                raise KeyError("format")
            classes, background = tuple(values["classes"]), str(values["background"])
            rows = values["signals"]
            points = tuple(float(r["background_efficiency"]) for r in next(iter(rows.values())))
            thresholds = {s: tuple(float(r["threshold"]) for r in rows[s]) for s in rows}
            known = {background, *thresholds} <= set(classes)
            if not known or any(len(t) != len(points) for t in thresholds.values()):
                raise ValueError("classes")
            total = {
                (s, point, name): _efficiency(entry)
                for s in rows for point, row in enumerate(rows[s])
                for name, entry in row["efficiency"].items()
            }  # fmt: skip
            maps = {
                (s, point, name): [[_efficiency(cell) for cell in line] for line in lines]
                for s in rows for point, row in enumerate(rows[s])
                for name, lines in row["map"].items()
            }  # fmt: skip
            pt, eta = (tuple(map(float, values[k])) for k in ("pt_edges", "abs_eta_edges"))
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise InputError(
                "holds no working points", where=where,
                hint="`sciml jets working-points LABELLED -o FILE` measures them",
            ) from error  # fmt: skip
        return cls(
            classes, background, points, thresholds, total, pt, eta, maps, str(values["model"])
        )


def _efficiency(entry: dict[str, Any]) -> Efficiency:
    return Efficiency(*(math.nan if entry[f.name] is None else float(entry[f.name])
                        for f in dataclasses.fields(Efficiency)))  # fmt: skip


def measure(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    background: str = "QCD",
    efficiencies: Sequence[float] = (0.1, 0.01, 0.001),
    weights: np.ndarray | None = None,
    pt: np.ndarray | None = None,
    eta: np.ndarray | None = None,
    pt_edges: Sequence[float] = (),
    eta_edges: Sequence[float] = (0.0, 1.2, 2.5),
    model: str = "",
) -> WorkingPoints:
    """Thresholds at background efficiencies, and the efficiency of each class there.

    The threshold is the smallest score that no more than this share of the background reaches.

    Args:
        probabilities: [n, classes]; rows that are not finite pass nowhere.
        labels: [n] classes.
        classes: names.
        background: the class that is rejected.
        efficiencies: of the background, within (0, 1).
        weights: [n] of jets, see `sciml.jets.weighting`.
        pt, eta: [n] of jets, GeV; without them there are no maps.
        pt_edges: edges of the bins [GeV]; if there are none, four with equally many jets.
        eta_edges: edges of the bins of |eta|.
        model: name of the tagger.

    Raises:
        InputError: no background, an efficiency out of range, or one that fewer than one
            background jet would pass.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    classes, weights = tuple(classes), checked(weights, np.shape(probabilities))
    if background not in classes:
        raise unknown("background class", background, classes)
    base = classes.index(background)
    rejected = labels == base
    jets = effective(weights[rejected])
    if not jets:
        raise InputError(f"holds no jets of the background class {background!r}")
    for value in efficiencies:
        if not 0 < value < 1:
            raise InputError(f"a background efficiency must be within (0, 1), got {value:g}")
        if value * jets < 1:
            raise InputError(
                f"at the background efficiency {value:g} fewer than one of {jets:.0f} background "
                "jets passes",
                hint=f"Use at least {math.ceil(10 / value)} background jets or a looser point",
            )
    present = [i for i in range(len(classes)) if weights[labels == i].any()]
    thresholds, total, maps = {}, {}, {}
    pt_edges, eta_edges = tuple(map(float, pt_edges)), tuple(map(float, eta_edges))
    binned = None
    if pt is not None and eta is not None:
        pt, eta = np.asarray(pt, np.float64), np.abs(np.asarray(eta, np.float64))
        pt_edges = pt_edges or quarters(pt[rejected], weights[rejected])
        for name, edges in (("pt", pt_edges), ("eta", eta_edges)):
            if len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise InputError(f"the edges of {name} must ascend, got {list(edges)}")
        binned = (np.searchsorted(pt_edges, pt, "right") - 1,
                  np.searchsorted(eta_edges, eta, "right") - 1)  # fmt: skip
    for signal in (i for i in range(len(classes)) if i != base):
        scores = discriminant(probabilities, signal, base)
        scores = np.where(np.isfinite(scores), scores, -np.inf)
        name = classes[signal]
        thresholds[name] = tuple(
            _threshold(scores[rejected], weights[rejected], value) for value in efficiencies
        )
        for point, threshold in enumerate(thresholds[name]):
            for index in present:
                mine = labels == index
                passed = scores >= threshold
                total[name, point, classes[index]] = efficiency(passed[mine], weights[mine])
                if binned is not None:
                    maps[name, point, classes[index]] = [
                        [
                            efficiency(passed[cell], weights[cell])
                            if weights[cell := mine & (binned[0] == i) & (binned[1] == j)].any()
                            else Efficiency(math.nan, 0.0, 1.0, 0.0)
                            for j in range(len(eta_edges) - 1)
                        ]
                        for i in range(len(pt_edges) - 1)
                    ]
    if binned is None:
        pt_edges = eta_edges = ()
    return WorkingPoints(classes, background, tuple(map(float, efficiencies)), thresholds, total,
                         pt_edges, eta_edges, maps, model)  # fmt: skip


def quarters(pt: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    """Edges of four bins of equally many jets, in whole GeV."""
    order = np.argsort(pt)
    summed = np.cumsum(weights[order]) / weights.sum()
    inner = [float(pt[order][np.searchsorted(summed, q)]) for q in (0.25, 0.5, 0.75)]
    edges = [math.floor(pt.min()), *map(round, inner), math.ceil(pt.max()) + 1]
    return tuple(float(edge) for edge in sorted(set(edges)))


def _threshold(scores: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest score that at most this share of the weights reaches."""
    order = np.argsort(-scores, kind="stable")
    values, summed = scores[order], np.cumsum(weights[order])
    last = np.append(np.diff(values) != 0, True)  # jets of equal scores pass together
    fits = last & (summed <= share * summed[-1] * (1 + 1e-12))
    if not fits.any():  # even the highest score is shared by too many
        return float(np.nextafter(values[0], np.inf))
    return float(values[np.flatnonzero(fits)[-1]])

"""The ten jet classes of JetClass as Pythia 8 processes, and the truth of a jet.

Settings follow JetClass (arXiv:2202.03772): each heavy resonance recoils against a Z that decays
to neutrinos (or against its twin), background jets are Z (to neutrinos) + jet. JetClass takes the
hard process from MadGraph at leading order; here it is Pythia's own leading-order matrix element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sciml.errors import unknown

_Z_TO_NEUTRINOS = ("23:onMode = off", "23:onIfAny = 12 14 16")
_HZ = ("HiggsSM:ffbar2HZ = on", *_Z_TO_NEUTRINOS, "25:onMode = off")
_WW = ("25:onIfMatch = 24 -24", "24:onMode = off")
_TTBAR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")
_QUARKS = "1 2 3 4 5"


@dataclass(frozen=True)
class Process:
    """One class: its Pythia settings and the resonance whose decay its jets must contain."""

    settings: tuple[tuple[str, ...], ...]
    """Pythia settings; alternatives are used in turn (which W of Hqql is the leptonic one)."""
    parent: int | None
    """|PDG code| of the resonance; None for background."""
    products: int = 0
    """Number of visible decay products (quarks, gluons, charged leptons) inside the jet."""


PROCESSES: dict[str, Process] = {
    "QCD": Process(
        (
            (
                "WeakBosonAndParton:qqbar2gmZg = on",
                "WeakBosonAndParton:qg2gmZq = on",
                "WeakZ0:gmZmode = 2",
                *_Z_TO_NEUTRINOS,
            ),
        ),
        None,
    ),
    "Hbb": Process(((*_HZ, "25:onIfMatch = 5 -5"),), 25, 2),
    "Hcc": Process(((*_HZ, "25:onIfMatch = 4 -4"),), 25, 2),
    "Hgg": Process(((*_HZ, "25:onIfMatch = 21 21"),), 25, 2),
    "H4q": Process(((*_HZ, *_WW, f"24:onIfAny = {_QUARKS}"),), 25, 4),
    "Hqql": Process(
        (
            (*_HZ, *_WW, f"24:onPosIfAny = {_QUARKS}", "24:onNegIfAny = 11 13"),
            (*_HZ, *_WW, f"24:onNegIfAny = {_QUARKS}", "24:onPosIfAny = 11 13"),
        ),
        25,
        3,
    ),
    "Zqq": Process(
        (
            (
                "WeakDoubleBoson:ffbar2gmZgmZ = on",
                "WeakZ0:gmZmode = 2",
                "23:onMode = off",
                f"23:onIfAny = {_QUARKS} 12 14 16",
            ),
        ),
        23,
        2,
    ),
    "Wqq": Process(
        (
            (
                "WeakDoubleBoson:ffbar2ZW = on",
                *_Z_TO_NEUTRINOS,
                "24:onMode = off",
                f"24:onIfAny = {_QUARKS}",
            ),
        ),
        24,
        2,
    ),
    "Tbqq": Process(((*_TTBAR, f"24:onIfAny = {_QUARKS}"),), 6, 3),
    "Tbl": Process(((*_TTBAR, "24:onIfAny = 11 13"),), 6, 2),
    "dijet": Process((("HardQCD:all = on",),), None),
}
"""Every process by name: the ten classes, and QCD dijets (top tagging's background)."""

SHOWERS = {"pythia": 1, "vincia": 2}
"""Parton showers in Pythia: the default one and Vincia (antennae). Dire left Pythia in 8.317."""


def process(name: str) -> Process:
    """The process of this name.

    Raises:
        InputError: if there is none; names the nearest.
    """
    if name not in PROCESSES:
        raise unknown("jet class", name, PROCESSES)
    return PROCESSES[name]


def settings(name: str, seed: int, *, variant: int = 0, shower: str = "pythia") -> list[str]:
    """Pythia settings of a process at the LHC (13 TeV), one string each.

    Args:
        name: a key of `PROCESSES`.
        seed: Pythia's seed, 1 .. 900 000 000.
        variant: which of the alternative settings, modulo their number.
        shower: "pythia" or "vincia".
    """
    alternatives = process(name).settings
    return [
        *_common(seed, shower),
        "Beams:eCM = 13000",
        "PhaseSpace:pTHatMin = 450",
        "PhaseSpace:pTHatMax = 1300",
        *alternatives[variant % len(alternatives)],
    ]


def shower_settings(seed: int, *, shower: str = "pythia") -> list[str]:
    """Pythia settings for showering hard-scatter events of another source, once each."""
    return [*_common(seed, shower), "Beams:frameType = 5", "Check:abortIfVeto = on"]


def _common(seed: int, shower: str) -> list[str]:
    if shower not in SHOWERS:
        raise unknown("parton shower", shower, SHOWERS)
    return [
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        f"PartonShowers:model = {SHOWERS[shower]}",
    ]


@dataclass(frozen=True)
class Truth:
    """A resonance of one event and its visible decay products, before their showers.

    Momenta are (pT [GeV], eta, phi, mass [GeV]).
    """

    pid: int
    momentum: tuple[float, float, float, float]
    product_pids: tuple[int, ...]
    products: tuple[tuple[float, float, float, float], ...]

    @property
    def code(self) -> int:
        """JetClass's `aux_truth_match`: 11, 12 top to b + (c q | q q); 15, 16 top to b e|mu;
        21, 22 W to (c q | q q); 31-33 Z to bb, cc, qq; 41, 42, 44, 45, 46 H to bb, cc, gg,
        4 quarks, 2 quarks + lepton."""
        pids = sorted(abs(pid) for pid in self.product_pids)
        parent = abs(self.pid)
        if parent == 6:
            if 11 in pids:
                return 15
            if 13 in pids:
                return 16
            quarks = list(pids)
            quarks.remove(max(quarks))  # the b of the top decay
            return 11 if max(quarks) >= 4 else 12
        if parent == 24:
            return 21 if max(pids) >= 4 else 22
        if parent == 23:
            return {"5 5": 31, "4 4": 32}.get(" ".join(map(str, pids)), 33)
        if len(pids) > 2:
            return 46 if pids[-1] in (11, 13) else 45
        return {5: 41, 4: 42, 21: 44}.get(pids[-1], 43)


def truths(event: Any, name: str) -> list[Truth]:
    """The resonances of the hard process whose decay makes a jet of class `name`.

    Empty for background, and for resonances that decay invisibly.

    Args:
        event: Pythia's event record, complete.
    """
    chosen = process(name)
    if chosen.parent is None:
        return []
    resonances = []
    for i in (5, 6):
        if event[i].idAbs() != chosen.parent:
            continue
        last = event[event[i].iBotCopyId()]
        products = _visible(event, last)
        if len(products) == chosen.products:
            resonances.append(
                Truth(
                    last.id(),
                    (last.pT(), last.eta(), last.phi(), last.m()),
                    tuple(p.id() for p in products),
                    tuple((p.pT(), p.eta(), p.phi(), p.m()) for p in products),
                )
            )
    return resonances


def _visible(event: Any, particle: Any) -> list[Any]:
    """Quarks, gluons and charged leptons from the decay of a resonance, through W and Z."""
    out = []
    for index in particle.daughterList():
        daughter = event[index]
        code = daughter.idAbs()
        if code in (23, 24):
            out += _visible(event, event[daughter.iBotCopyId()])
        elif code in (11, 13, 15):
            out.append(event[daughter.iBotCopyId()])
        elif code <= 5 or code == 21:
            out.append(daughter)
    return out

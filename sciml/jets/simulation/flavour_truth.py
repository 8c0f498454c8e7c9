"""The truth of flavour tagging in a Pythia event: where each particle comes from, and ghosts.

The origin of a particle is that of ATLAS's network with auxiliary tasks (GN1,
ATL-PHYS-PUB-2022-027): the last decay of a weakly decaying hadron or tau among its
ancestors. Its production vertex says which tracks share one.

The flavour of a jet is that of the heaviest ghost in it: hadrons, taus and partons enter the
clustering of the jets with an infinitesimal momentum (Cacciari, Salam, Soyez 2008,
arXiv:0802.1188), which changes no jet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sciml.jets.data.columns import ORIGINS
from sciml.jets.simulation import processes
from sciml.jets.simulation.detector import Particles

PILE_UP, PRIMARY, FROM_B, FROM_BC, FROM_C, FROM_TAU, OTHER = range(len(ORIGINS))
"""The origins by name."""
NO_TRUTH = -1
"""Origin and vertex of a candidate without a track, to which many particles contribute."""
GHOST_PT = 5.0
"""Smallest pT [GeV] of a hadron, tau or parton that gives a jet its flavour."""
LEPTON_PT = 10.0
"""Smallest pT [GeV] of an electron or muon from a W, Z or tau whose jet has no flavour."""

_B_HADRONS = frozenset({511, 521, 531, 541, 5122, 5132, 5232, 5332})
_C_HADRONS = frozenset({411, 421, 431, 4122, 4132, 4232, 4332})
_STRANGE = frozenset({310, 130, 321, 3122, 3112, 3222, 3312, 3322, 3334})
"""Hadrons whose decay lies far from the vertices of heavy flavour."""
_PARTONS = frozenset({1, 2, 3, 4, 5, 21})
_SHOWER = frozenset({23, 33, 43, 51})
"""|status| of partons out of the hard process, further parton collisions and the showers."""
_INVISIBLE = frozenset({12, 14, 16})

PROCESSES: dict[str, tuple[str, ...]] = {
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    "dijet": (
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 20",
        "PhaseSpace:pTHatMax = 400",
        "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 4.5",
        "PhaseSpace:bias2SelectionRef = 20",
    ),
    "ccbar": (
        "HardQCD:hardccbar = on",
        "PhaseSpace:pTHatMin = 20",
        "PhaseSpace:pTHatMax = 400",
        "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 4.5",
        "PhaseSpace:bias2SelectionRef = 20",
    ),
    "Ztautau": (
        "WeakBosonAndParton:qqbar2gmZg = on",
        "WeakBosonAndParton:qg2gmZq = on",
        "WeakZ0:gmZmode = 2",
        "23:onMode = off",
        "23:onIfAny = 15",
        "PhaseSpace:pTHatMin = 30",
        "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 3",
        "PhaseSpace:bias2SelectionRef = 30",
    ),
}
"""Pythia settings of the collisions that jets of all flavours come from. The spectra of dijet,
ccbar and Ztautau are flattened, so that jets of high momentum are not rare; the weights of the
events are not kept."""
MINIMUM_BIAS = ("SoftQCD:inelastic = on",)
"""Pythia settings of pile-up collisions."""


def settings(name: str, seed: int, shower: str = "pythia") -> list[str]:
    """Pythia settings at 13 TeV of a key of `PROCESSES`, or of "pile-up"."""
    lines = MINIMUM_BIAS if name == "pile-up" else PROCESSES[name]
    return [*processes._common(seed, shower), "Beams:eCM = 13000", *lines]


class Ghosts(NamedTuple):
    """Particles that give jets their flavour, arrays of one length.

    Attributes:
        momenta: [n, 4] px, py, pz, energy, GeV.
        flavour: [n] index into `columns.FLAVOURS`.
        rank: [n] the ghost of the highest rank in a jet decides (partons: the hardest).
    """

    momenta: NDArray[np.float64]
    flavour: NDArray[np.int64]
    rank: NDArray[np.float64]


@dataclass(frozen=True)
class Collision:
    """One collision as far as it is needed here.

    Attributes:
        particles: stable and visible ones.
        origin: [n] index into `columns.ORIGINS` of each.
        ghosts: of its jets.
        leptons: [k, 2] eta and phi of electrons and muons from W, Z and tau.
    """

    particles: Particles
    origin: NDArray[np.int64]
    ghosts: Ghosts
    leptons: NDArray[np.float64]


def read(event: Any, charges: dict[int, float]) -> Collision:
    """The truth of a complete event record.

    Args:
        event: Pythia's.
        charges: cache of charges by PDG code.
    """
    size = event.size()
    codes, origins = [0] * size, [PRIMARY] * size
    rows: list[tuple[float, ...]] = []
    of_rows: list[int] = []
    ghosts: list[tuple[float, ...]] = []
    leptons: list[tuple[float, float]] = []
    for i in range(1, size):
        p = event[i]
        pid, status = p.id(), p.status()
        code = abs(pid)
        codes[i] = code
        if -80 < status < 0:  # not yet hadrons
            if -status in _SHOWER and code in _PARTONS and p.pT() > GHOST_PT:
                ghosts.append(_parton(p, code))
            if code != 15:
                continue
        mother = p.mother1()
        origins[i] = origin = _origin(codes[mother], origins[mother])
        if status < 0:
            if (code in _B_HADRONS or code in _C_HADRONS) and p.pT() > GHOST_PT:
                heavy = 0 if code in _B_HADRONS else 1
                # a hadron that mixes stands twice; both are in one jet
                ghosts.append((p.px(), p.py(), p.pz(), p.e(), heavy, 3e6 - 1e6 * heavy))
            elif code == 15 and (ghost := _hadronic_tau(event, p)):
                ghosts.append(ghost)
            continue
        if code in _INVISIBLE:
            continue
        if pid not in charges:
            charges[pid] = p.charge()
        v = (p.xProd(), p.yProd(), p.zProd()) if p.hasVertex() else (0.0, 0.0, 0.0)
        rows.append((p.px(), p.py(), p.pz(), p.e(), p.m(), charges[pid], pid, *v))
        of_rows.append(origin)
        if code in (11, 13) and origin in (PRIMARY, FROM_TAU) and p.pT() > LEPTON_PT:
            if codes[mother] < 100 and codes[mother] != 22:
                leptons.append((p.eta(), p.phi()))
    table = np.array(rows, dtype=np.float64).reshape(-1, 10).T.copy()
    particles = Particles(*table[:6], table[6].astype(np.int64), *table[7:])  # type: ignore[call-arg]
    marks = np.array(ghosts, dtype=np.float64).reshape(-1, 6)
    return Collision(
        particles, np.array(of_rows, np.int64),
        Ghosts(marks[:, :4], marks[:, 4].astype(np.int64), marks[:, 5]),
        np.array(leptons, np.float64).reshape(-1, 2),
    )  # fmt: skip


def _origin(parent: int, origin: int) -> int:
    """Origin of the daughters of a particle with this |PDG code| and origin."""
    if parent in _STRANGE:
        return OTHER
    if parent in _B_HADRONS:
        return FROM_B
    if parent in _C_HADRONS:
        return FROM_BC if origin in (FROM_B, FROM_BC) else FROM_C
    if parent == 15 and origin == PRIMARY:
        return FROM_TAU
    return origin


def _parton(p: Any, code: int) -> tuple[float, ...]:
    # A jet whose hardest parton is heavy has a heavy hadron, or no flavour (-1).
    flavour = 4 if code == 21 else 3 if code <= 3 else -1
    return (p.px(), p.py(), p.pz(), p.e(), flavour, p.pT())


def _hadronic_tau(event: Any, tau: Any) -> tuple[float, ...] | None:
    """The ghost of a tau that decays to hadrons: its visible momentum."""
    visible = [0.0, 0.0, 0.0, 0.0]
    for index in tau.daughterList():
        daughter = event[index]
        code = daughter.idAbs()
        if code in (11, 13, 15):  # a lepton, or the same tau once more
            return None
        if code not in _INVISIBLE:
            for k, part in enumerate((daughter.px(), daughter.py(), daughter.pz(), daughter.e())):
                visible[k] += part
    if np.hypot(visible[0], visible[1]) <= GHOST_PT:
        return None
    return (*visible, 2, 1e6)


def flavour(ghosts: Ghosts, members: NDArray[np.int64]) -> int:
    """Index into `FLAVOURS` of a jet with these ghosts; -1 if it has none."""
    if not len(members):
        return -1
    return int(ghosts.flavour[members[np.argmax(ghosts.rank[members])]])

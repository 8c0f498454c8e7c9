"""Pythia 8 as a source of events: early rejection, and the stable particles as arrays.

Most of the time goes into multiparton interactions. Events that cannot pass the selection are
therefore rejected early: after the hard process if no resonance decays narrowly enough to fit into
one jet, and at the shower scale `STOP_SCALE` if no resonance has nearly the pT of a selected jet.
The margins cost less than one per cent of the jets (measured for W and top jets).

With several views, one hard-scatter event is showered, hadronised and decayed several times: the
views share the hard process (re-simulation: Harris, Kagan, Krupa, Maier, Woodward 2024,
arXiv:2403.07066).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sciml.errors import load_extra
from sciml.jets.simulation import processes
from sciml.jets.simulation.detector import Particles

STOP_SCALE = 20.0
"""Shower scale [GeV] of the second veto."""
PT_MARGINS = (455.0, 1150.0)
"""Window of a resonance's pT [GeV] at `STOP_SCALE` that can become a jet of 500-1000 GeV."""
ETA_MARGIN = 2.3
"""Largest |eta| of a resonance that can still become a jet of |eta| < 2."""
OPENING = 1.0
"""Largest dR between a resonance and its decay products, before the showers' recoil."""
_INVISIBLE = {12, 14, 16}


def pythia_module() -> Any:
    """The module `pythia8mc`.

    Raises:
        MissingExtra: if it is not installed.
    """
    return load_extra("pythia8mc", "generate", "generating collisions")


class Collisions:
    """Endless iterator over accepted events: for each view, (visible particles, resonances).

    Args:
        name: a key of `processes.PROCESSES`.
        seed: 1 .. 900 000 000.
        variant: which alternative of the process.
        shower: "pythia" or "vincia".
        veto: reject events early that cannot give a selected jet.
        views: number of showers per hard-scatter event.
    """

    def __init__(
        self, name: str, seed: int, *, variant: int = 0, shower: str = "pythia", veto: bool = True,
        views: int = 1,
    ) -> None:  # fmt: skip
        self.process = processes.process(name)
        self.name, self.views = name, views
        self._charges: dict[int, float] = {}
        # Vincia calls the pT veto with its own event layout: there only the hard process is vetoed.
        early, late = veto, veto and shower == "pythia"
        lines = processes.settings(name, seed, variant=variant, shower=shower)
        if views == 1:
            self.hard = None
            self.pythia = _Pythia(name, lines, early, late)
        else:
            self.hard = _HardCollisions(name, lines, early)
            again = processes.shower_settings(seed % 900_000_000 + 1, shower=shower)
            self.pythia = _Pythia(name, again, False, late, self.hard.source)

    def __iter__(self) -> Collisions:
        return self

    def __next__(self) -> list[tuple[Particles, list[processes.Truth]]]:
        while True:
            if self.hard is not None:
                self.hard.next()
            views: list[tuple[Particles, list[processes.Truth]]] = []
            while len(views) < self.views and self.pythia.next():
                event = self.pythia.event
                truth = processes.truths(event, self.name)
                if not truth and self.process.parent is not None:
                    break
                views.append((stable(event, self._charges), truth))
            if len(views) == self.views:
                return views


class _Pythia:
    """An initialised Pythia with early rejection of events."""

    def __init__(
        self, name: str, lines: list[str], early: bool, late: bool, source: Any = None
    ) -> None:
        module = pythia_module()
        self.pythia = module.Pythia("", False)
        for line in lines:
            if not self.pythia.readString(line):
                raise RuntimeError(f"Pythia refused the setting {line!r}")
        # Held here, because Pythia's C++ side does not keep the Python objects alive.
        self._held = [source]
        if source is not None:
            self.pythia.setLHAupPtr(source)
        if early or late:
            self._held.append(_hook(module, name, early, late))
            self.pythia.setUserHooksPtr(self._held[-1])
        if not self.pythia.init():
            raise RuntimeError(f"Pythia could not be started for {name!r}")
        self.next = self.pythia.next

    @property
    def event(self) -> Any:
        """The complete record of the event."""
        return self.pythia.event


class _HardCollisions:
    """Hard-scatter events without showers, as a `source` for another Pythia.

    The other Pythia reads the present event each time that it needs one.
    """

    def __init__(self, name: str, lines: list[str], early: bool) -> None:
        self.maker = _Pythia(name, [*lines, "PartonLevel:all = off"], early, False)
        self.maker.next()
        self._info = self.maker.pythia.infoPython()
        self.source = pythia_module().LHAupFromPYTHIA8(self.maker.pythia.process, self._info)

    def next(self) -> None:
        """The next hard-scatter event."""
        while not self.maker.next():
            pass
        # `infoPython` is a copy; the scales of this event, from which showers start, are written
        # into the copy that `source` reads.
        now = self.maker.pythia.infoPython()
        self._info.setPDFalpha(
            0, now.id1(), now.id2(), now.x1(), now.x2(), now.pdf1(), now.pdf2(), now.Q2Fac(),
            now.alphaEM(), now.alphaS(), now.Q2Ren(), now.scalup(),
        )  # fmt: skip


def _hook(module: Any, name: str, early: bool, late: bool) -> Any:
    parent = processes.process(name).parent
    heavy = parent is not None
    low, high = PT_MARGINS

    class EarlyRejection(module.UserHooks):
        def canVetoProcessLevel(self) -> bool:
            return early and heavy

        def doVetoProcessLevel(self, process: Any) -> bool:
            return not any(
                process[i].idAbs() == parent and _narrow(process, process[i]) for i in (5, 6)
            )

        def canVetoPT(self) -> bool:
            return late and heavy

        def scaleVetoPT(self) -> float:
            return STOP_SCALE

        def doVetoPT(self, position: int, event: Any) -> bool:
            for i in (5, 6):
                if event[i].idAbs() == parent:
                    last = event[event[i].iBotCopyId()]
                    if low < last.pT() < high and abs(last.eta()) < ETA_MARGIN:
                        return False
            return True

    return EarlyRejection()


def _narrow(event: Any, resonance: Any) -> bool:
    products = processes._visible(event, resonance)
    eta, phi = resonance.eta(), resonance.phi()
    return bool(products) and all(
        math.hypot(p.eta() - eta, math.remainder(p.phi() - phi, 2 * math.pi)) < OPENING
        for p in products
    )


def stable(event: Any, charges: dict[int, float]) -> Particles:
    """Stable visible particles of an event record; `charges` caches charge by PDG code."""
    rows = []
    for i in range(5, event.size()):
        p = event[i]
        if p.status() <= 0:
            continue
        pid = p.id()
        if abs(pid) in _INVISIBLE:
            continue
        if pid not in charges:
            charges[pid] = p.charge()
        v = (p.xProd(), p.yProd(), p.zProd()) if p.hasVertex() else (0.0, 0.0, 0.0)
        rows.append((p.px(), p.py(), p.pz(), p.e(), p.m(), charges[pid], pid, *v))
    table = np.array(rows, dtype=np.float64).reshape(-1, 10).T.copy()
    momenta, pid, vertex = table[:6], table[6].astype(np.int64), table[7:]
    return Particles(*momenta, pid, *vertex)  # type: ignore[call-arg]

"""Pythia 8 as a source of events: early rejection, and the stable particles as arrays.

Most of the time goes into multiparton interactions. So an event is given up where its fate is
already known: after the hard process if no resonance decays narrowly enough to fit into one jet,
and once the shower has come down to `STOP_SCALE` if no resonance has nearly the pT of a jet of the
selection. The margins cost less than one per cent of the jets (measured for W and top jets).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sciml.errors import MissingExtra
from sciml.jets import processes
from sciml.jets.detector import Particles

STOP_SCALE = 20.0
"""Shower scale [GeV] at which the momenta of the hard process are looked at."""
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
    try:
        import pythia8mc
    except ImportError as error:
        raise MissingExtra("pythia8mc", "generate", "generating collisions") from error
    return pythia8mc


class Collisions:
    """Endless iterator over (stable visible particles, resonances) of events that pass.

    Args:
        name: a key of `processes.PROCESSES`.
        seed: 1 .. 900 000 000.
        variant: which alternative of the process.
        shower: "pythia" or "vincia".
        veto: give up early on events that cannot give a jet of the selection.
    """

    def __init__(
        self, name: str, seed: int, *, variant: int = 0, shower: str = "pythia", veto: bool = True
    ) -> None:
        module = pythia_module()
        self.process = processes.process(name)
        self.name = name
        self.pythia = module.Pythia("", False)
        for line in processes.settings(name, seed, variant=variant, shower=shower):
            if not self.pythia.readString(line):
                raise RuntimeError(f"Pythia refused the setting {line!r}")
        if veto:
            # Held here, because Pythia's C++ side does not keep the Python object alive.
            self._hook = _hook(module, name, shower)
            self.pythia.setUserHooksPtr(self._hook)
        if not self.pythia.init():
            raise RuntimeError(f"Pythia could not be started for {name!r}")
        self._charges: dict[int, float] = {}

    def __iter__(self) -> Collisions:
        return self

    def __next__(self) -> tuple[Particles, list[processes.Truth]]:
        while True:
            if not self.pythia.next():
                continue
            truth = processes.truths(self.pythia.event, self.name)
            if truth or self.process.parent is None:
                return stable(self.pythia.event, self._charges), truth


def _hook(module: Any, name: str, shower: str) -> Any:
    wanted = processes.process(name)
    # Vincia calls the pT veto with its own event layout; there only the hard process is judged.
    at_scale = shower == "pythia"
    low, high = PT_MARGINS

    class EarlyRejection(module.UserHooks):
        def canVetoProcessLevel(self) -> bool:
            return wanted.parent is not None

        def doVetoProcessLevel(self, process: Any) -> bool:
            return not any(
                process[i].idAbs() == wanted.parent and _narrow(process, process[i]) for i in (5, 6)
            )

        def canVetoPT(self) -> bool:
            return at_scale and wanted.parent is not None

        def scaleVetoPT(self) -> float:
            return STOP_SCALE

        def doVetoPT(self, position: int, event: Any) -> bool:
            for i in (5, 6):
                if event[i].idAbs() == wanted.parent:
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

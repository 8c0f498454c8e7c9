"""Jets of many events at once with FastJet, and the observables of their substructure.

Jets are clustered with anti-kT (arXiv:0802.1189) and groomed with soft drop, beta = 0, z_cut = 0.1
(arXiv:1402.2657); N-subjettiness (arXiv:1011.2268) uses beta = 1 and one-pass kT axes, normalised
to the jet radius: the choices of JetClass.
"""

from __future__ import annotations

import os
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sciml.errors import load_extra


def fastjet_module() -> Any:
    """The module `fastjet`.

    Raises:
        MissingExtra: if it is not installed.
    """
    fastjet = load_extra("fastjet", "generate", "clustering jets")
    if not _banner_printed:
        _print_banner(fastjet)
    return fastjet


_banner_printed: list[bool] = []


def _print_banner(fastjet: Any) -> None:
    """Let FastJet print its banner, from C++ at the first clustering, to stderr instead of stdout.

    Standard output may carry data, and the banner would cut into a progress bar.
    """
    _banner_printed.append(True)
    stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        particle = fastjet.PseudoJet(1.0, 0.0, 0.0, 1.0)
        fastjet.ClusterSequence([particle], fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0))
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _momenta(particles: ak.Array) -> ak.Array:
    return ak.zip(
        {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy},
        with_name="Momentum4D",
    )


def anti_kt(events: ak.Array, radius: float, pt_min: float) -> tuple[ak.Array, ak.Array]:
    """Anti-kT jets of every event.

    Args:
        events: records px, py, pz, energy [GeV], events * particles.
        radius: R.
        pt_min: smallest jet pT [GeV].

    Returns:
        jets (records px, py, pz, E: events * jets) and, for each jet, the indices of its
        constituents in its event (events * jets * constituents).
    """
    fastjet = fastjet_module()
    sequence = fastjet.ClusterSequence(
        _momenta(events), fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    )
    return sequence.inclusive_jets(pt_min), sequence.constituent_index(pt_min)


def substructure(jets: ak.Array, radius: float) -> dict[str, NDArray[np.float64]]:
    """Groomed mass and N-subjettiness of jets given by their constituents.

    Args:
        jets: records px, py, pz, energy [GeV], jets * constituents, none empty.
        radius: R0.

    Returns:
        sdmass [GeV], tau1, tau2, tau3, tau4: one number per jet.
    """
    fastjet = fastjet_module()
    everything = fastjet.JetDefinition.max_allowable_R
    sequence = fastjet.ClusterSequence(
        _momenta(jets), fastjet.JetDefinition(fastjet.cambridge_algorithm, everything)
    )
    groomed = sequence.exclusive_jets_softdrop_grooming(
        njets=1, beta=0.0, symmetry_cut=0.1, R0=radius
    )
    taus = ak.to_numpy(
        sequence.njettiness(
            measure_definition="NormalizedMeasure",
            axes_definition="OnePass_KT_Axes",
            njets=[1, 2, 3, 4],
            beta=1.0,
            R0=radius,
        )
    ).reshape(len(jets), 4)
    out = {"sdmass": ak.to_numpy(groomed.msoftdrop).astype(np.float64)}
    return out | {f"tau{n + 1}": taus[:, n] for n in range(4)}

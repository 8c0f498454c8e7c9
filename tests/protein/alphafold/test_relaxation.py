"""Relaxation: faults go, the fold stays; without OpenMM the user is told how to get it."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein.alphafold.prediction import StructurePrediction
from sciml.protein.alphafold.relaxation import relax, violations
from sciml.protein.alphafold.structure_module import AtomBuilder, atom14_to_atom37
from sciml.protein.io import residues


def helix(sequence: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An ideal helix: phi -60, psi -45 degrees, side chains at -60; types, atoms, mask."""
    kinds = np.array([residues.RESIDUES.index(c) for c in sequence])
    backbone = [np.array([0.0, 0, 0]), np.array([1.458, 0, 0]), np.array([2.0, 1.42, 0])]
    lengths = (1.329, 1.458, 1.525)
    torsions = (-45.0, 180.0, -60.0)  # psi places N, omega CA, phi C
    while len(backbone) < 3 * len(sequence):
        kind = len(backbone) % 3
        a, b, c = backbone[-3:]
        angle = np.deg2rad((117.2, 121.7, 111.0)[kind])
        turn, length = np.deg2rad(torsions[kind]), lengths[kind]
        axis = (c - b) / np.linalg.norm(c - b)
        normal = np.cross(b - a, axis)
        normal /= np.linalg.norm(normal)
        frame = np.stack([axis, np.cross(normal, axis), normal])
        step = [-np.cos(angle), np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn)]
        backbone.append(c + length * np.array(step) @ frame)
    n, ca, c = (np.array(backbone[k::3]) for k in range(3))
    x = (c - ca) / np.linalg.norm(c - ca, axis=-1, keepdims=True)
    y = (n - ca) - ((n - ca) * x).sum(-1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=-1, keepdims=True)
    rotation = torch.as_tensor(np.stack([x, y, np.cross(x, y)], -1), dtype=torch.float32)[None]
    origin = torch.as_tensor(ca, dtype=torch.float32)[None]
    turns = torch.deg2rad(torch.tensor([180.0, -60, -45, -60, 180, 180, 180]))
    sin_cos = torch.stack([turns.sin(), turns.cos()], -1).expand(1, len(kinds), 7, 2)
    types = torch.as_tensor(kinds)[None]
    atoms, mask = atom14_to_atom37(AtomBuilder()(types, rotation, origin, sin_cos)[2], types)
    return kinds, atoms[0].numpy(), mask[0].numpy()


def test_an_ideal_helix_has_whole_bonds_and_a_squeezed_one_has_faults() -> None:
    types, atoms, _ = helix("ACDEFGHIKL")
    counts, fault = violations(types, atoms)
    assert counts["broken_bonds"] == 0 and counts["bad_angles"] == 0
    squeezed, bad = violations(types, atoms * 0.6)
    assert squeezed["broken_bonds"] > 0 and squeezed["clashing_atoms"] > counts["clashing_atoms"]
    assert bad.sum() > fault.sum()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openmm":
            raise ImportError("no", name="openmm")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs the package openmm(.|\n)*relax"):
        relax(*helix("ACD"))


def test_unknown_residues_are_refused() -> None:
    pytest.importorskip("openmm", reason="the extra packages of [relax] are not installed")
    pytest.importorskip("pdbfixer", reason="the extra packages of [relax] are not installed")
    types, atoms, mask = helix("ACD")
    types[1] = residues.UNKNOWN
    with pytest.raises(InputError, match="residue 2"):
        relax(types, atoms, mask)


def test_predictions_report_their_faults(tmp_path: Path) -> None:
    pytest.importorskip("openmm", reason="the extra packages of [relax] are not installed")
    pytest.importorskip("pdbfixer", reason="the extra packages of [relax] are not installed")
    types, atoms, mask = helix("ACDE")
    plain = StructurePrediction("x", types, atoms, mask, np.full(4, 80.0))
    relaxed = plain.relaxed(rounds=1)
    assert plain.violations is None and relaxed.atoms.shape == atoms.shape
    written = json.loads(relaxed.write(tmp_path)["confidence"].read_text())
    assert set(written["violations"]) == {"before", "after"}
    assert "broken_bonds" in written["violations"]["after"]


def test_faults_go_and_the_fold_stays() -> None:
    pytest.importorskip("openmm", reason="the extra packages of [relax] are not installed")
    pytest.importorskip("pdbfixer", reason="the extra packages of [relax] are not installed")
    types, atoms, mask = helix("AEKLWFQRSD")
    g = np.random.default_rng(0)
    shaken = (atoms + g.normal(0, 0.35, atoms.shape)) * mask[..., None]
    mask[4, residues.ATOM37_INDEX["CG"] :] = 0  # a side chain without its end
    relaxed = relax(types, shaken * mask[..., None], mask)
    assert sum(relaxed.before.values()) > 0
    assert relaxed.after["broken_bonds"] == relaxed.after["clashing_atoms"] == 0
    assert relaxed.energy_after < relaxed.energy_before and relaxed.moved < 1.0
    assert relaxed.mask[4].sum() == residues.ATOM37_MASK[types[4]].sum()

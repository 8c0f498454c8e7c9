"""Relaxation: restrained energy minimisation that removes bad bonds and clashes.

Jumper et al., Nature 596, 583 (2021), supplement 1.8.6: the AMBER99SB force field, harmonic
restraints of 10 kcal/mol/A^2 on the positions of heavy atoms, and further rounds in which residues
that still have violations are free. Needs the extra packages OpenMM and pdbfixer
(`pip install sciml[relax]`), which are loaded only here.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.errors import InputError
from sciml.protein.alphafold.violations import (
    bond_violations,
    clashes,
    count_violations,
    within_residues,
)
from sciml.protein.io import residues
from sciml.protein.io.structure_writing import write_structure

STIFFNESS = 10.0
"""Of the restraints [kcal/mol/A^2]."""
TOLERANCE = 2.39
"""Largest root mean square force at which the minimiser stops [kcal/mol/nm]."""


@dataclass
class Relaxed:
    """A relaxed chain.

    Attributes:
        atoms: [N, 37, 3] [A], heavy atoms; those that were missing are filled in.
        mask: [N, 37] atoms that the relaxed chain has.
        before, after: counts of broken bonds, bad angles and clashing atoms.
        energy_before, energy_after: [kcal/mol], of the force field with hydrogens, no restraints.
        moved: root mean square shift of the heavy atoms given [A].
        rounds: of minimisation.
    """

    atoms: np.ndarray
    mask: np.ndarray
    before: dict[str, int]
    after: dict[str, int]
    energy_before: float
    energy_after: float
    moved: float
    rounds: int


def require() -> tuple[Any, Any]:
    """OpenMM and pdbfixer.

    Raises:
        InputError: one is missing, with how to get it.
    """
    try:
        import openmm
        import pdbfixer
    except ImportError as error:
        raise InputError(
            f"relaxation needs the package {error.name}, which is not installed",
            hint='pip install "sciml[relax]"',
        ) from error
    return openmm, pdbfixer


def _atom14(types: np.ndarray, atoms: np.ndarray) -> tuple[torch.Tensor, ...]:
    kinds = torch.as_tensor(np.minimum(types, residues.UNKNOWN)).long()[None]
    to37 = residues.ATOM14_TO_37[kinds[0].numpy()]
    packed = np.take_along_axis(atoms, to37[..., None], 1)
    index = torch.arange(len(types))[None]
    return kinds, torch.as_tensor(packed, dtype=torch.float32)[None], index


def violations(types: np.ndarray, atoms: np.ndarray) -> tuple[dict[str, int], np.ndarray]:
    """Counts of violations in atom37 layout [N, 37, 3] [A], and which residues have any."""
    kinds, packed, index = _atom14(types, atoms)
    all_residues = torch.ones_like(index).float()
    overlap, _ = clashes(kinds, packed, all_residues, index)
    fault = (overlap + within_residues(kinds, packed, all_residues))[0].sum(-1).numpy() > 0
    bonds = bond_violations(kinds, packed, all_residues, index)
    bonds.pop("bonded")
    broken = (torch.stack(list(bonds.values())).sum(0) > 0)[0].numpy()
    fault[:-1] |= broken
    fault[1:] |= broken
    return count_violations(kinds, packed, all_residues, index), fault


def relax(
    types: np.ndarray,
    atoms: np.ndarray,
    mask: np.ndarray,
    *,
    rounds: int = 3,
    iterations: int = 0,
) -> Relaxed:
    """Minimise a chain's energy with restraints.

    Args:
        types: [N] residue types 0..19.
        atoms: [N, 37, 3] [A].
        mask: [N, 37]; missing heavy atoms of a residue are filled in.
        rounds: largest number of minimisations; from the second on, violating residues are free.
        iterations: largest number of steps of a minimisation; 0: until it has converged.

    Raises:
        InputError: OpenMM or pdbfixer is missing, or a residue is unknown.
    """
    openmm, pdbfixer = require()
    from openmm import app, unit

    if (np.asarray(types) >= residues.UNKNOWN).any():
        at = int(np.argmax(np.asarray(types) >= residues.UNKNOWN)) + 1
        raise InputError(f"residue {at} is of no known type and has no force field")
    with tempfile.TemporaryDirectory() as folder:
        write_structure(Path(folder) / "chain.pdb", types, atoms, mask)
        text = (Path(folder) / "chain.pdb").read_text(encoding="utf-8")
    fixer = pdbfixer.PDBFixer(pdbfile=io.StringIO(text))
    fixer.findMissingResidues()
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=0)
    modeller = app.Modeller(fixer.topology, fixer.positions)
    field = app.ForceField("amber99sb.xml")
    modeller.addHydrogens(field)
    system = field.createSystem(modeller.topology, constraints=app.HBonds)
    hold = openmm.CustomExternalForce("0.5 * k * ((x-x0)^2 + (y-y0)^2 + (z-z0)^2)")
    hold.addPerParticleParameter("k")
    for axis in "xyz":
        hold.addPerParticleParameter(f"{axis}0")
    nanometre, kilocalorie = unit.nanometer, unit.kilocalorie_per_mole
    stiff = (STIFFNESS * kilocalorie / unit.angstrom**2).value_in_unit(
        unit.kilojoule_per_mole / nanometre**2
    )
    start = modeller.positions.value_in_unit(nanometre)
    held: list[tuple[int, int]] = []  # the restraint's particle and its residue
    for atom in modeller.topology.atoms():
        if atom.element is not None and atom.element.symbol != "H":
            hold.addParticle(atom.index, [stiff, *start[atom.index]])
            held.append((atom.index, atom.residue.index))
    hold.setForceGroup(1)
    system.addForce(hold)
    integrator = openmm.VerletIntegrator(0.001)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform)
    context.setPositions(modeller.positions)

    def energy() -> float:
        state = context.getState(getEnergy=True, groups={0})
        return float(state.getPotentialEnergy().value_in_unit(kilocalorie))

    names = [(a.residue.index, a.name, a.index) for a in modeller.topology.atoms()]

    def heavy() -> tuple[np.ndarray, np.ndarray]:
        state = context.getState(getPositions=True)
        xyz = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        relaxed, present = np.zeros((len(types), 37, 3), np.float32), np.zeros((len(types), 37))
        for residue, name, index in names:
            slot = residues.ATOM37_INDEX.get(name)
            if slot is not None:
                relaxed[residue, slot], present[residue, slot] = xyz[index], 1
        return relaxed, present

    first, _ = heavy()  # complete, before anything has moved
    before, fault = violations(types, first)
    energy_before = energy()
    limit = TOLERANCE * kilocalorie / nanometre
    count = 0
    for count in range(1, rounds + 1):
        for number, (particle, residue) in enumerate(held):
            k = 0.0 if count > 1 and fault[residue] else stiff
            hold.setParticleParameters(number, particle, [k, *start[particle]])
        hold.updateParametersInContext(context)
        openmm.LocalEnergyMinimizer.minimize(context, limit, iterations)
        relaxed, present = heavy()
        after, fault = violations(types, relaxed)
        if not fault.any():
            break
    known = np.asarray(mask) > 0
    moved = float(np.sqrt(np.square(relaxed - atoms)[known].sum(-1).mean()))
    return Relaxed(relaxed, present, before, after, energy_before, energy(), moved, count)

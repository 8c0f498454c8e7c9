"""Residues: names, atoms, rigid groups, side-chain angles, element radii.

The twenty amino acids in AlphaFold's order, their heavy atoms in the two layouts that the network
uses (atom37: one slot per atom name; atom14: the residue's own atoms, packed), and the ideal
positions of each atom in its rigid group [A]. Source of the numbers: Jumper et al., Nature 596,
583 (2021), supplementary methods 1.8.4, table 2 and algorithm 24, as released with the method.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RESIDUES = "ARNDCQEGHILKMFPSTWYV"
"""One-letter codes; the index in this string is the residue type 0..19."""
UNKNOWN, GAP = 20, 21
ALPHABET = RESIDUES + "X-"
"""Residue types 0..21 as letters; an MSA cell hidden from the network is type 22."""

ATOM37 = (
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 "
    "OE2 CH2 NH1 NH2 OH CZ CZ2 CZ3 NZ OXT"
).split()
ATOM37_INDEX = {name: i for i, name in enumerate(ATOM37)}

GROUPS = ("backbone", "pre-omega", "phi", "psi", "chi1", "chi2", "chi3", "chi4")
"""The eight rigid groups of a residue; an atom belongs to exactly one."""

_TABLE = """
ALA A -
    N 0 -0.525 1.363 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.627 1.062 0.000;
    CB 0 -0.529 -0.774 -1.205;
ARG R N-CA-CB-CG CA-CB-CG-CD CB-CG-CD-NE CG-CD-NE-CZ
    N 0 -0.524 1.362 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.524 -0.778 -1.209; CG 4 0.616 1.390 0.000; CD 5 0.564 1.414 0.000;
    NE 6 0.539 1.357 0.000; CZ 7 0.758 1.093 0.000; NH1 7 0.206 2.301 0.000;
    NH2 7 2.078 0.978 0.000;
ASN N N-CA-CB-CG CA-CB-CG-OD1
    N 0 -0.536 1.357 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.625 1.062 0.000;
    CB 0 -0.531 -0.787 -1.200; CG 4 0.584 1.399 0.000; OD1 5 0.633 1.059 0.000;
    ND2 5 0.593 -1.188 0.001;
ASP D N-CA-CB-CG CA-CB-CG-OD1*
    N 0 -0.525 1.362 0.000; CA 0 0.000 0.000 0.000; C 0 1.527 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.526 -0.778 -1.208; CG 4 0.593 1.398 0.000; OD1 5 0.610 1.091 0.000;
    OD2 5 0.592 -1.101 -0.003;
CYS C N-CA-CB-SG
    N 0 -0.522 1.362 0.000; CA 0 0.000 0.000 0.000; C 0 1.524 0.000 0.000; O 3 0.625 1.062 0.000;
    CB 0 -0.519 -0.773 -1.212; SG 4 0.728 1.653 0.000;
GLN Q N-CA-CB-CG CA-CB-CG-CD CB-CG-CD-OE1
    N 0 -0.526 1.361 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.525 -0.779 -1.207; CG 4 0.615 1.393 0.000; CD 5 0.587 1.399 0.000;
    OE1 6 0.634 1.060 0.000; NE2 6 0.593 -1.189 -0.001;
GLU E N-CA-CB-CG CA-CB-CG-CD CB-CG-CD-OE1*
    N 0 -0.528 1.361 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.526 -0.781 -1.207; CG 4 0.615 1.392 0.000; CD 5 0.600 1.397 0.000;
    OE1 6 0.607 1.095 0.000; OE2 6 0.589 -1.104 -0.001;
GLY G -
    N 0 -0.572 1.337 0.000; CA 0 0.000 0.000 0.000; C 0 1.517 0.000 0.000; O 3 0.626 1.062 0.000;
HIS H N-CA-CB-CG CA-CB-CG-ND1
    N 0 -0.527 1.360 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.625 1.063 0.000;
    CB 0 -0.525 -0.778 -1.208; CG 4 0.600 1.370 0.000; ND1 5 0.744 1.160 0.000;
    CD2 5 0.889 -1.021 0.003; CE1 5 2.030 0.851 0.002; NE2 5 2.145 -0.466 0.004;
ILE I N-CA-CB-CG1 CA-CB-CG1-CD1
    N 0 -0.493 1.373 0.000; CA 0 0.000 0.000 0.000; C 0 1.527 0.000 0.000; O 3 0.627 1.062 0.000;
    CB 0 -0.536 -0.793 -1.213; CG1 4 0.534 1.437 0.000; CG2 4 0.540 -0.785 -1.199;
    CD1 5 0.619 1.391 0.000;
LEU L N-CA-CB-CG CA-CB-CG-CD1
    N 0 -0.520 1.363 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.625 1.063 0.000;
    CB 0 -0.522 -0.773 -1.214; CG 4 0.678 1.371 0.000; CD1 5 0.530 1.430 0.000;
    CD2 5 0.535 -0.774 1.200;
LYS K N-CA-CB-CG CA-CB-CG-CD CB-CG-CD-CE CG-CD-CE-NZ
    N 0 -0.526 1.362 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.524 -0.778 -1.208; CG 4 0.619 1.390 0.000; CD 5 0.559 1.417 0.000;
    CE 6 0.560 1.416 0.000; NZ 7 0.554 1.387 0.000;
MET M N-CA-CB-CG CA-CB-CG-SD CB-CG-SD-CE
    N 0 -0.521 1.364 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.625 1.062 0.000;
    CB 0 -0.523 -0.776 -1.210; CG 4 0.613 1.391 0.000; SD 5 0.703 1.695 0.000;
    CE 6 0.320 1.786 0.000;
PHE F N-CA-CB-CG CA-CB-CG-CD1*
    N 0 -0.518 1.363 0.000; CA 0 0.000 0.000 0.000; C 0 1.524 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.525 -0.776 -1.212; CG 4 0.607 1.377 0.000; CD1 5 0.709 1.195 0.000;
    CD2 5 0.706 -1.196 0.000; CE1 5 2.102 1.198 0.000; CE2 5 2.098 -1.201 0.000;
    CZ 5 2.794 -0.003 -0.001;
PRO P N-CA-CB-CG CA-CB-CG-CD
    N 0 -0.566 1.351 0.000; CA 0 0.000 0.000 0.000; C 0 1.527 0.000 0.000; O 3 0.621 1.066 0.000;
    CB 0 -0.546 -0.611 -1.293; CG 4 0.382 1.445 0.000; CD 5 0.477 1.424 0.000;
SER S N-CA-CB-OG
    N 0 -0.529 1.360 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.518 -0.777 -1.211; OG 4 0.503 1.325 0.000;
THR T N-CA-CB-OG1
    N 0 -0.517 1.364 0.000; CA 0 0.000 0.000 0.000; C 0 1.526 0.000 0.000; O 3 0.626 1.062 0.000;
    CB 0 -0.516 -0.793 -1.215; OG1 4 0.472 1.353 0.000; CG2 4 0.550 -0.718 -1.228;
TRP W N-CA-CB-CG CA-CB-CG-CD1
    N 0 -0.521 1.363 0.000; CA 0 0.000 0.000 0.000; C 0 1.525 0.000 0.000; O 3 0.627 1.062 0.000;
    CB 0 -0.523 -0.776 -1.212; CG 4 0.609 1.370 0.000; CD1 5 0.824 1.091 0.000;
    CD2 5 0.854 -1.148 -0.005; NE1 5 2.140 0.690 -0.004; CE2 5 2.186 -0.678 -0.007;
    CE3 5 0.622 -2.530 -0.007; CZ2 5 3.283 -1.543 -0.011; CZ3 5 1.715 -3.389 -0.011;
    CH2 5 3.028 -2.890 -0.013;
TYR Y N-CA-CB-CG CA-CB-CG-CD1*
    N 0 -0.522 1.362 0.000; CA 0 0.000 0.000 0.000; C 0 1.524 0.000 0.000; O 3 0.627 1.062 0.000;
    CB 0 -0.522 -0.776 -1.213; CG 4 0.607 1.382 0.000; CD1 5 0.716 1.195 0.000;
    CD2 5 0.713 -1.194 -0.001; CE1 5 2.107 1.200 -0.002; CE2 5 2.104 -1.201 -0.003;
    CZ 5 2.791 -0.001 -0.003; OH 5 4.168 -0.002 -0.005;
VAL V N-CA-CB-CG1
    N 0 -0.494 1.373 0.000; CA 0 0.000 0.000 0.000; C 0 1.527 0.000 0.000; O 3 0.627 1.062 0.000;
    CB 0 -0.533 -0.795 -1.213; CG1 4 0.540 1.429 0.000; CG2 4 0.533 -0.776 1.203;
"""
# A residue: its three- and one-letter names and the atoms of its chi angles ("*": turning by pi
# gives the same residue); then its atoms in atom14 order with rigid group, x, y, z [A].


def _parse() -> tuple[list[str], list[list[tuple[str, int, tuple[float, ...]]]], list[list[str]]]:
    names: list[str] = []
    atoms: list[list[tuple[str, int, tuple[float, ...]]]] = []
    chis: list[list[str]] = []
    for line in _TABLE.strip().splitlines():
        if not line.startswith(" "):
            head = line.split()
            names.append(head[0])
            chis.append([] if head[2] == "-" else head[2:])
            atoms.append([])
        else:
            for item in line.strip().strip(";").split(";"):
                name, group, x, y, z = item.split()
                atoms[-1].append((name, int(group), (float(x), float(y), float(z))))
    return names, atoms, chis


THREE_LETTER, _ATOMS, _CHIS = _parse()
ONE_LETTER = dict(zip(THREE_LETTER, RESIDUES, strict=True))
ATOM14 = [[name for name, _, _ in atoms] for atoms in _ATOMS] + [[]]
"""Atom names of each residue type, packed; the unknown residue (type 20) has none."""

# Tables by residue type (21 rows: the unknown residue last).
ATOM14_TO_37 = np.zeros((21, 14), np.int64)
ATOM37_TO_14 = np.zeros((21, 37), np.int64)
ATOM14_MASK = np.zeros((21, 14), np.float32)
ATOM37_MASK = np.zeros((21, 37), np.float32)
ATOM14_GROUP = np.zeros((21, 14), np.int64)
ATOM14_LOCAL = np.zeros((21, 14, 3), np.float32)  # position in its rigid group [A]
CHI_ATOMS = np.zeros((21, 4, 4), np.int64)  # atom37 indices
CHI_MASK = np.zeros((21, 4), np.float32)
CHI_PI_PERIODIC = np.zeros((21, 4), np.float32)
for _type, _residue in enumerate(_ATOMS):
    for _slot, (_name, _group, _xyz) in enumerate(_residue):
        ATOM14_TO_37[_type, _slot] = ATOM37_INDEX[_name]
        ATOM37_TO_14[_type, ATOM37_INDEX[_name]] = _slot
        ATOM14_MASK[_type, _slot] = ATOM37_MASK[_type, ATOM37_INDEX[_name]] = 1
        ATOM14_GROUP[_type, _slot] = _group
        ATOM14_LOCAL[_type, _slot] = _xyz
    for _slot, _chi in enumerate(_CHIS[_type]):
        CHI_ATOMS[_type, _slot] = [ATOM37_INDEX[name] for name in _chi.strip("*").split("-")]
        CHI_MASK[_type, _slot] = 1
        CHI_PI_PERIODIC[_type, _slot] = _chi.endswith("*")

RENAMED = {"D": [("OD1", "OD2")], "E": [("OE1", "OE2")]} | {
    letter: [("CD1", "CD2"), ("CE1", "CE2")] for letter in "FY"
}
"""Atoms that swap names when a symmetric side chain turns by pi (supplement table 3)."""

VAN_DER_WAALS = {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8}
"""Radius [A] of each element (supplement 1.9.11)."""
PEPTIDE_BOND = (1.329, 0.014)
"""C-N length [A] and its standard deviation (Engh and Huber, 2001)."""
PEPTIDE_BOND_PROLINE = (1.341, 0.016)
COS_C_N_CA = (-0.5203, 0.0353)
COS_CA_C_N = (-0.4473, 0.0311)


def _frame(x_axis: np.ndarray, in_plane: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """4 x 4 transform whose x axis is along `x_axis` and whose xy plane holds `in_plane`."""
    x = x_axis / np.linalg.norm(x_axis)
    y = in_plane - np.dot(in_plane, x) * x
    y = y / np.linalg.norm(y)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([x, y, np.cross(x, y)], axis=1)
    frame[:3, 3] = origin
    return frame


def _default_frames() -> np.ndarray:
    """[21, 8, 4, 4] rigid-group frames relative to their parent group (supplement 1.8.4).

    The parent of psi and chi1 is the backbone, that of chi2..4 the angle before it. The (unused)
    pre-omega group is the identity; groups that a residue lacks are zero.
    """
    frames = np.zeros((21, 8, 4, 4))
    for kind, residue in enumerate(_ATOMS):
        frames[kind, :2] = np.eye(4)
        at = {name: np.array(xyz) for name, _, xyz in residue}
        frames[kind, 2] = _frame(at["N"] - at["CA"], np.array([1.0, 0, 0]), at["N"])
        frames[kind, 3] = _frame(at["C"] - at["CA"], at["CA"] - at["N"], at["C"])
        for number, chi in enumerate(_CHIS[kind]):
            first, second, third, _ = chi.strip("*").split("-")
            if number == 0:
                frames[kind, 4] = _frame(at[third] - at[second], at[first] - at[second], at[third])
            else:
                # Axis from the parent group's origin, which is the second atom, to the third.
                frames[kind, 4 + number] = _frame(at[third], np.array([-1.0, 0, 0]), at[third])
    return frames.astype(np.float32)


DEFAULT_FRAMES = _default_frames()


def _bonded() -> list[np.ndarray]:
    """Which atoms of each residue are bonded, [atoms, atoms]: by their distance at trans torsions.

    Within a rigid group, and from a group to the atoms that its axis hangs on, ideal distances do
    not depend on torsions; proline's ring closure does and is left out.
    """
    bonded = []
    for kind, residue in enumerate(_ATOMS):
        frames = [np.eye(4)] * 8
        for group in range(1, 8):
            above = frames[group - 1] if group > 4 else np.eye(4)
            turn = np.diag([1.0, -1.0, -1.0, 1.0])  # the farthest turn of a side chain
            frames[group] = above @ DEFAULT_FRAMES[kind, group] @ turn
        xyz = np.array([(frames[group] @ [*at, 1.0])[:3] for _, group, at in residue])
        gap = np.linalg.norm(xyz[:, None] - xyz, axis=-1)
        bonds = (gap < 1.95) & ~np.eye(len(gap), dtype=bool)
        bonded.append(bonds)
    return bonded


BONDED = _bonded()
"""Of each of the twenty residues, which of its atoms are bonded [atoms, atoms]."""


def _across(
    one: tuple[float, float], other: tuple[float, float], angle: tuple[float, float]
) -> tuple[float, float]:
    """Distance over an angle [degrees] between two bonds [A], each (mean, standard deviation)."""
    (a, da), (b, db), (gamma, dgamma) = one, other, np.deg2rad(angle)
    length = np.sqrt(a * a + b * b - 2 * a * b * np.cos(gamma))
    parts = (
        (a - b * np.cos(gamma)) * da,
        (b - a * np.cos(gamma)) * db,
        a * b * np.sin(gamma) * dgamma,
    )
    return float(length), float(np.linalg.norm(parts) / length)


_N_CD, _N_CA, _CG_CD = (1.474, 0.014), (1.468, 0.017), (1.502, 0.033)
PROLINE_RING = (
    ("N", "CD", *_N_CD),
    ("N", "CG", *_across(_N_CD, _CG_CD, (103.2, 1.5))),
    ("CA", "CD", *_across(_N_CD, _N_CA, (111.7, 1.4))),
)
"""Distances [A] that close proline's ring, with standard deviations (Engh and Huber, 2001)."""

_OTHER_NAMES = dict(
    zip(
        "CYX CYM HID HIE HIP HSD HSE HSP ASH GLH LYN ARN TYM".split(),
        "CCHHHHHHDEKRY",
        strict=True,
    )
)
"""What force fields call residues in other states of protonation or bonding."""


@lru_cache(maxsize=4096)
def one_letter(name: str) -> str:
    """One-letter code of a residue name; modified residues give their parent, others X.

    Parents are those of the Chemical Component Dictionary as gemmi lists them; selenocysteine
    counts as cysteine, pyrrolysine as lysine, ambiguous residues as unknown.

    >>> one_letter("MSE"), one_letter("TRP"), one_letter("CSS"), one_letter("LIG")
    ('M', 'W', 'C', 'X')
    """
    import gemmi

    name = name.strip().upper()
    letter = ONE_LETTER.get(name) or _OTHER_NAMES.get(name)
    if letter:
        return letter
    component = gemmi.find_tabulated_residue(name)
    letter = component.one_letter_code.upper() if component.is_amino_acid() else "X"
    letter = {"U": "C", "O": "K"}.get(letter, letter)
    return letter if letter in RESIDUES else "X"

"""Scores of structures beside independent programs, on real pairs.

    python benchmarks/protein_metrics.py --structures FOLDER --families FOLDER

FOLDER of structures: mmCIF or PDB files; every two chains or models of one sequence in a file are a
pair. FOLDER of families: sub-folders with a structure.pdb; the two that `RELATED` names are pairs,
their residues matched by TM-align. Of the first pairs also the mirror image and a permutation.

Beside: TMscore (Debian: tm-align) for TM-score, GDT-TS, GDT-HA and RMSD; OpenStructure (Debian:
openstructure) for lDDT; tmtools and Biopython from PyPI for TM-score and RMSD; contact precision
counted pair by pair in plain Python.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.protein.io.structure import Chain, read_chain, read_chains
from sciml.protein.io.structure_writing import write_structure
from sciml.protein.measure.score import score_chains

HERE = Path(__file__).resolve()
RELATED = (("PF07679", "PF07686"), ("PF00041", "PF01833"), ("PF00111", "PF00240"))
LONGEST = 600
MIRROR = np.array([1, 1, -1], np.float32)


@dataclass
class Pair:
    """Two chains whose residues correspond one by one, numbered alike."""

    name: str
    model: Chain
    truth: Chain


def numbered(chain: Chain, rows: np.ndarray) -> Chain:
    """Some residues of a chain, numbered from 1."""
    numbers = [str(k + 1) for k in range(len(rows))]
    return Chain(
        "A", chain.types[rows], chain.atoms[rows], chain.mask[rows], chain.bfactors[rows],
        numbers, list(range(1, len(rows) + 1)),
    )  # fmt: skip


def paired(one: Chain, other: Chain) -> tuple[Chain, Chain] | None:
    """Two chains of one sequence: the residues that both have, by number and type."""
    here = {number: k for k, number in enumerate(one.numbers)}
    there = [k for k in range(len(other)) if other.mask[k, 1]]
    both = [(here[n], k) for k in there if (n := other.numbers[k]) in here]
    both = [(i, k) for i, k in both if one.mask[i, 1]]
    if len(both) < 20 or len(both) > LONGEST:
        return None
    i, j = np.array(both).T
    if (one.types[i] != other.types[j]).any():
        return None
    return numbered(one, i), numbered(other, j)


def models_in(path: Path) -> Iterator[tuple[str, Chain]]:
    """Chains of all models of a file."""
    for model in itertools.count(1):
        try:
            chains = read_chains(path, model=model)
        except InputError:
            return
        for chain in chains:
            yield f"{model}{chain.name}", chain


def related(one: Chain, other: Chain) -> tuple[Chain, Chain]:
    """Two chains of one fold: the residues that TM-align lays onto each other."""
    from tmtools import tm_align

    one, other = (
        numbered(chain, np.flatnonzero(np.isfinite(chain.points()).all(1)))
        for chain in (one, other)
    )
    alignment = tm_align(one.points(), other.points(), one.sequence, other.sequence)
    i = j = 0
    both = []
    for a, b in zip(alignment.seqxA, alignment.seqyA, strict=True):
        if a != "-" and b != "-":
            both.append((i, j))
        i, j = i + (a != "-"), j + (b != "-")
    here, there = np.array(both).T
    return numbered(one, here), numbered(other, there)


def pairs(structures: Path, families: Path, most: int = 4) -> list[Pair]:
    """All pairs: at most `most` of each file."""
    made: list[Pair] = []
    for path in sorted(p for p in structures.iterdir() if ".cif" in p.suffixes):
        count = 0
        for (a, one), (b, other) in itertools.combinations(itertools.islice(models_in(path), 6), 2):
            both = paired(one, other)
            if both is not None and count < most:
                made.append(Pair(f"{path.name.split('.')[0]} {a} {b}", *both))
                count += 1
    for names in RELATED:
        files = [families / name / "structure.pdb" for name in names]
        if all(file.exists() for file in files):
            made.append(Pair(" ".join(names), *related(*map(read_chain, files))))
    for pair in made[:1] + made[-1:]:
        turned = numbered(pair.model, np.arange(len(pair.model)))
        turned.atoms = turned.atoms * MIRROR
        made.append(Pair(f"{pair.name} mirrored", turned, pair.truth))
        order = np.random.default_rng(0).permutation(len(pair.model))
        mixed = numbered(pair.model, np.arange(len(pair.model)))
        mixed.atoms, mixed.mask = np.zeros_like(mixed.atoms), np.zeros_like(mixed.mask)
        slots = [1]  # CA: side chains of other residues would not fit
        mixed.atoms[:, slots], mixed.mask[:, slots] = (
            pair.model.atoms[order][:, slots],
            pair.model.mask[order][:, slots],
        )
        made.append(Pair(f"{pair.name} permuted", mixed, pair.truth))
    return made


def tmscore(model: Path, truth: Path) -> dict[str, float]:
    """What the program TMscore prints of two files numbered alike."""
    text = subprocess.run(["TMscore", model, truth], capture_output=True, text=True).stdout
    scores = {}
    for key, pattern in (
        ("tm_score", r"^TM-score\s*=\s*([\d.]+)"),
        ("gdt_ts", r"^GDT-TS-score\s*=\s*([\d.]+)"),
        ("gdt_ha", r"^GDT-HA-score\s*=\s*([\d.]+)"),
        ("rmsd_ca", r"^RMSD of\s+the common residues\s*=\s*([\d.]+)"),
    ):
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            scores[key] = float(match[1])
    return scores


LDDT = """
import json, sys, ost
from ost import io, mol
ost.PushVerbosityLevel(0)
model, truth = (io.LoadPDB(path) for path in sys.argv[1:])
scores = {}
for key, atoms in (("lddt", ""), ("lddt_ca", "aname=CA")):
    wanted = truth.Select(atoms)
    settings = mol.alg.lDDTSettings()
    known = mol.alg.CreateDistanceList(wanted, settings.radius)
    scores[key] = mol.alg.LocalDistDiffTest(model.Select(atoms), [wanted], known, settings)
print(json.dumps(scores))
"""


def openstructure(model: Path, truth: Path) -> dict[str, float] | None:
    """lDDT over all atoms and over CA by OpenStructure, if the system's Python has it."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", LDDT, model, truth], capture_output=True, text=True
    )
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def python_packages(pair: Pair) -> dict[str, float]:
    """RMSD by Biopython; the best TM-score of any alignment by tmtools; contacts by counting."""
    from Bio.SVDSuperimposer import SVDSuperimposer
    from tmtools import tm_align

    model, truth = pair.model.points(), pair.truth.points()
    fit = SVDSuperimposer()
    fit.set(truth, model)
    fit.run()
    letters = ("A" * len(model), "A" * len(truth))
    return {
        "rmsd_ca": float(fit.get_rms()),
        "tm_score_at_most": float(tm_align(model, truth, *letters).tm_norm_chain2),
        "contact_precision_L5": precision(pair.model.beta(), pair.truth.beta()),
    }


def precision(model: np.ndarray, truth: np.ndarray) -> float:
    """P@L/5, counted: of the L/5 nearest pairs 24 or more apart those that are contacts."""
    n = len(model)
    ranked = sorted(
        (sum((a - b) ** 2 for a, b in zip(model[i], model[j], strict=True)), i, j)
        for i in range(n)
        for j in range(i + 24, n)
    )[: max(1, n // 5)]
    hits = sum(
        sum((a - b) ** 2 for a, b in zip(truth[i], truth[j], strict=True)) < 64
        for _, i, j in ranked
    )
    return hits / len(ranked) if ranked else float("nan")


def measured(pair: Pair) -> dict[str, dict[str, float]]:
    """Ours and theirs of one pair."""
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / f"{name}.pdb" for name in ("model", "truth")]
        for file, chain in zip(files, (pair.model, pair.truth), strict=True):
            write_structure(file, chain.types, chain.atoms, chain.mask)
        # Read again: a PDB file keeps three decimals.
        pair = Pair(pair.name, *(read_chain(file) for file in files))
        same = np.repeat(np.arange(len(pair.truth)), 2).reshape(-1, 2)
        ours = score_chains(pair.model, pair.truth, same)
        scores: dict[str, dict[str, float]] = {"sciml": dict(ours)}
        if shutil.which("TMscore"):
            scores["TMscore"] = tmscore(*files)
        if shutil.which("ost") and (theirs := openstructure(*files)):
            scores["OpenStructure"] = theirs
        scores["Biopython, tmtools, counting"] = python_packages(pair)
    return scores


def differences(rows: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each score of each program: largest and mean difference, and over how many pairs."""
    scores: dict[str, dict[str, float]] = {}
    for other in next(iter(rows.values())):
        for key in next(iter(rows.values()))[other] if other != "sciml" else ():
            gaps = [
                abs(row["sciml"][key] - row[other][key])
                for row in rows.values()
                if key in row["sciml"] and key in row[other]
            ]
            if gaps:
                scores[f"{key} ({other})"] = {
                    "largest": float(max(gaps)), "mean": float(np.mean(gaps)), "pairs": len(gaps)
                }  # fmt: skip
    return scores


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=Path, required=True)
    parser.add_argument("--families", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=HERE.parent / "results" / "protein_metrics.json"
    )
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    for pair in pairs(arguments.structures, arguments.families):
        rows[pair.name] = measured(pair)
        print(pair.name, json.dumps(rows[pair.name]), flush=True)
    result: dict[str, Any] = {
        "benchmark": "protein_metrics",
        "command": "python benchmarks/protein_metrics.py --structures FOLDER --families FOLDER",
        "date": time.strftime("%Y-%m-%d"),
        "versions": "TMscore of Debian's tm-align 20190822, OpenStructure 2.3.1, "
        "tmtools 0.3.0, Biopython 1.88",
        "differences": differences(rows),
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, row in result["differences"].items():
        print(f"{name:<50} {row}")


if __name__ == "__main__":
    main()

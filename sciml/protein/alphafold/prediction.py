"""A predicted structure and the files it becomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sciml.files import kept
from sciml.paths import atomic_write
from sciml.protein.io.alignment import Alignment, decode
from sciml.protein.io.conformers import FAR
from sciml.protein.io.structure import check_finite, write_structure


@dataclass
class Prediction:
    """What `StructurePredictor` found.

    Attributes:
        name: of the chain.
        types: [N] residue types.
        coordinates: [N, 37, 3] [A].
        atom_mask: [N, 37].
        plddt: [N], 0 to 100.
        pae: [N, N] [A] expected error of residue j when aligned on residue i, or None.
        ptm: predicted TM-score, or None.
        distogram: [N, N, bins] probabilities of the CB distance classes.
        alignment: what it was predicted from.
        model: name of the parameters.
        recycles: passes after the first.
        seconds: that it took.
        violations: counts of faults before and after relaxation, where there was one.
    """

    name: str
    types: np.ndarray
    coordinates: np.ndarray
    atom_mask: np.ndarray
    plddt: np.ndarray
    pae: np.ndarray | None = None
    ptm: float | None = None
    distogram: np.ndarray | None = None
    alignment: Alignment | None = field(default=None, repr=False)
    model: str = ""
    recycles: int = 0
    seconds: float = 0.0
    violations: dict[str, dict[str, int]] | None = None

    def relaxed(self, rounds: int = 3) -> Prediction:
        """The same with its energy minimised; see `sciml.protein.alphafold.relaxation.relax`."""
        from sciml.protein.alphafold.relaxation import relax

        found = relax(self.types, self.coordinates, self.atom_mask, rounds=rounds)
        return replace(
            self,
            coordinates=found.atoms,
            atom_mask=found.mask.astype(np.float32),
            violations={"before": found.before, "after": found.after},
        )

    @property
    def sequence(self) -> str:
        """One letter a residue."""
        return decode(self.types)

    @property
    def mean_plddt(self) -> float:
        """Mean confidence, 0 to 100."""
        return float(self.plddt.mean())

    def contacts(self) -> np.ndarray | None:
        """[N, N] probability that CB atoms are closer than 8 A, from the distogram."""
        if self.distogram is None:
            return None
        from sciml.protein.alphafold.confidence import distogram_edges

        edges = distogram_edges(self.distogram.shape[-1]).numpy()
        return self.distogram[..., : int((edges <= 8.0).sum())].sum(-1)

    def summary(self) -> dict[str, Any]:
        """The row of the ranking."""
        row: dict[str, Any] = {
            "name": self.name,
            "model": self.model,
            "residues": len(self.types),
            "mean_plddt": round(self.mean_plddt, 3),
            "ptm": None if self.ptm is None else round(self.ptm, 4),
            "recycles": self.recycles,
            "seconds": round(self.seconds, 2),
        }
        if self.violations is not None:
            row["violations"] = self.violations
        if self.alignment is not None:
            row["sequences"] = self.alignment.depth
        return row

    def write_structure(self, path: Path) -> None:
        """The atoms as mmCIF or PDB (by the suffix), with pLDDT."""
        write_structure(
            path, self.types, self.coordinates, self.atom_mask, plddt=self.plddt, title=self.name
        )

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write NAME.cif, NAME.pdb, NAME_confidence.json, NAME_pae.json, NAME_distances.npz.

        The PAE file has AlphaFold's form: a list with one object of `predicted_aligned_error` and
        `max_predicted_aligned_error`.

        Raises:
            InputError: a number is not finite; nothing is written.
        """
        folder = Path(folder)
        for what, values in (
            ("coordinates", self.coordinates[self.atom_mask > 0]),
            ("confidences", self.plddt),
            ("aligned errors", self.pae),
            ("distance probabilities", self.distogram),
        ):
            if values is not None:
                check_finite(folder / self.name, values, FAR, what)
        files: dict[str, Path] = {}
        for suffix in ("cif", "pdb"):
            files[suffix] = folder / f"{self.name}.{suffix}"
            self.write_structure(files[suffix])
        if self.pae is not None:
            files["pae"] = folder / f"{self.name}_pae.json"
            pae = {
                "predicted_aligned_error": np.round(self.pae, 2).tolist(),
                "max_predicted_aligned_error": 31.75,
            }
            _json(files["pae"], [pae])
        if self.distogram is not None:
            files["distances"] = folder / f"{self.name}_distances.npz"
            with atomic_write(files["distances"]) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(
                    file,
                    distogram=self.distogram.astype(np.float16),
                    contacts=np.asarray(self.contacts(), np.float32),
                )
        confidence = self.summary() | {"plddt": [round(float(v), 2) for v in self.plddt]}
        files["confidence"] = write_done(folder, self.name, self.sequence, confidence, files)
        return files


def write_done(
    folder: Path, name: str, sequence: str, row: dict[str, Any], files: dict[str, Path]
) -> Path:
    """Write NAME_confidence.json, the last file of a chain, with digests of the others."""
    path = folder / f"{name}_confidence.json"
    digests = kept.digests(folder, *files.values())
    kept.write(path, row | {"sequence": sequence, "files": digests})
    return path


def read_done(folder: Path, name: str) -> dict[str, Any] | None:
    """What `write_done` wrote, if the chain's files are as they were written; else None, with a
    warning where they were there."""
    path = folder / f"{name}_confidence.json"
    try:
        row = kept.read(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        kept.warn(f"{path} is damaged ({error}): the chain is folded again")
        return None
    files = row.pop("files", None)
    if isinstance(files, dict):
        return row if kept.whole(folder, files) else None
    found = [folder / f"{name}{end}" for end in (".cif", ".pdb")]  # of version 0.1
    return row if all(file.is_file() and file.stat().st_size for file in found) else None


def write_ranking(predictions: list[dict[str, Any]], path: str | Path) -> None:
    """Ranking JSON of `Prediction.summary` rows, best mean pLDDT first."""
    ranked = sorted(predictions, key=lambda row: -(row.get("mean_plddt") or 0))
    _json(Path(path), {"order": [row["name"] for row in ranked], "predictions": ranked})


def _json(path: Path, value: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")

"""A predicted structure and the files it becomes."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sciml.paths import atomic_write
from sciml.prediction import ArrayResult
from sciml.protein.alphafold.confidence import distogram_edges, ranking
from sciml.protein.io.alignment import Alignment, decode
from sciml.protein.io.conformers import FAR
from sciml.protein.io.structure_writing import chain_name, check_finite, write_structure
from sciml.protein.measure.interfaces import pdockq
from sciml.protein.result_folder import write_finished


@dataclass(frozen=True, eq=False, repr=False)
class StructurePrediction(ArrayResult):
    """The structure and confidences of one chain or complex; as an array it is `atoms`.

    Attributes:
        name: of the chain or complex.
        types: [N] residue types.
        atoms: [N, 37, 3] positions in atom37 layout [A].
        atom_mask: [N, 37], 1 where the residue has the atom.
        plddt: [N], 0 to 100.
        pae: [N, N] [A] expected error of residue j when aligned on residue i, or None.
        ptm: predicted TM-score, 0 to 1, or None.
        distogram: [N, N, bins] probabilities of the CB distance classes.
        alignment: what it was predicted from.
        model: name of the parameters.
        recycles: passes after the first.
        seconds: wall time of the prediction [s].
        violations: counts of violations before and after relaxation, where there was one.
        asym_id: [N] of a complex: number of each residue's chain, from 1.
        iptm: of a complex: predicted TM-score over pairs of residues of two chains, 0 to 1.
        chain_iptm: [chains, chains] the same for every two chains, pTM of each on the diagonal.
        chain_actifptm: [chains, chains] the same for the residues that likely touch the other
            chain; see `confidence.chain_pair_actifptm`.
    """

    ARRAY: ClassVar[str] = "atoms"
    name: str
    types: np.ndarray
    atoms: np.ndarray
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
    asym_id: np.ndarray | None = None
    iptm: float | None = None
    chain_iptm: np.ndarray | None = None
    chain_actifptm: np.ndarray | None = None

    @property
    def ranking_confidence(self) -> float:
        """By which predictions of one target are ranked, 0 to 1: pLDDT of a chain, ipTM and pTM
        of a complex (Evans et al. 2021, section 2.5)."""
        if self.iptm is None or self.ptm is None:
            return self.mean_plddt / 100
        return ranking(self.ptm, self.iptm)

    @property
    def coordinates(self) -> np.ndarray:
        """The former name of `atoms`."""
        warnings.warn("`coordinates` is now `atoms`", DeprecationWarning, stacklevel=2)
        return self.atoms

    def relaxed(self, rounds: int = 3) -> StructurePrediction:
        """The same with its energy minimised; see `sciml.protein.alphafold.relaxation.relax`."""
        from sciml.protein.alphafold.relaxation import relax

        relaxation = relax(self.types, self.atoms, self.atom_mask, rounds=rounds)
        return replace(
            self,
            atoms=relaxation.atoms,
            atom_mask=relaxation.mask.astype(np.float32),
            violations={"before": relaxation.before, "after": relaxation.after},
        )

    @property
    def sequence(self) -> str:
        """One letter per residue."""
        return decode(self.types)

    @property
    def mean_plddt(self) -> float:
        """Mean confidence, 0 to 100."""
        return float(self.plddt.mean())

    def contacts(self) -> np.ndarray | None:
        """[N, N] probability that CB atoms are closer than 8 A, from the distogram."""
        if self.distogram is None:
            return None
        edges = distogram_edges(self.distogram.shape[-1]).numpy()
        return self.distogram[..., : int((edges <= 8.0).sum())].sum(-1)

    def summary(self) -> dict[str, Any]:
        """The chain's row of the ranking."""
        row: dict[str, Any] = {
            "name": self.name,
            "model": self.model,
            "residues": len(self.types),
            "mean_plddt": round(self.mean_plddt, 3),
            "ptm": None if self.ptm is None else round(self.ptm, 4),
            "recycles": self.recycles,
            "seconds": round(self.seconds, 2),
        }
        if self.iptm is not None and self.chain_iptm is not None:
            row["iptm"] = round(self.iptm, 4)
            row["chains"] = self.chain_names
            row["chain_iptm"] = np.round(self.chain_iptm, 4).tolist()
            if self.chain_actifptm is not None:
                row["chain_actifptm"] = np.round(self.chain_actifptm, 4).tolist()
            row["chain_pdockq"] = np.round(self.pdockq(), 4).tolist()
            row["ranking_confidence"] = round(self.ranking_confidence, 4)
        if self.violations is not None:
            row["violations"] = self.violations
        if self.alignment is not None:
            row["sequences"] = self.alignment.depth
        return row

    @property
    def chain_names(self) -> list[str]:
        """Names of the chains in files."""
        count = 1 if self.asym_id is None else int(self.asym_id.max())
        return [chain_name(k) for k in range(count)]

    def write_structure(self, path: Path) -> None:
        """The atoms as mmCIF or PDB (by the suffix), with pLDDT."""
        write_structure(
            path, self.types, self.atoms, self.atom_mask, plddt=self.plddt, chains=self.asym_id,
            title=self.name,
        )  # fmt: skip

    def scores(self) -> dict[str, Any]:
        """Confidences under ColabFold's names: plddt, and where the network has them max_pae, pae,
        ptm and iptm, with ipTM (a matrix), pDockQ and actifpTM of every two chains."""
        scores: dict[str, Any] = {"plddt": [round(float(v), 2) for v in self.plddt]}
        if self.pae is not None and self.ptm is not None:
            scores |= {
                "max_pae": round(float(self.pae.max()), 2),
                "pae": np.round(self.pae, 2).tolist(),
                "ptm": round(self.ptm, 4),
            }
        if self.iptm is not None and self.chain_iptm is not None:
            scores["iptm"] = round(self.iptm, 4)
            scores["chain_pair_iptm"] = np.round(self.chain_iptm, 4).tolist()
            names, extra = self.chain_names, {"pairwise_pdockq": self.pdockq()}
            if self.chain_actifptm is not None:
                extra["pairwise_actifptm"] = self.chain_actifptm
            for key, matrix in extra.items():
                scores[key] = {
                    f"{names[i]}-{names[j]}": round(float(matrix[i, j]), 4)
                    for i in range(len(names)) for j in range(i + 1, len(names))
                }  # fmt: skip
        return scores

    def pdockq(self) -> np.ndarray:
        """[chains, chains] predicted DockQ of every two chains, 0 on the diagonal."""
        asym = np.ones(len(self.types), int) if self.asym_id is None else self.asym_id
        atoms = np.where(self.atom_mask[..., None] > 0, self.atoms, np.nan)
        count = int(asym.max())
        result = np.zeros((count, count))
        for one in range(count):
            for other in range(one + 1, count):
                value = pdockq(atoms, self.plddt, asym, one + 1, other + 1)
                result[one, other] = result[other, one] = value
        return result

    def write(self, folder: str | Path) -> dict[str, Path]:
        """Write NAME.cif, NAME.pdb, NAME_confidence.json, NAME_scores.json, NAME_pae.json and
        NAME_distances.npz.

        The PAE file has the form of AlphaFold's database: a list with one object of
        `predicted_aligned_error` and `max_predicted_aligned_error`; the scores file has ColabFold's
        (`scores`).

        Raises:
            InputError: a number is not finite; nothing is written.
        """
        folder = Path(folder)
        for what, values in (
            ("coordinates", self.atoms[self.atom_mask > 0]),
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
            _write_json(files["pae"], [pae])
        files["scores"] = folder / f"{self.name}_scores.json"
        _write_json(files["scores"], self.scores())
        if self.distogram is not None:
            files["distances"] = folder / f"{self.name}_distances.npz"
            with atomic_write(files["distances"]) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(
                    file,
                    distogram=self.distogram.astype(np.float16),
                    contacts=np.asarray(self.contacts(), np.float32),
                )
        confidence = self.summary() | {"plddt": [round(float(v), 2) for v in self.plddt]}
        files["confidence"] = write_finished(folder, self.name, self.sequence, confidence, files)
        return files


def _write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def __getattr__(name: str) -> Any:
    if name == "Prediction":
        warnings.warn("`Prediction` is now `StructurePrediction`", DeprecationWarning, stacklevel=2)
        return StructurePrediction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

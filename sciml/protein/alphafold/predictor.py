"""`StructurePredictor`: official parameters and an alignment in, a structure out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.protein.alphafold import confidence, memory
from sciml.protein.alphafold.features import FeatureConfig, Template, features, published
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, Output
from sciml.protein.alphafold.prediction import Prediction
from sciml.protein.io.alignment import Alignment

Arrays = dict[str, np.ndarray]
_INTEGERS = ("aatype", "residue_index", "extra_msa", "template_aatype")
_NEEDED = (
    "aatype residue_index seq_mask target_feat msa_feat msa_mask extra_msa extra_msa_mask "
    "extra_has_deletion extra_deletion_value"
).split()
_TEMPLATE = (
    "template_aatype template_mask template_all_atom_positions template_all_atom_masks "
    "template_pseudo_beta template_pseudo_beta_mask"
).split()


OPENFOLD = (".pt", ".pth", ".ckpt")
"""Suffixes of OpenFold's checkpoints; other parameter files are AlphaFold's."""


def read_config(path: str | Path) -> AlphaFoldConfig:
    """The sizes of the network in a parameter file, without reading the parameters."""
    from sciml.protein.alphafold import official_weights as alphafold_weights
    from sciml.protein.alphafold import openfold_weights

    return (openfold_weights if Path(path).suffix in OPENFOLD else alphafold_weights).read_config(
        path
    )


@dataclass(frozen=True)
class Job:
    """One chain to fold: its alignment (query first), templates and a name."""

    alignment: Alignment
    templates: tuple[Template, ...] = ()
    name: str = "query"


class StructurePredictor:
    """AlphaFold 2's monomer network with somebody's parameters.

    Args:
        model: the network.
        device: "auto", "cpu", "cuda", ...
        precision: "fp32", or "bf16" for matrix products on a GPU.
        name: of the parameters, for reports; by it a published model gets its own feature sizes
            (`sizes`).
    """

    def __init__(
        self,
        model: AlphaFold,
        device: str = "auto",
        precision: str = "fp32",
        name: str = "alphafold",
    ) -> None:
        from sciml.device import choose

        self.placement = choose(device, precision)
        self.model = model.eval().to(self.placement.device)
        self.name = name
        self.sizes = published(name, model.config.templates is not None)

    @classmethod
    def from_file(cls, path: str | Path, device: str = "auto", **kwargs: Any) -> StructurePredictor:
        """From AlphaFold's or OpenFold's parameters, told by the suffix."""
        read = cls.from_openfold if Path(path).suffix in OPENFOLD else cls.from_alphafold
        return read(path, device, **kwargs)

    @classmethod
    def from_alphafold(
        cls, path: str | Path, device: str = "auto", **kwargs: Any
    ) -> StructurePredictor:
        """From an official `params_model_*.npz`; sizes are read from the arrays.

        Raises:
            InputError: an array is missing, left over or of the wrong shape.
        """
        from sciml.protein.alphafold.official_weights import read_alphafold

        return cls(read_alphafold(path), device, name=Path(path).stem, **kwargs)

    @classmethod
    def from_openfold(
        cls, path: str | Path, device: str = "auto", **kwargs: Any
    ) -> StructurePredictor:
        """From an OpenFold checkpoint; tensors only, no pickled code is run."""
        from sciml.protein.alphafold.openfold_weights import read_openfold

        return cls(read_openfold(path), device, name=Path(path).stem, **kwargs)

    def to_alphafold(self, path: str | Path | None = None) -> Arrays:
        """The official arrays; written to `path` (npz) where given. Round trips are exact."""
        from sciml.protein.alphafold.official_weights import to_arrays, write_alphafold

        if path is not None:
            write_alphafold(self.model, path)
        return to_arrays(self.model)

    # ------------------------------------------------------------------- features in, arrays out

    def tensors(self, batch: Arrays) -> dict[str, Tensor]:
        """Checked features of one chain on the device, with a batch dimension in front."""
        needed = list(_NEEDED)
        if self.model.config.templates is not None and "template_mask" in batch:
            needed += _TEMPLATE
        missing = [key for key in needed if key not in batch]
        if missing:
            raise InputError(f"the features lack {', '.join(missing)}")
        found = {}
        for key in needed:
            value = torch.as_tensor(np.asarray(batch[key]), device=self.placement.device)
            found[key] = (value.long() if key in _INTEGERS else value.float())[None]
        return found

    def predict_features(
        self, batch: Arrays, recycles: int = 3, *, every_pass: bool = True
    ) -> Arrays:
        """Run the network on ready features, the same in every pass.

        Args:
            batch: features of one chain without a batch dimension, under AlphaFold's names; see
                `AlphaFold.forward`.
            recycles: R; the network runs R + 1 times.
            every_pass: give every pass's results, or only the last one's.

        Returns:
            `pass<r>/<name>` -> array: structure_module/final_atom_positions [N, 37, 3] [A],
            distogram/logits, predicted_lddt/logits, predicted_aligned_error (with
            predicted_aligned_error_head/logits), masked_msa/logits,
            experimentally_resolved/logits, representations/*, plddt, ptm, tol and so on.
        """
        if recycles < 0:
            raise InputError(f"recycles must be >= 0, got {recycles}")
        tensors = self.tensors(batch)
        mask = tensors["seq_mask"]
        previous, found = self.model.initial(tensors), {}
        with torch.no_grad(), self._autocast():
            for number in range(recycles + 1):
                wanted = every_pass or number == recycles
                output = self.model(tensors, previous, heads=wanted)
                tol = confidence.change(previous.atoms, output.atoms, mask)
                previous = output.recycle()
                if wanted:
                    for key, value in named_outputs(output, tensors, tol).items():
                        found[f"pass{number}/{key}"] = value
                del output
        return found

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.placement.device.type,
            dtype=torch.bfloat16,
            enabled=self.placement.dtype == torch.bfloat16,
        )

    # --------------------------------------------------------------------- alignment in, structure

    def predict(
        self,
        msa: Alignment | str | Path,
        templates: Sequence[Template] | None = None,
        *,
        config: FeatureConfig | None = None,
        recycles: int = 3,
        tolerance: float = 0.0,
        seed: int = 0,
        name: str = "query",
        memory_limit: float | None = None,
    ) -> Prediction:
        """Fold one chain.

        Args:
            msa: an alignment whose first row is the query, or a file.
            templates: aligned structures.
            config: sizes of the features; those of the published model if None.
            recycles: most passes after the first.
            tolerance: stop earlier when CA distances change by less than this [A].
            seed: of the choice of rows and the masking; each pass draws anew.
            memory_limit: bytes that may be used; what is free if None.

        Raises:
            InputError: the alignment is bad, or the prediction would not fit into memory.
        """
        if not isinstance(msa, Alignment):
            from sciml.protein.io.alignment_files import read_alignment

            msa = read_alignment(msa)
        job = Job(msa, tuple(templates or ()), name)
        return self.predict_many(
            [job], config=config, recycles=recycles, tolerance=tolerance, seed=seed,
            memory_limit=memory_limit,
        )[0]  # fmt: skip

    def predict_many(
        self,
        jobs: Sequence[Job],
        *,
        config: FeatureConfig | None = None,
        recycles: int = 3,
        tolerance: float = 0.0,
        seed: int = 0,
        memory_limit: float | None = None,
        report: Callable[[str], None] | None = None,
    ) -> list[Prediction]:
        """Fold chains together in one padded batch; the numbers are those of one at a time.

        See `predict`; `report` is called with a line after each pass. With a `tolerance`, a chain
        that has settled keeps that pass's result while the others go on.
        """
        if recycles < 0:
            raise InputError(f"recycles must be >= 0, got {recycles}")
        config = config or self.sizes
        alignments = [job.alignment.with_query(0).deduplicate() for job in jobs]
        use_templates = self.model.config.templates is not None and any(j.templates for j in jobs)
        longest = max(alignment.columns for alignment in alignments)
        estimate = memory.estimate(
            self.model.config,
            longest,
            config,
            batch=len(jobs),
            templates=config.templates if use_templates else 0,
            width=2 if self.placement.dtype == torch.bfloat16 else 4,
        )
        memory.check(estimate, self.model.config, longest, config, memory_limit, self.placement)
        started = time.perf_counter()
        previous = None
        kept: list[tuple[dict[str, Any], int] | None] = [None] * len(jobs)
        for number in range(recycles + 1):
            arrays = [
                features(
                    alignment,
                    config,
                    seed=seed * 1009 + number,
                    templates=list(job.templates),
                    use_templates=use_templates,
                )
                for job, alignment in zip(jobs, alignments, strict=True)
            ]
            batch = self._stack(arrays)
            del arrays
            if previous is None:
                previous = self.model.initial(batch)
            with torch.no_grad(), self._autocast():
                last = number == recycles
                output = self.model(batch, previous, heads=last or tolerance > 0)
            moved = confidence.change(previous.atoms, output.atoms, batch["seq_mask"])
            for index, alignment in enumerate(alignments):
                settled = last or (number > 0 and float(moved[index]) < tolerance)
                if settled and kept[index] is None:
                    kept[index] = (_results(output, index, alignment.columns), number)
            if report is not None:
                report(f"pass {number}: CA distances moved by {float(moved.max()):.2f} A")
            previous = output.recycle()
            del output
            if all(found is not None for found in kept):
                break
        seconds = time.perf_counter() - started
        predictions = []
        for job, alignment, found in zip(jobs, alignments, kept, strict=True):
            assert found is not None  # the last pass fills what is left
            results, passes = found
            predictions.append(
                Prediction(
                    name=job.name,
                    types=alignment.rows[0].astype(np.int64),
                    alignment=alignment,
                    model=self.name,
                    recycles=passes,
                    seconds=seconds / len(jobs),
                    **results,
                )
            )
        return predictions

    def _stack(self, arrays: list[Arrays]) -> dict[str, Tensor]:
        """Features of several chains, padded to the largest of each."""
        found = {}
        keys = [key for key in (*_NEEDED, *_TEMPLATE) if key in arrays[0]]
        for key in keys:
            values = [np.asarray(array[key]) for array in arrays]
            shape = np.max([value.shape for value in values], axis=0)
            padded = np.zeros((len(values), *shape), values[0].dtype)
            for row, value in zip(padded, values, strict=True):
                row[tuple(slice(size) for size in value.shape)] = value
            tensor = torch.as_tensor(padded, device=self.placement.device)
            found[key] = tensor.long() if key in _INTEGERS else tensor.float()
        return found


def _results(output: Output, index: int, n: int) -> dict[str, Any]:
    """What `Prediction` keeps of one chain, without padding."""
    logits = {key: value[index].float() for key, value in output.logits.items()}
    found: dict[str, Any] = {
        "coordinates": output.atoms[index, :n].cpu().numpy(),
        "atom_mask": output.atom_mask[index, :n].cpu().numpy(),
        "plddt": confidence.plddt(logits["plddt"][:n]).cpu().numpy(),
        "distogram": logits["distogram"][:n, :n].softmax(-1).cpu().numpy(),
        "pae": None,
        "ptm": None,
    }
    if "pae" in logits:
        pae = logits["pae"][:n, :n]
        found["pae"] = confidence.predicted_aligned_error(pae).cpu().numpy()
        found["ptm"] = float(confidence.ptm(pae[None], pae.new_ones(1, n))[0])
    return found


def named_outputs(output: Output, features: dict[str, Tensor], tol: Tensor) -> Arrays:
    """One chain's results under AlphaFold's names, without batch dimension or pass number."""
    mask = features["seq_mask"]
    logits, structure = output.logits, output.structure
    plddt = confidence.plddt(logits["plddt"])
    mean = (plddt * mask).sum() / mask.sum()
    exists = torch.as_tensor(_atom14_exists(features), device=mask.device)
    found: dict[str, Tensor] = {
        "representations/msa": output.m[0],
        "representations/msa_first_row": output.m[0, 0],
        "representations/pair": output.z[0],
        "representations/single": output.single[0],
        "representations/structure_module": structure.single[0],
        "structure_module/traj": structure.frames[:, 0],
        "structure_module/final_affines": structure.frames[-1, 0],
        "structure_module/final_atom14_positions": structure.atoms[-1, 0],
        "structure_module/final_atom14_mask": exists,
        "structure_module/final_atom_positions": output.atoms[0],
        "structure_module/final_atom_mask": output.atom_mask[0],
        "structure_module/sidechains/angles_sin_cos": structure.angles[:, 0],
        "structure_module/sidechains/unnormalized_angles_sin_cos": structure.raw_angles[:, 0],
        "distogram/logits": logits["distogram"][0],
        "distogram/bin_edges": confidence.distogram_edges(logits["distogram"].shape[-1]),
        "masked_msa/logits": logits["masked_msa"][0],
        "experimentally_resolved/logits": logits["resolved"][0],
        "predicted_lddt/logits": logits["plddt"][0],
        "plddt": plddt[0],
        "mean_plddt": mean,
        "ranking_confidence": mean,
        "tol": tol[0].float(),
    }
    for number, axis in enumerate("xyz"):
        found[f"structure_module/sidechains/atom_pos/{axis}"] = structure.atoms[:, 0, ..., number]
        found[f"structure_module/sidechains/frames/trans/{axis}"] = structure.group_origins[
            :, 0, ..., number
        ]
        for other, name in enumerate("xyz"):
            key = f"structure_module/sidechains/frames/rot/{axis}{name}"
            found[key] = structure.group_rotations[:, 0, ..., number, other]
    if "pae" in logits:
        pae = logits["pae"]
        centers = confidence.pae_centers(pae.shape[-1])
        found |= {
            "predicted_aligned_error_head/logits": pae[0],
            "predicted_aligned_error_head/breaks": confidence.pae_breaks(pae.shape[-1]),
            "aligned_confidence_probs": pae[0].float().softmax(-1),
            "predicted_aligned_error": confidence.predicted_aligned_error(pae[0]),
            "max_predicted_aligned_error": centers[-1],
            "ptm": confidence.ptm(pae, mask)[0],
        }
    return {key: value.float().cpu().numpy() for key, value in found.items()}


def _atom14_exists(features: dict[str, Tensor]) -> np.ndarray:
    from sciml.protein.io.residues import ATOM14_MASK, UNKNOWN

    types = features["aatype"][0].clamp(max=UNKNOWN).cpu().numpy()
    return ATOM14_MASK[types] * features["seq_mask"][0].cpu().numpy()[:, None]

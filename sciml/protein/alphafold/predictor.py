"""`StructurePredictor`: parameters and an alignment in, a structure out."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import torch
from torch import Tensor

from sciml.config import to_dict
from sciml.errors import InputError
from sciml.protein.alphafold import confidence, memory
from sciml.protein.alphafold.complex_features import (
    CHAIN_KEYS,
    TEMPLATE_KEYS,
    ChainNumbers,
    network_features,
)
from sciml.protein.alphafold.evoformer import EvoformerBlock, PairUpdate
from sciml.protein.alphafold.feature_config import FeatureConfig, published
from sciml.protein.alphafold.features import collate
from sciml.protein.alphafold.job import Job as Job
from sciml.protein.alphafold.model import AlphaFold, Output
from sciml.protein.alphafold.official_outputs import named_outputs
from sciml.protein.alphafold.prediction import StructurePrediction
from sciml.protein.alphafold.templates import Template
from sciml.protein.alphafold.weights import formats
from sciml.protein.alphafold.weights.formats import config_of
from sciml.protein.alphafold.weights.formats import read_config as read_config
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complexes import Chain, Complex
from sciml.protein.io.pairing import PairingConfig
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from typing import Self

Arrays = dict[str, np.ndarray]
_INTEGERS = ("aatype", "residue_index", "extra_msa", "template_aatype", *CHAIN_KEYS)
_NEEDED = (
    "aatype residue_index seq_mask target_feat msa_feat msa_mask extra_msa extra_msa_mask "
    "extra_has_deletion extra_deletion_value"
).split()
_SEQUENCE = "aatype residue_index seq_mask target_feat seq_embedding".split()
"""What a network of embeddings reads."""
_TEMPLATE = (
    "template_aatype template_mask template_all_atom_positions template_all_atom_masks "
    "template_pseudo_beta template_pseudo_beta_mask"
).split()


class StructurePredictor(Pretrained):
    """AlphaFold 2's network, the monomer's or AlphaFold-Multimer's, with given parameters.

    Args:
        model: the network.
        device: "auto", "cpu", "cuda", ...
        precision: "fp32", or "bf16" for matrix products on a GPU.
        name: of the parameters, for reports; by it a published model gets its own feature sizes
            (`sizes`).
    """

    ENTRY: ClassVar[str] = formats.ENTRY
    KIND: ClassVar[str] = formats.KIND

    def __init__(
        self,
        model: AlphaFold,
        device: str = "auto",
        precision: str = "fp32",
        name: str = "alphafold",
    ) -> None:
        self.model, self.precision, self.name = model.eval(), precision, name
        self.sizes = published(name, model.config.templates is not None)
        self.to(device)

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device, "auto", "cpu", "cuda", ..."""
        from sciml.device import choose

        self.placement = choose(str(device), self.precision)
        self.model = self.model.to(self.placement.device)
        return self

    def half(self) -> NoReturn:
        """Refused: squares of distances and products over long alignments overflow float16."""
        raise InputError(
            "the AlphaFold network does not compute in half precision: float16 overflows",
            hint="Give precision='bf16' on a GPU; `save(path, half=True)` halves the file",
        )

    # ---------------------------------------------------------------------------------- files

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: str = "fp32",
        **options: Any,
    ) -> Self:
        """A network from a file, whose suffix says what wrote it.

        Args:
            name_or_path: AlphaFold's parameters (.npz), an OpenFold checkpoint (.pt, .pth, .ckpt),
                or a .safetensors file or folder that `save` wrote.
            device: "auto", "cpu", "cuda", ...
            precision: "fp32", or "bf16" for matrix products on a GPU.
            options: none.

        Raises:
            InputError: no such file, or parameters that fit no AlphaFold 2 network.
        """
        suffix = Path(name_or_path).suffix
        if suffix == ".npz":
            return cls.from_alphafold(name_or_path, device, precision=precision, **options)
        if suffix in formats.OPENFOLD:
            return cls.from_openfold(name_or_path, device, precision=precision, **options)
        return super().from_pretrained(name_or_path, device=device, precision=precision, **options)

    @classmethod
    def from_file(cls, path: str | Path, device: str = "auto", **options: Any) -> Self:
        """The former name of `from_pretrained`."""
        warnings.warn("`from_file` is now `from_pretrained`", DeprecationWarning, stacklevel=2)
        return cls.from_pretrained(path, device=device, **options)

    @classmethod
    def from_alphafold(
        cls, path: str | os.PathLike[str], device: str = "auto", **options: Any
    ) -> Self:
        """From an official `params_model_*.npz`; sizes are read from the arrays.

        Raises:
            InputError: an array is missing, left over or of the wrong shape.
        """
        from sciml.protein.alphafold.weights.official import read_alphafold

        return cls(read_alphafold(Path(path)), device, name=Path(path).stem, **options)

    @classmethod
    def from_openfold(
        cls, path: str | os.PathLike[str], device: str = "auto", **options: Any
    ) -> Self:
        """From an OpenFold checkpoint; tensors only, no pickled code is run."""
        from sciml.protein.alphafold.weights.openfold import read_openfold

        return cls(read_openfold(Path(path)), device, name=Path(path).stem, **options)

    def describe(self) -> dict[str, Any]:
        """Sizes of the network, name of the parameters, layout of the file they came from."""
        sizes = to_dict(self.model.config)
        return sizes | {"name": self.name, "fused_layout": self.model.fused_layout}

    def weights(self) -> dict[str, Tensor]:
        """The parameters."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    @classmethod
    def restore(
        cls,
        description: dict[str, Any],
        tensors: Mapping[str, Tensor],
        path: Path,
        precision: str = "fp32",
    ) -> Self:
        """From what `describe` and `weights` gave; see `Pretrained`."""
        config = config_of(description, path)
        model = loading.build(lambda: AlphaFold(config), tensors, where=path)
        loading.load_state(model, tensors, where=path)
        model.fused_layout = bool(description.get("fused_layout", False))
        return cls(model, "cpu", precision, str(description.get("name", "alphafold")))

    def to_alphafold(self, path: str | Path | None = None) -> Arrays:
        """The official arrays; written to `path` (npz) where given. Round trips are exact.

        Raises:
            InputError: it is a network of embeddings, which AlphaFold has none of.
        """
        if self.model.config.embedding_dim:
            raise InputError("AlphaFold's layout has no place for a network of embeddings",
                             hint="`save` writes it")  # fmt: skip
        from sciml.protein.alphafold.weights.official import to_arrays, write_alphafold

        if path is not None:
            write_alphafold(self.model, path)
        return to_arrays(self.model)

    # ------------------------------------------------------------------- features in, arrays out

    def tensors(self, batch: Arrays) -> dict[str, Tensor]:
        """Checked features of one chain on the device, with a batch dimension in front."""
        needed = list(_SEQUENCE if self.model.config.embedding_dim else _NEEDED)
        if self.model.config.chain_positions:
            needed += CHAIN_KEYS
            if self.model.config.templates is not None:
                needed += TEMPLATE_KEYS
        elif self.model.config.templates is not None and "template_mask" in batch:
            needed += _TEMPLATE
        missing = [key for key in needed if key not in batch]
        if missing:
            raise InputError(f"the features lack {', '.join(missing)}")
        tensors = {}
        for key in needed:  # whatever number types a file has
            value = torch.as_tensor(np.asarray(batch[key]), device=self.placement.device)
            tensors[key] = (value.long() if key in _INTEGERS else value.float())[None]
        return tensors

    def predict_features(
        self,
        batch: Arrays,
        recycles: int = 3,
        *,
        every_pass: bool = True,
        num_msa: int | None = None,
        num_extra_msa: int | None = None,
    ) -> Arrays:
        """Run the network on ready features, the same in every pass.

        Args:
            batch: features of one chain without a batch dimension, under AlphaFold's names; see
                `AlphaFold.forward`.
            recycles: R; the network runs R + 1 times.
            every_pass: give every pass's results, or only the last one's.
            num_msa, num_extra_msa: of AlphaFold-Multimer, whose batch holds the rows themselves:
                how many of the first rows of `msa` are cluster centres, and how many of the
                next ones extra sequences; see `complex_features.network_features`.

        Returns:
            `pass<r>/<name>` -> array: structure_module/final_atom_positions [N, 37, 3] [A],
            distogram/logits, predicted_lddt/logits, predicted_aligned_error (with
            predicted_aligned_error_head/logits), masked_msa/logits,
            experimentally_resolved/logits, representations/*, plddt, ptm, tol and so on; of
            complexes predicted_aligned_error/{logits, pae}, iptm and ranking_confidence (0 to
            100).
        """
        if recycles < 0:
            raise InputError(f"recycles must be >= 0, got {recycles}")
        if self.model.config.chain_positions and "msa_feat" not in batch:
            if num_msa is None or num_extra_msa is None:
                raise InputError("rows of an alignment need num_msa and num_extra_msa")
            empty = 0 if self.model.config.templates is None else self.sizes.templates
            batch = network_features(batch, num_msa, num_extra_msa, empty)
        tensors = self.tensors(batch)
        mask = tensors["seq_mask"]
        previous, results = self.model.initial(tensors), {}
        with torch.no_grad(), self._autocast():
            for number in range(recycles + 1):
                reported = every_pass or number == recycles
                output = self.model(tensors, previous, heads=reported)
                tol = confidence.change(previous.atoms, output.atoms, mask)
                previous = output.recycle()
                if reported:
                    for key, value in named_outputs(output, tensors, tol).items():
                        results[f"pass{number}/{key}"] = value
                del output
        return results

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.placement.device.type,
            dtype=torch.bfloat16,
            enabled=self.placement.dtype == torch.bfloat16,
        )

    # --------------------------------------------------------------------- alignment in, structure

    def predict(
        self,
        msa: Alignment | Complex | str | os.PathLike[str] | Sequence[Chain],
        templates: Sequence[Template] | None = None,
        *,
        pairing: PairingConfig | None = None,
        config: FeatureConfig | None = None,
        recycles: int = 3,
        tolerance: float = 0.0,
        seed: int = 0,
        dropout: bool = False,
        name: str = "query",
        memory_limit: float | None = None,
        embedding: np.ndarray | None = None,
    ) -> StructurePrediction:
        """Fold one chain or complex.

        AlphaFold-Multimer's network folds both; a monomer's takes a complex as one chain whose
        residue numbers leave a gap of 200 between two chains.

        Args:
            msa: an alignment whose first row is the query, a complex, a file of one of them, or
                the chains of a complex: alignments, files or letters; see `read_complex`.
            pairing: how rows of a complex's chains are paired; by the file's own pairs or by
                species if None.
            templates: structures aligned to all columns, each of one chain.
            config: sizes of the features; those of the published model if None.
            recycles: most passes after the first.
            tolerance: stop earlier when CA distances change by less than this [A].
            seed: of the choice of rows and the masking; each pass draws anew.
            dropout: leave parts of the Evoformer out at random, as in training, so that seeds give
                more different structures.
            memory_limit: bytes that may be used; what is free if None.
            embedding: [N, e] of a protein language model, for a network that reads one in place of
                the alignment (OpenFold's SoloSeq: ESM-1b's last layer, 1,280 channels).

        Raises:
            InputError: the alignment is bad, the network needs an embedding, or the prediction
                would not fit into memory.
        """
        job = replace(
            Job.read(msa, pairing), name=name, templates=tuple(templates or ()), embedding=embedding
        )
        return self.predict_many(
            [job], config=config, recycles=recycles, tolerance=tolerance, seed=seed,
            dropout=dropout, memory_limit=memory_limit,
        )[0]  # fmt: skip

    def _dropped(self, job: Job, settings: dict[str, Any]) -> StructurePrediction:
        """One job with dropout, drawn from its seed."""
        torch.manual_seed(settings["seed"])
        return self.predict_many([job], **settings)[0]

    def predict_many(
        self,
        jobs: Sequence[Job],
        *,
        config: FeatureConfig | None = None,
        recycles: int = 3,
        tolerance: float = 0.0,
        seed: int = 0,
        dropout: bool = False,
        memory_limit: float | None = None,
        report: Callable[[str], None] | None = None,
    ) -> list[StructurePrediction]:
        """Fold chains or complexes together in one padded batch, as if one at a time.

        See `predict`; `report` is called with a line after each pass. With a `tolerance`, a chain
        that has converged keeps the result of that pass while the others go on. With `dropout`
        each is computed by itself, so that its numbers do not depend on the others.
        """
        if dropout:
            settings: dict[str, Any] = {
                "config": config, "recycles": recycles, "tolerance": tolerance, "seed": seed,
                "memory_limit": memory_limit, "report": report,
            }  # fmt: skip
            with _dropping(self.model, self.placement.device):
                return [self._dropped(job, settings) for job in jobs]
        if recycles < 0:
            raise InputError(f"recycles must be >= 0, got {recycles}")
        config = config or self.sizes
        alignments = [job.alignment.with_query(0).deduplicate() for job in jobs]
        if self.model.config.embedding_dim:
            for job in jobs:
                job.check_embedding(self.model.config.embedding_dim)
            alignments = [alignment.select(np.zeros(1, np.int64)) for alignment in alignments]
        multimer = self.model.config.chain_positions
        use_templates = self.model.config.templates is not None and (
            multimer or any(job.templates for job in jobs)
        )
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
        final: list[tuple[dict[str, Any], int] | None] = [None] * len(jobs)
        for number in range(recycles + 1):
            arrays = [
                job.features(
                    alignment, config, seed=seed * 1009 + number, multimer=multimer,
                    use_templates=use_templates,
                )
                for job, alignment in zip(jobs, alignments, strict=True)
            ]  # fmt: skip
            keys = (*_NEEDED, *_SEQUENCE[-1:], *CHAIN_KEYS, *_TEMPLATE)
            batch = collate([{k: a[k] for k in keys if k in a} for a in arrays])
            batch = {k: v.to(self.placement.device) for k, v in batch.items()}
            del arrays
            if previous is None:
                previous = self.model.initial(batch)
            with torch.no_grad(), self._autocast():
                last = number == recycles
                output = self.model(batch, previous, heads=last or tolerance > 0)
            moved = confidence.change(previous.atoms, output.atoms, batch["seq_mask"])
            # Results are made from the logits: after the last pass nothing holds the pairs.
            previous = None if last else output.recycle()
            output.m = output.z = output.single.new_empty(0)
            for index, alignment in enumerate(alignments):
                converged = last or (number > 0 and float(moved[index]) < tolerance)
                if converged and final[index] is None:
                    results = _results(output, index, alignment.columns, jobs[index].chains)
                    final[index] = (results, number)
            if report is not None:
                report(f"pass {number}: CA distances moved by {float(moved.max()):.2f} A")
            del output
            if all(result is not None for result in final):
                break
        seconds = time.perf_counter() - started
        predictions = []
        for job, alignment, result in zip(jobs, alignments, final, strict=True):
            assert result is not None  # the last pass fills what is left
            results, passes = result
            predictions.append(
                StructurePrediction(
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


@contextmanager
def _dropping(model: AlphaFold, device: torch.device) -> Iterator[None]:
    """The network with dropout; the random numbers outside go on as if it had drawn none."""
    blocks = [m for m in model.modules() if isinstance(m, EvoformerBlock | PairUpdate)]
    dropouts = [m for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            for module in dropouts:
                module.train()
            for block in blocks:
                block.dropping = True
            yield
        finally:
            for block in blocks:
                block.dropping = False
            model.eval()


def _results(output: Output, index: int, n: int, chains: ChainNumbers | None) -> dict[str, Any]:
    """Fields of the `StructurePrediction` of one chain or complex, without padding."""
    logits = {key: value[index].float() for key, value in output.logits.items()}
    distogram = confidence.probabilities(logits["distogram"][:n, :n])
    results: dict[str, Any] = {
        "atoms": output.atoms[index, :n].cpu().numpy(),
        "atom_mask": output.atom_mask[index, :n].cpu().numpy(),
        "plddt": confidence.plddt(logits["plddt"][:n]).cpu().numpy(),
        "distogram": distogram.cpu().numpy(),
        "pae": None,
        "ptm": None,
    }
    if "pae" in logits:
        pae = logits["pae"][:n, :n]
        results["pae"] = confidence.predicted_aligned_error(pae).cpu().numpy()
        mask = pae.new_ones(n)
        results["ptm"] = float(confidence.ptm(pae[None], mask[None])[0])
        if chains is not None and chains.asym_id[-1] > 1:
            asym = torch.as_tensor(chains.asym_id, device=pae.device)
            results["iptm"] = float(confidence.ptm(pae[None], mask[None], asym[None])[0])
            results["chain_iptm"] = confidence.chain_pair_iptm(pae, mask, asym).cpu().numpy()
            close = confidence.chain_pair_actifptm(pae, distogram, asym)
            results["chain_actifptm"] = close.cpu().numpy()
    if chains is not None:
        results["asym_id"] = chains.asym_id
    return results

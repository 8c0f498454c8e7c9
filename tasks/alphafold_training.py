"""Train an AlphaFold 2 or AlphaFold-Multimer network on chains or complexes of known structure.

1. Chains: the structures of a folder with their alignments, or generated ones (a made fold with a
   backbone, sequences of a Potts model on its contacts). Some are held out. Complexes (`complexes`)
   are cropped to stretches of each chain or around an interface; before the losses, equal chains of
   the truth are put where the prediction has them.
2. Initial training: crops, random recycling, and the losses of the supplement's section 1.9: FAPE,
   torsions, distogram, masked MSA, predicted lDDT and aligned error. The moving average of the
   weights is measured on held-out chains and kept.
3. Self-distillation (`unlabelled`): the network predicts alignments without structures; confident
   predictions join the chains.
4. Fine-tuning: larger crops, with the losses of violations and of resolved atoms.
5. The held-out chains are folded, also by an untrained network of the same size.

Jumper et al., Nature 596, 583 (2021), supplement 1.11; Evans et al., bioRxiv 2021.10.04.463034,
section 7. The published network (the defaults of
`AlphaFoldConfig`, 93 million parameters) was trained for 11 days on 128 accelerators; the small one
here shows that every part learns, not that it folds unseen proteins.

Writes model.safetensors (for `sciml protein fold CHAINS -o DIR --params OUT/model.safetensors`),
metrics.jsonl and report.html. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from sciml.config import Range
from sciml.errors import InputError
from sciml.protein.alphafold.complex_training import (
    ComplexExamples,
    TrainingComplex,
    complex_scores,
    read_training_complexes,
)
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.losses import LossWeights
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
from sciml.protein.alphafold.predictor import StructurePredictor
from sciml.protein.alphafold.training import StructureLearner, self_distillation
from sciml.protein.alphafold.training_data import (
    ChainExamples,
    ChainTrainConfig,
    TrainingChain,
    collate,
    read_training_chains,
)
from sciml.protein.contacts.backbone import backbone_atoms
from sciml.protein.contacts.synthetic_families import families
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.measure import metrics
from sciml.protein.training_report import write_metrics, write_report
from sciml.train import TrainConfig, fit


@dataclass(frozen=True)
class Config:
    """Settings of the recipe."""

    structures: Path | None = None
    """Folder of structures (.cif, .pdb), each with an alignment of the same name (.a3m, ...) beside
    it or else alone; without a folder, chains are generated."""
    complexes: Path | None = None
    """Folder of structures of complexes (.cif, .pdb), each with the alignments of its chains beside
    it, ColabFold's NAME.a3m or a folder NAME of A3Ms, or else without; the network then has the
    options of AlphaFold-Multimer, and the chains of `structures` join as complexes of one chain."""
    chains: Annotated[int, Range(min=2)] = 48
    """Generated chains to learn from [chains]."""
    held_out: Annotated[int, Range(min=1)] = 8
    """Chains to measure on, generated or of `structures` [chains]."""
    length: tuple[int, int] = (40, 64)
    """Shortest and longest generated chain [residues]."""
    depth: tuple[int, int] = (32, 256)
    """Fewest and most sequences of a generated alignment [sequences]."""
    unlabelled: Path | None = None
    """Folder of alignments without structures for self-distillation."""
    least_plddt: Annotated[float, Range(min=0, max=100)] = 70.0
    """Least mean pLDDT of a prediction that is learned from."""
    network: AlphaFoldConfig = AlphaFoldConfig(
        msa_dim=32, pair_dim=32, extra_dim=16, single_dim=48, blocks=4, extra_blocks=1, msa_heads=4,
        column_heads=4, outer_dim=8, triangle_dim=32, structure_dim=48, structure_layers=8,
        ipa_heads=4, angle_dim=32, plddt_dim=32, templates=None,
    )  # fmt: skip
    """Sizes of the network."""
    examples: ChainTrainConfig = ChainTrainConfig(crop=48, clusters=32, extra=64, recycles=1)
    """How chains become examples."""
    weights: LossWeights = LossWeights()
    """Weights of the losses in the initial training."""
    train: TrainConfig = TrainConfig(
        steps=400, batch_size=4, lr=1e-3, warmup=0.1, weight_decay=0.0, ema=0.99, validate_every=100
    )
    """Initial training."""
    finetune_crop: Annotated[int, Range(min=8)] = 64
    """Residues of a crop in the fine-tuning [residues]."""
    finetune_weights: LossWeights = LossWeights(resolved=0.01, violation=1.0)
    """Weights of the losses in the fine-tuning."""
    finetune: TrainConfig = TrainConfig(
        steps=100, batch_size=4, lr=5e-4, warmup=0.0, weight_decay=0.0, ema=0.99, validate_every=50
    )
    """Fine-tuning."""
    seed: int = 0
    """Seed of the chains, of the first weights and of training."""


TINY: dict[str, Any] = {
    "chains": 4,
    "held_out": 2,
    "length": (20, 24),
    "depth": (8, 16),
    "network": {
        "msa_dim": 16, "pair_dim": 16, "extra_dim": 8, "single_dim": 16, "blocks": 1,
        "structure_dim": 16, "msa_heads": 2, "column_heads": 2, "pair_heads": 2, "outer_dim": 4,
        "triangle_dim": 8, "ipa_heads": 2, "angle_dim": 8, "plddt_dim": 8,
    },
    "examples": {"crop": 16, "clusters": 8, "extra": 8},
    "train": {"steps": 24, "batch_size": 2, "log_every": 2, "validate_every": 12, "lr": 3e-3},
    "finetune": {"steps": 6, "batch_size": 2, "log_every": 2, "validate_every": 6},
    "finetune_crop": 20,
}  # fmt: skip


def examples_of(config: Config) -> list[TrainingChain] | list[TrainingComplex]:
    """Chains or complexes of the folders, or generated chains; the first `held_out` of them are for
    measuring."""
    chains = [] if config.structures is None else read_training_chains(config.structures)
    complexes: list[TrainingComplex] = []
    if config.complexes is not None:
        complexes = read_training_complexes(config.complexes)
        complexes += [TrainingComplex.of_chain(chain) for chain in chains]
    elif config.structures is None:
        made = families(
            config.chains + config.held_out, config.seed, length=config.length, depth=config.depth
        )
        for number, family in enumerate(made):
            types = family.alignment.rows[0].astype(np.int64)
            atoms, mask = backbone_atoms(family.ca, types)
            name = f"generated_{number}"
            chains.append(TrainingChain(family.alignment, atoms, mask, name=name))
        return chains
    count = len(complexes or chains)
    if count <= config.held_out:
        raise InputError(
            f"{count} structures, of which {config.held_out} are held out: none is left",
            where=config.complexes or config.structures,
            hint="Add structures, or give a smaller --held-out",
        )
    order = np.random.default_rng(config.seed).permutation(count)
    return [complexes[k] for k in order] if complexes else [chains[k] for k in order]


def data_set(known: list[Any], config: ChainTrainConfig) -> ChainExamples | ComplexExamples:
    """Cropped examples of chains or of complexes."""
    if isinstance(known[0], TrainingComplex):
        return ComplexExamples(known, config)
    return ChainExamples(known, config)


def train_stage(
    model: AlphaFold,
    known: list[Any],
    held_out: list[Any],
    examples: ChainTrainConfig,
    weights: LossWeights,
    train: TrainConfig,
    out: Path,
    title: str,
) -> tuple[AlphaFold, list[dict[str, Any]]]:
    """Train on chains or complexes; the network with averaged weights, and the records."""
    with torch.random.fork_rng(devices=[]):  # the same held-out crops at every validation
        torch.manual_seed(0)
        data = data_set(held_out, examples)
        batches = [collate([data[k]]) for k in range(len(data))]

    def validate(module: nn.Module) -> dict[str, float]:
        device = next(module.parameters()).device
        with torch.no_grad():
            terms = [module({k: v.to(device) for k, v in batch.items()}) for batch in batches]
        mean = {name: float(np.mean([float(t[name]) for t in terms])) for name in terms[0]}
        return {name: value for name, value in mean.items() if name != "count"}

    learner = StructureLearner(model, weights, examples)
    result = fit(
        learner, data_set(known, examples), train, out=out, collate=collate,
        lengths=np.array([len(each.mask) for each in known]), validate=validate, title=title,
    )  # fmt: skip
    return result.module.model, result.history  # type: ignore[return-value]


def fold_held_out(
    model: AlphaFold, method: str, held_out: list[Any], config: Config
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Scores of the folded chains or complexes, and the CA positions of the first [A]."""
    predictor = StructurePredictor(model, config.train.device)
    sizes = FeatureConfig(config.examples.clusters, config.examples.extra)
    rows, first = [], np.zeros((0, 3))
    for number, each in enumerate(held_out):
        whole = isinstance(each, TrainingComplex)
        prediction = predictor.predict(
            each.parts if whole else each.alignment, list(each.templates), config=sizes,
            recycles=config.examples.recycles, seed=config.seed,
        )  # fmt: skip
        ca = prediction.atoms[:, 1].astype(np.float64)
        first = ca if number == 0 else first
        if whole:
            scores = complex_scores(prediction.atoms, each)
        else:
            truth = np.where(each.mask[:, 1, None] > 0, each.atoms[:, 1], np.nan)
            lddt, tm_score = float(metrics.lddt(ca, truth)), metrics.tm_score(ca, truth)
            scores = {"lDDT-CA": lddt, "TM-score": tm_score}
        rows.append({
            "method": method,
            "chain": each.name,
            "residues": len(ca),
            **{name: round(value, 4) for name, value in scores.items() if np.isfinite(value)},
            "mean pLDDT": round(prediction.mean_plddt, 2),
        })  # fmt: skip
    return rows, first


def main(config: Config, out: Path) -> None:
    """Run the recipe; the same call goes on where an interrupted one stopped."""
    torch.manual_seed(config.seed)
    if config.complexes is not None and config.unlabelled is not None:
        raise InputError(
            "self-distillation is of chains: `unlabelled` and `complexes` do not go together"
        )
    network = config.network if config.complexes is None else config.network.as_multimer()
    model, untrained = AlphaFold(network), AlphaFold(network)
    every: list[Any] = list(examples_of(config))
    held_out, known = every[: config.held_out], every[config.held_out :]
    unlabelled = [] if config.unlabelled is None else sorted(config.unlabelled.rglob("*.a3m"))
    if config.unlabelled is not None and not unlabelled:
        raise InputError("holds no alignments (.a3m)", where=config.unlabelled)

    model, initial = train_stage(
        model, known, held_out, config.examples, config.weights,
        replace(config.train, seed=config.seed), out / "initial", "initial training",
    )  # fmt: skip
    distilled: list[TrainingChain] = []
    if unlabelled:
        distilled = self_distillation(
            StructurePredictor(model, config.train.device),
            [read_alignment(path) for path in unlabelled],
            least_plddt=config.least_plddt,
            config=FeatureConfig(config.examples.clusters, config.examples.extra),
            recycles=config.examples.recycles,
            seed=config.seed,
        )
    model, finetuning = train_stage(
        model, known + distilled, held_out, replace(config.examples, crop=config.finetune_crop),
        config.finetune_weights, replace(config.finetune, seed=config.seed), out / "finetuning",
        "fine-tuning",
    )  # fmt: skip
    StructurePredictor(model, "cpu", name=f"alphafold_training_{config.seed}").save(
        out / "model.safetensors"
    )

    scores, ca = fold_held_out(model, "trained", held_out, config)
    scores += fold_held_out(untrained, "untrained", held_out, config)[0]
    stages = {"initial training": initial, "fine-tuning": finetuning}
    write_metrics(out, stages, scores)
    write_report(
        out,
        stages,
        scores,
        chains=(len(known), len(held_out)),
        distilled=(len(distilled), len(unlabelled)),
        example=held_out[0],
        ca=ca,
    )


if __name__ == "__main__":
    from sciml.cli import run_script

    run_script(__file__)

"""Training examples of chains: crops, padding, a step, many processes, self-distillation."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.protein import Alignment, StructurePredictor
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.losses import LossWeights
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.templates import Template
from sciml.protein.alphafold.training import StructureLearner, self_distillation
from sciml.protein.alphafold.training_data import (
    ChainExamples,
    ChainTrainConfig,
    TrainingChain,
    collate,
    delete_blocks,
)
from sciml.protein.io.residues import ATOM37_MASK
from sciml.train import TrainConfig, fit

SMALL = AlphaFoldConfig(
    msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=1, extra_blocks=1, msa_heads=1,
    column_heads=1, pair_heads=1, outer_dim=2, triangle_dim=4, structure_dim=8, ipa_heads=1,
    scalar_qk=2, scalar_v=2, point_qk=1, point_v=1, angle_dim=4, plddt_dim=4, structure_layers=1,
    templates=None,
)  # fmt: skip


def chains() -> list[TrainingChain]:
    chains = []
    for seed, sequence in enumerate(("ACDEFGHIKLMNPQ", "MKVLAAGTRE")):
        rng = np.random.default_rng(seed)
        alignment = Alignment.from_sequences([sequence, sequence[:-1] + "-", "G" * len(sequence)])
        mask = ATOM37_MASK[alignment.rows[0]]
        walk = np.cumsum(rng.normal(0, 2, (len(sequence), 1, 3)), 0)
        atoms = (walk + rng.normal(0, 1, (len(sequence), 37, 3))) * mask[..., None]
        chains.append(TrainingChain(alignment, atoms, mask))
    return chains


def test_a_step_on_cropped_and_padded_chains() -> None:
    config = ChainTrainConfig(crop=12, clusters=2, extra=2, recycles=1)
    data = ChainExamples(chains(), config)
    first = data[0]
    assert len(first["aatype"]) == 12 and first["truth_atoms"].shape == (12, 37, 3)
    batch = collate([first, data[1]])
    assert batch["aatype"].shape == (2, 12) and batch["seq_mask"].sum() == 22
    learner = StructureLearner(AlphaFold(SMALL), config=config).train()
    terms = learner(batch)
    assert float(terms["count"]) == 2 and terms["loss"].isfinite()
    terms["loss"].backward()
    gradients = [p.grad for p in learner.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients) and len(gradients) > 100


def test_same_random_state_same_example() -> None:
    data = ChainExamples(chains(), ChainTrainConfig(crop=8, clusters=2, extra=2))
    torch.manual_seed(4)
    one = data[0]
    torch.manual_seed(4)
    other = data[0]
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_a_batch_is_the_mean_of_its_chains_and_short_ones_count_less() -> None:
    config = ChainTrainConfig(crop=14, clusters=3, extra=2, recycles=0, deleted_blocks=0)
    data = ChainExamples(chains(), config)
    examples = [data[0], data[1]]
    learner = StructureLearner(AlphaFold(SMALL), config=config).eval()
    both = learner(collate(examples))
    each = [learner(collate([example])) for example in examples]
    for losses, residues in zip(each, (14, 10), strict=True):
        assert float(losses["loss"].detach()) == pytest.approx(
            residues**0.5 * float(losses["loss_per_chain"]), rel=1e-5
        )
    for name, value in both.items():
        if name != "count":
            mean = 0.5 * sum(float(losses[name].detach()) for losses in each)
            assert float(value.detach()) == pytest.approx(mean, rel=2e-4, abs=1e-6), name


def test_chains_with_and_without_templates_share_a_batch() -> None:
    given = chains()
    n = given[0].alignment.columns
    types, mask = given[0].alignment.rows[0].astype(np.int64), np.ones((n, 37), np.float32)
    atoms = np.random.default_rng(0).normal(0, 9, (n, 37, 3)).astype(np.float32)
    given[0].templates = (Template(types, atoms, mask),)
    config = ChainTrainConfig(crop=12, clusters=2, extra=2, recycles=0)
    data = ChainExamples(given, config)
    batch = collate([data[0], data[1]])
    assert batch["template_mask"].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    templates = TemplateConfig(
        dim=4, blocks=1, heads=1, head_dim=4, hidden=4, attention_heads=1, attention_head_dim=4
    )
    learner = StructureLearner(AlphaFold(replace(SMALL, templates=templates)), config=config)
    learner.train()(batch)["loss"].backward()
    embedder = learner.model.template_embedder
    assert embedder is not None
    gradients = [p.grad for p in embedder.parameters()]
    assert sum(g is not None and bool(g.any()) for g in gradients) > 5


def test_training_in_bfloat16(tmp_path: Path) -> None:
    """Matrix products of the blocks in bf16; losses, frames and atoms in full precision."""
    config = ChainTrainConfig(crop=12, clusters=2, extra=2, recycles=1, unclamped=0.0)
    torch.manual_seed(0)
    data = ChainExamples(chains(), config)
    examples = [data[k % 2] for k in range(4)]
    losses = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = AlphaFold(SMALL)
        module: Any
        for module in model.modules():  # the same in both: nothing dropped
            if hasattr(module, "msa_dropout"):
                module.msa_dropout = 0.0
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        learner = StructureLearner(model, LossWeights(violation=0.1), config)
        train = TrainConfig(steps=4, batch_size=2, lr=1e-3, warmup=0, log_every=1, device="cpu",
                            precision=precision)  # fmt: skip
        out = tmp_path / precision
        history = fit(learner, examples, train, out=out, collate=collate, quiet=True).history
        losses[precision] = [record["loss_per_chain"] for record in history]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses["bf16"] != losses["fp32"]  # lower precision is in use


def test_blocks_of_rows_go_and_the_query_stays() -> None:
    rows = np.random.default_rng(0).integers(0, 20, (100, 12)).astype(np.uint8)
    whole = Alignment([str(i) for i in range(100)], rows)
    seen = set()
    for seed in range(20):
        kept = delete_blocks(whole, 5, 0.3, np.random.default_rng(seed))
        assert kept.names[0] == "0" and kept.depth < 80
        gone = np.diff([int(name) for name in kept.names])
        assert gone.max() >= 30 or int(kept.names[-1]) < 99  # in blocks
        seen.add(tuple(kept.names))
    assert len(seen) > 15
    assert delete_blocks(whole.select(np.array([0])), 5, 0.3, np.random.default_rng(0)).depth == 1
    assert delete_blocks(whole, 0, 0.3, np.random.default_rng(0)) is whole


def torchrun(out: Path, *arguments: str, processes: int = 1) -> list[float]:
    """Losses of `sharded_run.py`, on one process or many."""
    program = [sys.executable]
    if processes > 1:
        program += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        program += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    done = subprocess.run(
        [*program, Path(__file__).parents[1] / "sharded_run.py", out, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records]


@pytest.mark.slow
def test_two_processes_that_share_the_network_have_the_losses_of_one(tmp_path: Path) -> None:
    """FSDP2: every block in shards; with recycling both processes make the same passes."""
    one = torchrun(tmp_path / "one", "fsdp", "0", "0.0")
    two = torchrun(tmp_path / "two", "fsdp", "0", "0.0", processes=2)
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-4)
    recycled = torchrun(tmp_path / "recycled", "fsdp", "3", "0.1", processes=2)
    assert len(recycled) == 6 and np.isfinite(recycled).all()


def test_self_distillation_keeps_what_is_confident() -> None:
    torch.manual_seed(0)
    predictor = StructurePredictor(AlphaFold(SMALL), "cpu")
    alignments = [chain.alignment for chain in chains()]
    settings: dict[str, Any] = {"config": FeatureConfig(clusters=2, extra=2), "recycles": 0}
    assert self_distillation(predictor, alignments, least_plddt=101.0, **settings) == []
    distilled = self_distillation(
        predictor, alignments, least_plddt=0.0, keep_residues=0.0, **settings
    )
    assert [chain.alignment.columns for chain in distilled] == [14, 10]
    assert all(chain.distilled for chain in distilled)


def test_a_noisy_student_learns_from_its_teacher(tmp_path: Path) -> None:
    """Predict, keep what is confident, train on known and predicted chains with noise."""
    torch.manual_seed(0)
    teacher = StructurePredictor(AlphaFold(SMALL), "cpu")
    query = "WQNDCFYSPILK"
    rows = [query] + [query[:k] + "-" * (12 - k) for k in range(4, 12)]
    unlabelled = Alignment.from_sequences(rows)
    settings = {"config": FeatureConfig(clusters=4, extra=4), "recycles": 0}
    made = self_distillation(teacher, [unlabelled], least_plddt=0, keep_residues=0, **settings)
    config = ChainTrainConfig(crop=10, clusters=3, extra=3, recycles=1, distilled_rows=5,
                              deleted_blocks=1)  # fmt: skip
    data = ChainExamples(chains() + made, config)
    torch.manual_seed(0)
    drawn = [data[k % len(data)] for k in range(200)]
    sequences = ["".join(map(str, example["aatype"])) for example in drawn]
    student_only = {"".join(map(str, made[0].alignment.rows[0][k : k + 10])) for k in range(3)}
    share = np.mean([sequence in student_only for sequence in sequences])
    assert 0.65 < share < 0.85  # three in four are predictions
    assert max(len(e["true_msa"]) + int(e["extra_msa_mask"][:, 0].sum()) for e in drawn) <= 5
    student = StructureLearner(AlphaFold(SMALL), config=config)
    fixed = collate([data[0], data[1], data[2]])
    before = float(student.eval()(fixed)["loss_per_chain"])
    train = TrainConfig(steps=60, batch_size=2, lr=5e-3, warmup=0, log_every=1, device="cpu")
    fit(student, data, train, out=tmp_path, collate=collate, quiet=True)
    assert float(student.eval()(fixed)["loss_per_chain"]) < 0.95 * before

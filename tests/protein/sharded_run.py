"""Train a small structure network; `test_training` starts this alone and under torchrun.

python sharded_run.py OUT STRATEGY RECYCLES DROPOUT
"""

import sys
from pathlib import Path
from typing import Any, cast

import torch

sys.path.insert(0, str(Path(__file__).parent / "alphafold"))
from test_training import SMALL, chains

from sciml.protein.alphafold.losses import LossWeights
from sciml.protein.alphafold.model import AlphaFold
from sciml.protein.alphafold.training import StructureLearner
from sciml.protein.alphafold.training_data import (
    ChainExamples,
    ChainTrainConfig,
    collate,
)
from sciml.train import TrainConfig, fit
from sciml.train.parallel import leave


def main() -> None:
    out, strategy, recycles, dropout = sys.argv[1:]
    torch.manual_seed(0)
    model = AlphaFold(SMALL)
    for module in model.modules():
        for name in ("dropout", "msa_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, float(dropout))
        if isinstance(module, torch.nn.Dropout):
            module.p = float(dropout)
    config = ChainTrainConfig(crop=9, clusters=2, extra=2, recycles=int(recycles), unclamped=0.0)
    learner = StructureLearner(model, LossWeights(resolved=0.01, violation=0.1), config)
    settings = TrainConfig(
        steps=6, batch_size=2, lr=1e-3, warmup=0, log_every=1, device="cpu", precision="fp32",
        strategy=cast(Any, strategy), checkpoint_every=3,
    )  # fmt: skip
    data = ChainExamples(chains(), config)
    examples = [data[k % len(data)] for k in range(8)]  # drawn once: the same however read
    fit(learner, examples, settings, out=Path(out), collate=collate)
    leave()


if __name__ == "__main__":
    main()

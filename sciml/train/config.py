"""The settings of a training run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sciml.config import Range


@dataclass(frozen=True)
class TrainConfig:
    """How to train: the same for every domain and objective."""

    steps: Annotated[int, Range(min=0)] = 0
    """Optimiser steps; 0 = as many as `epochs` needs."""
    epochs: Annotated[float, Range(min=0, exclusive=True)] = 10.0
    """Passes over the data, if `steps` is 0."""
    batch_size: Annotated[int, Range(min=1)] = 64
    """Examples per optimiser step, over all processes and micro-batches."""
    accumulate: Annotated[int, Range(min=1)] = 1
    """Micro-batches per optimiser step: less memory, the same result."""
    lr: Annotated[float, Range(min=0, exclusive=True)] = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Range(min=0)] = 0.01
    """Decoupled weight decay of matrices; biases and norms are not decayed."""
    warmup: Annotated[float, Range(min=0, max=1)] = 0.05
    """Share of the steps in which the learning rate rises; a cosine brings it down after."""
    clip: Annotated[float, Range(min=0)] = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: Annotated[float, Range(min=0, max=1)] = 0.0
    """Decay of the moving average of the weights that is evaluated and kept; 0 keeps none."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of matrix products; weights stay fp32."""
    compile: bool = False
    """Compile the model with torch.compile: a minute of waiting, then faster steps."""
    buckets: tuple[Annotated[int, Range(min=1)], ...] = ()
    """Lengths that batches are padded up to [nodes], such as 32 64 128, so that a compiled step
    meets few shapes; beyond the largest, its multiples. None: the longest example of each batch."""
    workers: Annotated[int, Range(min=0)] = 0
    """Processes that read data beside the training process."""
    checkpoint_every: Annotated[int, Range(min=1)] = 200
    """Steps between checkpoints."""
    keep: Annotated[int, Range(min=1)] = 2
    """Checkpoints that stay on disk."""
    log_every: Annotated[int, Range(min=1)] = 20
    """Steps between records in metrics.jsonl."""
    validate_every: Annotated[int, Range(min=1)] = 200
    """Steps between validations, if there is something to validate on."""
    monitor: str = "loss"
    """Validation metric that decides which weights are kept; "-auc" keeps the largest auc."""
    patience: Annotated[int, Range(min=0)] = 0
    """Validations without improvement before training stops early; 0 never stops."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: replicate the model (ddp) or shard it (fsdp)."""
    seed: int = 0
    """Seed of order, dropout and masking."""
    tensorboard: bool = False
    """Also write TensorBoard files (extra: tensorboard)."""
    mlflow: bool = False
    """Also log to MLflow: to MLFLOW_TRACKING_URI, else OUT/mlruns (extra: mlflow)."""
    wandb: bool = False
    """Also log to Weights & Biases, offline unless WANDB_MODE says otherwise (extra: wandb)."""

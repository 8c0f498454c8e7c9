"""The training engine: one loop for every objective, exact to resume, on one device or many."""

from sciml.train.callbacks import Callback
from sciml.train.config import TrainConfig
from sciml.train.loop import FitResult, Interrupted, TrainingDiverged, fit
from sciml.train.state import TrainState

__all__ = [
    "Callback",
    "FitResult",
    "Interrupted",
    "TrainConfig",
    "TrainState",
    "TrainingDiverged",
    "fit",
]

"""The training engine: one loop for every objective, exact to resume, the same on one device or many."""

from sciml.train.loop import FitResult, Interrupted, TrainConfig, TrainingDiverged, fit
from sciml.train.state import TrainState

__all__ = ["FitResult", "Interrupted", "TrainConfig", "TrainState", "TrainingDiverged", "fit"]

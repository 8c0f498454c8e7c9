"""Contacts and distances from alignments, and families to learn them from."""

from sciml.exports import lazy

_EXPORTS = {
    "ContactConfig": "network",
    "ContactExamples": "training",
    "ContactFeatures": "features",
    "ContactLearner": "training",
    "ContactNet": "network",
    "ContactPrediction": "prediction",
    "ContactPredictor": "predictor",
    "EDGES": "distogram",
    "as_example": "training",
    "collate": "training",
    "contact_features": "features",
    "contact_probability": "distogram",
    "flip": "training",
}
__getattr__, __dir__ = lazy(__name__, _EXPORTS)

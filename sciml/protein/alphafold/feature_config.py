"""Sizes of AlphaFold's input features, and those of the published models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from sciml.config import Range


@dataclass(frozen=True)
class FeatureConfig:
    """How an alignment becomes features."""

    clusters: Annotated[int, Range(min=1)] = 512
    """Rows of the main alignment."""
    extra: Annotated[int, Range(min=1)] = 1024
    """Extra sequences (5120 in models 1, 3 and 4, 1024 in models 2 and 5)."""
    masked: Annotated[float, Range(min=0, max=1)] = 0.15
    """Share of cells that are hidden or replaced, as in training."""
    templates: Annotated[int, Range(min=0)] = 4
    """Most templates."""


DEFAULT_FEATURES = FeatureConfig()


def published(name: str, templates: bool) -> FeatureConfig:
    """The sizes of a published model (supplement, tables 4 and 5; the multimer's config).

    Args:
        name: of the parameters, such as params_model_1_ptm or params_model_1_multimer_v3 of
            AlphaFold or finetuning_ptm_2 of OpenFold; others get the smaller sizes.
        templates: whether the model takes templates, whose rows then replace four clusters.
    """
    if multimer := re.search(r"model_(\d)_multimer(_v3)?", name):
        few = multimer[2] is None or multimer[1] in "45"
        return FeatureConfig(clusters=508 if multimer[2] else 252, extra=1152 if few else 2048)
    many = re.search(r"model_[134](?!\d)|finetuning", name) is not None
    return FeatureConfig(clusters=508 if templates else 512, extra=5120 if many else 1024)

"""Self-supervised and supervised objectives that train any trunk through the batch alone.

    >>> from sciml import objectives
    >>> objective = objectives.build("masked")(trunk, embedder)          # doctest: +SKIP
    >>> objective = objectives.build({"name": "simclr", "temperature": 0.1})(
    ...     trunk, embedder, augment=corpus.augment)                     # doctest: +SKIP
    >>> losses = objective(batch)                                        # doctest: +SKIP

    name           learns by                                         needs
    masked         predicting hidden nodes' content                  -
    missing_patch  the same for one compact patch                    positions or edges
    next_token     predicting each node from those before            a causal trunk
    denoising      predicting the noise that was added to positions  positions
    simclr         telling views of one example from others          augment, large batches
    moco           the same against a queue of earlier examples      augment
    vicreg         views that agree, features that vary              augment
    jepa           predicting a slow copy's latents of hidden nodes  -
    rotation       classifying how a graph was rotated               positions that the trunk sees
    jigsaw         classifying how tiles or runs were shuffled       positions or an ordered trunk
    supervised     labels: classes, values, quantiles                y (or node_y)
    adversarial    labels, with features that hide the domain        y, domain

Noisy-Student self-training (`self_training.noisy_student`) and the probes (`probe.probe`) are
functions around these, not objectives.

An objective is a class with a frozen dataclass `Config`; its constructor takes
`(trunk, embedder, config, *, augment=None)`. One of a user's own is named by import path,
`my_module:MyObjective`, or by file, `my_objective.py:MyObjective`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sciml import own
from sciml.errors import InputError

if TYPE_CHECKING:
    from torch import nn

_WHERE = {
    "adversarial": f"{__name__}.adversarial:DomainAdversarial",
    "denoising": f"{__name__}.denoising:Denoising",
    "jepa": f"{__name__}.jepa:JEPA",
    "jigsaw": f"{__name__}.pretext:Jigsaw",
    "masked": f"{__name__}.masked:Masked",
    "missing_patch": f"{__name__}.masked:MissingPatch",
    "moco": f"{__name__}.contrastive:MoCo",
    "next_token": f"{__name__}.next_token:NextToken",
    "rotation": f"{__name__}.pretext:Rotation",
    "simclr": f"{__name__}.contrastive:SimCLR",
    "supervised": f"{__name__}.supervised:Supervised",
    "vicreg": f"{__name__}.vicreg:VICReg",
}


def names() -> list[str]:
    """The objectives that `build` knows by name."""
    return sorted(_WHERE)


def find(name: str) -> Any:
    """The class of an objective, by name, import path `module:Class` or file `path.py:Class`.

    Raises:
        InputError: there is none, or it has no `Config`.
    """
    kind = own.find("objective", name, _WHERE)
    if not dataclasses.is_dataclass(getattr(kind, "Config", None)):
        raise InputError(f"the objective {name!r} has no dataclass `Config`")
    return kind


def config(name_or_config: Any) -> tuple[Any, Any]:
    """(objective class, its settings) of a name, a mapping with `name`, or a `Config`."""
    from sciml.config import from_dict

    if isinstance(name_or_config, str):
        kind = find(name_or_config)
        return kind, kind.Config()
    if isinstance(name_or_config, Mapping):
        settings = dict(name_or_config)
        if "name" not in settings:
            raise InputError("an objective's settings need a `name`", hint=", ".join(names()))
        name = settings.pop("name")
        kind = find(name)
        return kind, from_dict(kind.Config, settings, where=f"objective {name}")
    for name in names():
        kind = find(name)
        if type(name_or_config) is kind.Config:
            return kind, name_or_config
    raise InputError(
        f"an objective is a name, a mapping or a Config, got {type(name_or_config).__name__}"
    )


def build(name_or_config: Any) -> Callable[..., nn.Module]:
    """A function (trunk, embedder, *, augment=None, ...) -> the objective's module.

    Args:
        name_or_config: "masked", {"name": "masked", "fraction": 0.3}, `Masked.Config(...)`, or an
            import path "module:Class".

    Raises:
        InputError: unknown name or setting, or a value out of its limits.
    """
    kind, settings = config(name_or_config)

    def make(trunk: nn.Module, embedder: nn.Module, **parts: Any) -> nn.Module:
        return kind(trunk, embedder, settings, **parts)

    return make

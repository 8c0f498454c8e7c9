"""LoRA: adapt a frozen trunk by low-rank changes of its linear layers.

Hu et al. 2021 (arXiv:2106.09685): W x + (alpha / rank) B A x with A random and B zero at first, so
that the trunk starts unchanged. Only A and B train; they are saved apart from the trunk, or merged
into it for no cost at inference.

    >>> from sciml import trunks
    >>> from sciml.trunks import lora
    >>> trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1)
    >>> _ = lora.inject(trunk, rank=4, targets=("*attention*",))
    >>> trunk.count_parameters(trainable_only=True) < 0.3 * trunk.count_parameters()
    True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.errors import InputError, unknown
from sciml.trunks.base import check_fit
from sciml.weights.former_names import present_names

M = TypeVar("M", bound=nn.Module)
L = TypeVar("L", bound=nn.Module)


class LoRALinear(nn.Module):
    """A frozen linear layer and its low-rank change.

    Args:
        base: the layer; it is kept, not copied.
        rank: of the change.
        alpha: the change is scaled by alpha / rank.
        dropout: probability of dropping an input of the change in training.
    """

    is_adapter = True

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / rank
        new = base.weight.new_empty
        self.lora_a = nn.Parameter(new(rank, base.in_features))
        self.lora_b = nn.Parameter(new(base.out_features, rank).zero_())
        nn.init.kaiming_uniform_(self.lora_a, a=5**0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*G F"]) -> Float[Tensor, "*G O"]:
        """[..., in] -> [..., out]."""
        change = nn.functional.linear(self.dropout(x), self.lora_a)
        return self.base(x) + nn.functional.linear(change, self.lora_b) * self.scale

    @property
    def weight(self) -> Tensor:
        """The adapted weight, for code that reads it."""
        return self.base.weight + self.lora_b @ self.lora_a * self.scale

    @property
    def bias(self) -> Tensor | None:
        """The bias, which is not adapted."""
        return self.base.bias


def _sites(module: nn.Module, kind: type[L]) -> Iterator[tuple[str, nn.Module, str, L]]:
    """(full name, parent, name in parent, layer) of every layer of a kind."""
    for prefix, parent in module.named_modules():
        if isinstance(parent, LoRALinear):
            continue
        for name, child in parent.named_children():
            if type(child) is kind:
                yield (f"{prefix}.{name}" if prefix else name), parent, name, child


def inject(
    module: M,
    rank: int = 8,
    alpha: float | None = None,
    targets: Sequence[str] = ("*",),
    *,
    dropout: float = 0.0,
    train_also: Sequence[str] = (),
) -> M:
    """Freeze a module and give its linear layers adapters, in place.

    Args:
        module: a trunk, or a model that holds one.
        rank: of each change.
        alpha: scale of the change times `rank`; 2 * rank if not given.
        targets: globs on names of linear layers: "*attention*", "blocks.*.linear_1".
        dropout: on the input of each change, in training.
        train_also: globs on parameters that stay trainable, such as "head.*" or "*norm*".

    Returns:
        the module.

    Raises:
        InputError: rank below 1, a target that matches no linear layer, or adapters already there.
    """
    if rank < 1:
        raise InputError(f"`rank` must be >= 1, got {rank}")
    if any(True for _ in _sites(module, LoRALinear)):
        raise InputError("the module has LoRA adapters already", hint="merge or remove them first")
    sites = list(_sites(module, nn.Linear))
    names = [name for name, *_ in sites]
    for target in targets:
        if not any(fnmatchcase(name, target) for name in names):
            raise unknown("linear layer", target, names)
    module.requires_grad_(False)
    scale = 2.0 * rank if alpha is None else alpha
    for name, parent, attribute, layer in sites:
        if any(fnmatchcase(name, target) for target in targets):
            setattr(parent, attribute, LoRALinear(layer, rank, scale, dropout))
    parameters = dict(module.named_parameters())
    for pattern in train_also:
        matching = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matching:
            raise unknown("parameter", pattern, parameters)
        for name in matching:
            parameters[name].requires_grad_(True)
    return module


@torch.no_grad()
def merge(module: M) -> M:
    """Add the changes to the weights and take the adapters off, in place; all parameters train."""
    for _, parent, name, layer in list(_sites(module, LoRALinear)):
        layer.base.weight.copy_(layer.weight)
        setattr(parent, name, layer.base)
    module.requires_grad_(True)
    return module


def remove(module: M) -> M:
    """Take the adapters off, changes lost, in place; all parameters train."""
    for _, parent, name, layer in list(_sites(module, LoRALinear)):
        setattr(parent, name, layer.base)
    module.requires_grad_(True)
    return module


def state(module: nn.Module) -> dict[str, Tensor]:
    """The adapters alone: what to save of a fine-tuning, a thousandth of the trunk.

    Raises:
        InputError: there are none.
    """
    adapters = {
        name: value
        for name, value in module.state_dict().items()
        if name.rpartition(".")[2] in ("lora_a", "lora_b")
    }
    if not adapters:
        raise InputError("the module has no LoRA adapters", hint="Call lora.inject first")
    return adapters


def load(module: nn.Module, adapters: dict[str, Tensor]) -> None:
    """Put saved adapters into a module that `inject` prepared in the same way.

    Raises:
        InputError: names or shapes that do not fit, or no adapters in the module.
    """
    expected = state(module)
    adapters = present_names(module, adapters)
    check_fit(expected, adapters)
    with torch.no_grad():
        for name, value in expected.items():
            value.copy_(adapters[name])

"""Sizes and options of the Particle Transformer in all of weaver-core's versions."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sciml.config import Range
from sciml.errors import InputError, unknown
from sciml.jets.networks import pair_kinematics
from sciml.jets.networks.pair_kinematics import PairKind

Positive = Annotated[int, Range(min=1)]
Activation = Literal["gelu", "relu", "swiglu"]


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """Options of a block; the defaults are those of version 1."""

    heads: Annotated[int, Range(min=0)] = 0
    """Attention heads; 0: as many as the network."""
    expansion: Annotated[int, Range(min=0)] = 0
    """Hidden width of the feed-forward layer over the width of the model; 0: the network's."""
    activation: Literal["", "gelu", "relu", "swiglu"] = ""
    """Activation of the feed-forward layer; empty: the network's."""
    rms_norm: bool = False
    """RMS norms in place of layer norms."""
    linear_bias: bool = True
    """Linear layers have biases."""
    query_key_norm: bool = False
    """Queries and keys of each head are normalised."""
    gate: Literal["none", "head", "element"] = "none"
    """Gates on what attention receives: none, one per head, or one per element."""
    attention_norm: bool = True
    """A norm after attention."""
    hidden_norm: bool = True
    """A norm within the feed-forward layer."""
    head_gain: bool = True
    """A gain per head."""
    residual_gain: bool = True
    """A gain per element on the residual of the feed-forward layer."""
    layer_scale: bool = False
    """A gain per element on both updates (CaiT's LayerScale)."""
    bias_gain: bool = False
    """A gain on the pair bias."""


@dataclasses.dataclass(frozen=True)
class ParTConfig:
    """Sizes of a Particle Transformer; the defaults are the published ones."""

    features: Positive = 17
    """Features per particle."""
    classes: Positive = 10
    """Classes."""
    embed: tuple[Positive, ...] = (128, 512, 128)
    """Widths of the particle embedding; the last is the width of the model. Empty: none, the
    features have that width."""
    convolution: bool = False
    """True: the embedding is (linear, batch norm, activation) per width, without the last
    activation, in place of (layer norm, linear, activation)."""
    pair: tuple[Positive, ...] = (64, 64, 64)
    """Hidden widths of the pair embedding; empty for no pair bias."""
    single_pair_layer: bool = False
    """True: with `pair` empty, there is a pair bias, from one layer without a hidden one."""
    pair_kind: PairKind = "pp"
    """Set of pair features."""
    pair_features: Annotated[int, Range(min=0)] = 4
    """How many of them."""
    pair_extra: Annotated[int, Range(min=0)] = 0
    """Further pair features, which come with the input."""
    pair_linear_bias: bool = True
    """Linear layers of the pair embedding have biases."""
    heads: Positive = 8
    """Attention heads."""
    layers: Annotated[int, Range(min=0)] = 8
    """Particle attention blocks."""
    class_layers: Annotated[int, Range(min=0)] = 2
    """Class attention blocks."""
    expansion: Positive = 4
    """Hidden width of a block's feed-forward layer over the width of the model."""
    dropout: Annotated[float, Range(min=0, max=1)] = 0.1
    """Probability of dropping in particle blocks (residual, attention, activation)."""
    use_pre_activation_pair: bool = True
    """False: GELU also after the last pair layer, as in the published JetClass weights."""
    remove_self_pair: bool = False
    """True: no bias from a particle on itself (of symmetric pair features, as in weaver-core)."""
    activation: Activation = "gelu"
    """Activation of the embedding (ReLU where it is "swiglu") and the blocks; the pair network
    always has GELU."""
    bias_blocks: tuple[int, ...] | None = None
    """Particle blocks whose attention has the pair bias; None: all."""
    global_token: bool = False
    """True: the class token goes through the particle blocks, and there are no class blocks.
    Without either, the answer comes from the mean over particles."""
    block: BlockConfig = BlockConfig()
    """Options of particle blocks."""
    class_block: BlockConfig = BlockConfig()
    """Options of class blocks."""
    rms_norm: bool = False
    """The last norm, and those of the classifier, are RMS norms."""
    hidden: tuple[Positive, ...] = ()
    """Hidden widths of the classifier."""
    hidden_activations: tuple[Activation, ...] = ()
    """Their activations; empty: ReLU."""
    hidden_linear_bias: bool = True
    """Hidden layers of the classifier have biases."""

    def __post_init__(self) -> None:
        for name in (self.activation, *self.hidden_activations):
            if name not in ("gelu", "relu", "swiglu"):
                raise unknown("activation", str(name)[:60], ("gelu", "relu", "swiglu"))
        wrong = [n for n in self.bias_blocks or () if not -self.layers <= n < self.layers]
        if wrong:
            raise InputError(f"there is no block {wrong[0]}: the network has {self.layers}")
        if self.global_token and self.class_layers:
            raise InputError("a global token has no class blocks")
        if len(self.hidden_activations) not in (0, len(self.hidden)):
            raise InputError(
                f"{len(self.hidden)} hidden layers need as many activations, "
                f"got {list(self.hidden_activations)}"
            )
        for heads in (self.heads, self.block.heads, self.class_block.heads):
            if heads and self.dim % heads:
                what = "the last of `embed`" if self.embed else "`features`"
                raise InputError(
                    f"{what} must be a multiple of `heads` ({heads}), "
                    f"got {list(self.embed) or self.features}"
                )
        if self.biased and self.pair_features:
            pair_kinematics.check(self.pair_kind, self.pair_features)

    @property
    def dim(self) -> int:
        """Width of the model."""
        return self.embed[-1] if self.embed else self.features

    @property
    def biased(self) -> bool:
        """Whether there is a pair bias."""
        return bool(self.pair) or self.single_pair_layer

    @property
    def token(self) -> bool:
        """Whether there is a class token."""
        return self.global_token or self.class_layers > 0

    @property
    def symmetric(self) -> bool:
        """Whether the pair bias is."""
        return not self.pair_extra and pair_kinematics.symmetric(self.pair_kind, self.pair_features)

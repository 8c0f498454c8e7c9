"""The contact network: contacts and distances of residues from an alignment alone.

The embedder (`sciml.protein.contacts.embedder`) puts column and column-pair statistics through
residual convolutions; the shared pair transformer lets pairs agree with each other through
triangles (Jumper et al., Nature 596, 583, 2021); the head gives classes of the CB distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from torch import Tensor, nn

from sciml.config import Range, check
from sciml.errors import InputError
from sciml.graph import Light
from sciml.protein.contacts.distogram import CLASSES
from sciml.protein.contacts.embedder import AlignmentEmbedder
from sciml.protein.contacts.features import PROFILE
from sciml.trunks import name_of
from sciml.trunks.base import Trunk
from sciml.trunks.pair_transformer import PairTransformer, PairTransformerConfig


@dataclass(frozen=True)
class ContactConfig:
    """Sizes of the contact network."""

    pair_dim: Annotated[int, Range(min=8)] = 32
    """Channels of the pair representation."""
    convolutions: Annotated[int, Range(min=0)] = 12
    """Residual 3 x 3 convolutions of the embedder, dilated 1, 2, 4, 1, 2, 4, ..."""
    trunk: PairTransformerConfig = field(
        default_factory=lambda: PairTransformerConfig(
            dim=32,
            pair_dim=32,
            depth=1,
            heads=4,
            class_depth=0,
            pair_update="triangle",
            pair_hidden=16,
            expansion=2.0,
        )
    )
    """The pair transformer; its `pair_dim` must be the one above."""
    couplings: bool = False
    """Also take the couplings of each pair along properties of its residues, not only norms."""

    def __post_init__(self) -> None:
        if self.trunk.pair_dim != self.pair_dim:
            raise InputError(
                f"`trunk.pair_dim` must be `pair_dim` ({self.pair_dim}), got {self.trunk.pair_dim}"
            )


class ContactNet(nn.Module):
    """Embedder, trunk, heads."""

    def __init__(self, config: ContactConfig | None = None) -> None:
        super().__init__()
        self.config = config or ContactConfig()
        dim, pair_dim = self.config.trunk.dim, self.config.pair_dim
        self.embedder = AlignmentEmbedder(
            dim, pair_dim, self.config.convolutions, maskable=False, couplings=self.config.couplings
        )
        self.trunk = PairTransformer(self.config.trunk)
        self.norm = nn.LayerNorm(pair_dim)
        self.head_distance = nn.Linear(pair_dim, CLASSES)
        self.head_profile = nn.Linear(dim, PROFILE)

    @classmethod
    def on(cls, trunk: Trunk, embedder: AlignmentEmbedder, config: ContactConfig) -> ContactNet:
        """A network that begins with copies of a pretrained trunk and its embedder; heads are new.

        Args:
            trunk: a pair transformer that updates its pairs, from which distances are read.
            embedder: as it was pretrained with that trunk.
            config: its `convolutions` count; the sizes are those of the trunk.

        Raises:
            InputError: another trunk, pairs that are too narrow, or too few `convolutions`.
        """
        if not (isinstance(trunk, PairTransformer) and trunk.config.pair_update != "none"):
            raise InputError(
                f"contacts are read from pairs that the trunk updates, and {name_of(type(trunk))} "
                "here does not update any",
                hint="Pretrain with --trunk pair_transformer --pair-dim 32 "
                "--trunk-settings '{pair_update: triangle}'",
            )
        sizes = check(replace(config, trunk=trunk.config, pair_dim=trunk.pair_dim))
        net = cls(sizes)
        net.trunk.load_state_dict(trunk.state_dict())
        net.embedder.take(embedder)
        return net

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """`node_profile` [B, N, 26], `pair_scores` [B, N, N, 25 or 74] and `mask` [B, N] -> logits
        of the distance classes [B, N, N, 16] and of the profile [B, N, 21]."""
        columns: Any = Light(x=batch["node_profile"], pair=batch["pair_scores"], mask=batch["mask"])
        encoded = self.trunk(self.embedder(columns))
        pairs = encoded.pairs
        logits = self.head_distance(self.norm(pairs + pairs.transpose(1, 2)))
        return logits, self.head_profile(encoded.nodes)

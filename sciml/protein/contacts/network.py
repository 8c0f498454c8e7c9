"""Contacts and distances from an alignment alone: features, a small network, its predictor.

The embedder (`sciml.protein.contacts.embedder`) puts column and column-pair statistics through
residual convolutions; the shared pair transformer lets pairs agree with each other through
triangles (Jumper et al., Nature 596, 583, 2021); the head gives classes of the CB distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.config import Range, from_dict, to_dict
from sciml.errors import InputError, unknown
from sciml.protein.contacts.calibration import Calibration
from sciml.protein.contacts.embedder import PROFILE, AlignmentEmbedder
from sciml.protein.contacts.features import NOISY, ContactFeatures, contact_features
from sciml.protein.io.alignment import Alignment
from sciml.trunks.pair_transformer import PairTransformer, PairTransformerConfig
from sciml.weights import files, loading

EDGES = (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 18.0, 20.0)
"""Upper edges [A] of the CB distance classes; the last class takes everything beyond."""
CONTACT_CLASSES = EDGES.index(8.0) + 1
MAX_COLUMNS = 700
MAX_DEPTH = 16384


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
        self.embedder = AlignmentEmbedder(dim, pair_dim, self.config.convolutions, maskable=False)
        self.trunk = PairTransformer(self.config.trunk)
        self.norm = nn.LayerNorm(pair_dim)
        self.head_distance = nn.Linear(pair_dim, len(EDGES) + 1)
        self.head_profile = nn.Linear(dim, PROFILE)

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """`node_profile` [B, N, 26], `pair_scores` [B, N, N, 25] and `mask` [B, N] -> logits of the
        distance classes [B, N, N, 16] and of the profile [B, N, 21]."""
        from torch_geometric.data import Data

        columns = Data(x=batch["node_profile"], pair=batch["pair_scores"], mask=batch["mask"])
        encoded = self.trunk(self.embedder(columns))
        pairs = encoded.pairs
        logits = self.head_distance(self.norm(pairs + pairs.transpose(1, 2)))
        return logits, self.head_profile(encoded.nodes)


def collate(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Pad examples (`node_profile`, `pair_scores`, and `distances` where known) to one length."""
    longest = max(len(example["node_profile"]) for example in examples)
    batch: dict[str, Tensor] = {}
    for key, filler in (("node_profile", 0.0), ("pair_scores", 0.0), ("distances", float("nan"))):
        if key not in examples[0]:
            continue
        parts = []
        for example in examples:
            value = example[key].float()
            short = longest - len(value)
            pad = (0, 0, 0, short) if key == "node_profile" else (0, 0, 0, short, 0, short)
            pad = (0, short, 0, short) if key == "distances" else pad
            parts.append(F.pad(value, pad, value=filler))
        batch[key] = torch.stack(parts)
    lengths = torch.tensor([len(example["node_profile"]) for example in examples])
    batch["mask"] = torch.arange(longest)[None] < lengths[:, None]
    return batch


def flip(example: dict[str, Tensor]) -> dict[str, Tensor]:
    """The chain backwards; the two columns that tell the ends apart are exchanged."""
    turned = {
        "node_profile": example["node_profile"].flip(0).clone(),
        "pair_scores": example["pair_scores"].flip(0, 1),
    }
    turned["node_profile"][:, [23, 24]] = turned["node_profile"][:, [24, 23]]
    if "distances" in example:
        turned["distances"] = example["distances"].flip(0, 1)
    return turned


class ContactLearner(nn.Module):
    """Distance classes from structures, and masked columns' profiles, which need none.

    Args:
        net: what is trained.
        noise: standard deviation of the noise on pair scores, and spread of their random scale.
        masked: share of columns whose profile is hidden and predicted back.
        profile_weight: of that loss.
    """

    def __init__(
        self,
        net: ContactNet,
        *,
        noise: float = 0.3,
        masked: float = 0.15,
        profile_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.net, self.noise = net, noise
        self.masked, self.profile_weight = masked, profile_weight

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """-> loss, distance_loss (where `distances` are given), profile_loss."""
        nodes, scores, mask = batch["node_profile"], batch["pair_scores"], batch["mask"]
        hidden = mask & (torch.rand(mask.shape, device=mask.device) < self.masked)
        profile = nodes[..., :PROFILE]
        nodes = torch.cat([profile.masked_fill(hidden[..., None], 0.0), nodes[..., PROFILE:]], -1)
        if self.training and self.noise:
            noise = torch.randn_like(scores[..., :NOISY])
            noise = 0.5**0.5 * (noise + noise.transpose(1, 2))
            scale = torch.exp(0.2 * torch.randn(len(scores), 1, 1, NOISY, device=scores.device))
            noisy = scores[..., :NOISY] * scale + self.noise * noise
            scores = torch.cat([noisy, scores[..., NOISY:]], -1)
        logits, guess = self.net({"node_profile": nodes, "pair_scores": scores, "mask": mask})
        found = -(profile * guess.log_softmax(-1)).sum(-1)
        profile_loss = (found * hidden).sum() / hidden.sum().clamp(min=1)
        result = {"loss": self.profile_weight * profile_loss, "profile_loss": profile_loss.detach()}
        if "distances" in batch:
            distance_loss = self.distance_loss(logits, batch["distances"], mask)
            result["loss"] = result["loss"] + distance_loss
            result["distance_loss"] = distance_loss.detach()
        return result

    @staticmethod
    def distance_loss(logits: Tensor, distances: Tensor, mask: Tensor) -> Tensor:
        """Cross entropy of the distance classes of known pairs; near pairs count a fifth."""
        edges = torch.tensor(EDGES, device=logits.device)
        target = torch.bucketize(distances.nan_to_num(0.0), edges, right=True)
        index = torch.arange(mask.shape[1], device=mask.device)
        away = (index[:, None] - index[None]).abs()
        weight = torch.where(away >= 6, 1.0, 0.2) * (away >= 1)
        weight = weight * distances.isfinite() * (mask[:, :, None] & mask[:, None])
        loss = F.cross_entropy(logits.permute(0, 3, 1, 2), target, reduction="none")
        return (loss * weight).sum() / weight.sum().clamp(min=1)


class ContactExamples:
    """A map-style data set of features with distances.

    Args:
        examples: as `as_example` makes them.
        augment: turn half of them around.
        crop: random windows of this many columns; 0: whole chains.
    """

    def __init__(
        self, examples: list[dict[str, Tensor]], augment: bool = True, crop: int = 0
    ) -> None:
        self.examples, self.augment, self.crop = examples, augment, crop

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        example = self.examples[index]
        if self.augment and float(torch.rand(())) < 0.5:
            example = flip(example)
        columns = len(example["node_profile"])
        if not self.crop or columns <= self.crop:
            return example
        start = int(torch.randint(0, columns - self.crop + 1, ()))
        part = slice(start, start + self.crop)
        return {
            key: value[part] if key == "node_profile" else value[part, part]
            for key, value in example.items()
        }


def as_example(features: ContactFeatures, distances: np.ndarray | None = None) -> dict[str, Tensor]:
    """Features (and CB distances [C, C] [A], NaN where unknown) as tensors."""
    example = {
        "node_profile": torch.as_tensor(features.nodes),
        "pair_scores": torch.as_tensor(features.pairs),
    }
    if distances is not None:
        example["distances"] = torch.as_tensor(distances, dtype=torch.float32)
    return example


def contact_probability(distances: np.ndarray) -> np.ndarray:
    """[C, C, 16] class probabilities -> [C, C] that two CB are within 8 A; 1 on the diagonal."""
    probability = distances[..., :CONTACT_CLASSES].sum(-1)
    np.fill_diagonal(probability, 1.0)
    return probability


@dataclass
class ContactPrediction:
    """What the network says of an alignment's columns.

    Attributes:
        probability: [C, C] that two CB atoms are closer than 8 A, calibrated where the model is.
        distances: [C, C, 16] probabilities of the distance classes `EDGES`, as the network gives
            them: of shallow alignments it is too sure.
        dca: [C, C] corrected mean-field coupling scores, for comparison.
        neff: effective number of sequences.
        query: letters of the first row in these columns.
        windows: in how many windows it was predicted (`contact_windows`); of several, pairs that
            are in none are NaN.
    """

    probability: np.ndarray
    distances: np.ndarray
    dca: np.ndarray
    neff: float
    query: str
    windows: int = 1

    @classmethod
    def of(
        cls,
        distances: np.ndarray,
        features: ContactFeatures,
        query: str,
        calibration: Calibration | None = None,
    ) -> ContactPrediction:
        """From class probabilities and what they were predicted from."""
        probability = contact_probability(distances)
        if calibration is not None:
            probability = calibration(probability, features.neff)
        return cls(probability, distances, features.dca, features.neff, query)

    def table(self, separation: int = 6) -> list[tuple[int, int, float]]:
        """(i, j, probability) from 0, most probable first, for pairs at least that far apart.

        Pairs that were not predicted are left out.
        """
        row, column = np.triu_indices(len(self.probability), separation)
        known = np.isfinite(self.probability[row, column])
        row, column = row[known], column[known]
        order = np.argsort(-self.probability[row, column], kind="stable")
        return [
            (int(row[k]), int(column[k]), float(self.probability[row[k], column[k]])) for k in order
        ]


class ContactPredictor:
    """Alignment in, contact probabilities out."""

    def __init__(
        self,
        nets: ContactNet | Sequence[ContactNet],
        device: str = "auto",
        calibration: Calibration | None = None,
    ) -> None:
        """Args:
        nets: one network, or several of one configuration whose probabilities are averaged.
        device: auto, cpu, cuda, ...
        calibration: of the probabilities of contacts, by the number of sequences.
        """
        self.calibration = calibration
        from sciml.device import choose

        self.device = choose(device, "fp32").device
        members = [nets] if isinstance(nets, ContactNet) else list(nets)
        self.nets = [net.eval().to(self.device) for net in members]

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "contacts-small", device: str = "auto"
    ) -> ContactPredictor:
        """A model that ships with the package, or a .safetensors file written by `save`.

        Raises:
            InputError: no such file, or it holds no contact network of this version.
        """
        described, state, path = files.read(name, "contact_config", "contact network")
        kept = described.pop("calibration", None)
        calibration = None if kept is None else Calibration.from_dict(kept, where=path)
        config = from_dict(ContactConfig, described, where=path)
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            member, _, name = key.partition(".")
            parts.setdefault(member, {})[name] = value
        if set(parts) != {str(number) for number in range(max(len(parts), 1))}:
            raise InputError(
                f"numbers its networks {', '.join(sorted(parts))[:60]!r}, not from 0 on", where=path
            )
        nets = []
        for number in range(len(parts)):
            part = parts[str(number)]
            net = loading.build(lambda: ContactNet(config), part, where=path)
            try:
                loading.load_state(net, part)
            except InputError as error:
                raise InputError(
                    f"was damaged, or written by another version of the contact network: {error}",
                    where=path,
                ) from error
            nets.append(net)
        return cls(nets, device, calibration)

    def save(self, path: str | Path) -> None:
        """Write the weights (safetensors, with configuration and calibration in its metadata)."""
        state = {
            f"{number}.{key}": value
            for number, net in enumerate(self.nets)
            for key, value in net.state_dict().items()
        }
        described = to_dict(self.nets[0].config)
        if self.calibration is not None:
            described["calibration"] = self.calibration.as_dict()
        files.write(path, state, "contact_config", described)

    def predict(self, msa: Alignment | str | Path, columns: str = "all") -> np.ndarray:
        """[C, C] contact probabilities over the alignment's columns; see `predict_distances`."""
        return self.predict_distances(msa, columns).probability

    def predict_distances(
        self,
        msa: Alignment | str | Path,
        columns: str = "all",
        progress: Callable[[int, int], None] | None = None,
    ) -> ContactPrediction:
        """Contact and distance probabilities; of a wide alignment in windows along the chain.

        Args:
            msa: an alignment, or a file that holds one.
            columns: "all": the alignment's match columns; "query": only those where the first
                row has a residue.
            progress: called with (windows done, windows in all), where there are several.

        Raises:
            InputError: the alignment is not readable or too wide.
        """
        if columns not in ("all", "query"):
            raise unknown("choice of columns", columns, ("all", "query"))
        if not isinstance(msa, Alignment):
            from sciml.protein.io.alignment_files import read_alignment

            msa = read_alignment(msa)
        if columns == "query":
            msa = msa.with_query(0)
        msa = msa.deduplicate()
        if msa.depth > MAX_DEPTH:  # every k-th row, the query among them
            msa = msa.select(np.unique(np.linspace(0, msa.depth - 1, MAX_DEPTH).astype(int)))
        if msa.columns > MAX_COLUMNS:
            from sciml.protein.contacts.windows import predict_windows

            return predict_windows(msa, self._window, progress)
        return self.from_features(contact_features(msa), msa.row(0))

    def _window(self, msa: Alignment, ends: np.ndarray) -> ContactPrediction:
        """Of some columns of a wider alignment, `ends` [C, 2] columns from the chain's two ends."""
        features = contact_features(msa)
        features.nodes[:, 23:25] = np.minimum(ends, 20) / 20
        return self.from_features(features, msa.row(0))

    def from_features(self, features: ContactFeatures, query: str = "") -> ContactPrediction:
        """The same from features that are already there; the mean over both chain directions."""
        example = as_example(features)
        with torch.inference_mode():
            found = []
            for turned in (example, flip(example)):
                batch = {key: value.to(self.device) for key, value in collate([turned]).items()}
                logits = torch.stack([net(batch)[0][0] for net in self.nets])
                found.append(logits.softmax(-1).mean(0))
            classes = 0.5 * (found[0] + found[1].flip(0, 1))
        return ContactPrediction.of(classes.cpu().numpy(), features, query, self.calibration)

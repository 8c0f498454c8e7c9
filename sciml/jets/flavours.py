"""`FlavourTagger`: small-radius jets in; flavour, pT, and the origin and vertex of tracks out.

tagger = FlavourTagger.from_pretrained("ak4-small")
flavours = tagger.predict("events.parquet")      # JetFlavours: probabilities, quantiles of pT [GeV]
tracks = tagger.tracks("events.parquet")         # JetTracks: origin and vertex per constituent
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml.errors import InputError
from sciml.jets.data.columns import ORIGINS
from sciml.jets.data.features import MAX_PARTICLES, Jets
from sciml.jets.inference import STEP, passes
from sciml.jets.model import JetModel
from sciml.jets.networks.flavour import PRIMARY, FlavourNetwork, is_track, track_pairs
from sciml.jets.scores import PT, JetFlavours, JetTracks

if TYPE_CHECKING:
    from sciml.jets.data.flavours import FlavourSample
    from sciml.jets.data.io import OpenOptions

SAME = 0.5
"""Mean probability of sharing a vertex from which on groups of tracks are joined."""


class FlavourTagger(JetModel[JetFlavours]):
    """Flavours of small-radius jets; `sciml run flavour_tagging` trains one.

    Args:
        network: a `FlavourNetwork`.
        names: of the classes, then of the quantiles of pT (`pt_16`).
        limit: constituents used per jet, the leading ones in pT.
    """

    KIND = "flavour tagger"
    ANSWER = "flavour"
    RESULT = JetFlavours

    network: FlavourNetwork
    temperature: Tensor
    pt_shift: Tensor

    def __init__(
        self, network: nn.Module, names: Sequence[str], limit: int = MAX_PARTICLES
    ) -> None:
        super().__init__(network, names, limit)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("pt_shift", torch.zeros(len(self.names) - len(self.flavours)))

    @property
    def flavours(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name in self.names if not name.startswith(PT))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that `sciml jets tag` writes."""
        return tuple(name if name.startswith(PT) else f"score_{name}" for name in self.names)

    def activation(self, outputs: Tensor) -> Tensor:
        """Logits and ln pT -> probabilities and GeV, the quantiles ascending."""
        count = len(self.flavours)
        log_pt = (outputs[:, count:] + self.pt_shift).sort(1).values.clamp(-20, 20)
        return torch.cat([(outputs[:, :count] / self.temperature).softmax(-1), log_pt.exp()], 1)

    def calibrate(self, sample: FlavourSample) -> None:
        """Fit the temperature and shift the quantiles of pT, on jets that training has not seen.

        The shift of a quantile makes the right share of these jets lie below it (split conformal
        quantile regression, Romano, Patterson and Candes 2019, arXiv:1905.03222, one-sided).

        Raises:
            InputError: other classes.
        """
        from sciml.jets.calibration import best_temperature

        if tuple(sample.classes) != self.flavours:
            raise InputError(
                f"the jets have the classes {list(sample.classes)}, "
                f"the tagger {list(self.flavours)}"
            )
        values = self.predict(sample)
        logits = np.log(np.maximum(values.probabilities.astype(np.float64), 1e-30))
        self.temperature *= best_temperature(logits, sample.y.numpy(), None)
        truth = sample.truth_pt.numpy()
        known = truth > 0
        if known.any():
            miss = np.log(truth[known, None] / values.pt[known])
            levels = self.network.config.quantiles
            shift = [np.quantile(miss[:, k], level) for k, level in enumerate(levels)]
            self.pt_shift += torch.tensor(shift, dtype=torch.float32)

    def predict(self, events: Any, **options: Unpack[OpenOptions]) -> JetFlavours:
        """See `JetPredictor`; also of a `FlavourSample`."""
        from sciml.jets.data.flavours import FlavourSample

        if isinstance(events, FlavourSample):
            events = events.dense()
        return super().predict(events, **options)

    def tracks(self, events: Any, **options: Unpack[OpenOptions]) -> JetTracks:
        """Origins and vertices of the constituents, in input order.

        Args:
            events, options: as for `predict`.

        Raises:
            InputError: as for `predict`.
        """
        from sciml.jets.data.flavours import FlavourSample
        from sciml.jets.data.ragged import to_dense
        from sciml.jets.data.sample import JetSample
        from sciml.jets.data.sources import batches

        if isinstance(events, JetSample | FlavourSample):
            events = events.dense()
        if isinstance(events, Jets):
            parts = [self._tracks(events)]
        else:
            parts = [
                self._tracks(to_dense(array, features=self._columns(), limit=self.limit))
                for array in batches(events, self.columns_of, step=STEP, **options)
            ]
        counts, origins, vertex = (np.concatenate(p) for p in zip(*parts, strict=True))
        return JetTracks(counts, origins, vertex, ORIGINS)

    def _tracks(self, jets: Jets) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        """Counts, origins and vertices of padded jets; unknown where a jet is flagged."""
        origins = np.full((*jets.mask.shape, len(ORIGINS)), np.nan, np.float32)
        vertex = np.full(jets.mask.shape, -1)
        good = (jets.flags == 0).nonzero()[:, 0]
        device = next(self.network.parameters()).device
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            for members in passes(jets.lengths[good]):
                rows = good[members]
                part = jets[rows].to(device)
                heads = self.network.heads(self._batch(part))
                tracks = is_track(part.particles, part.mask)
                pairs = track_pairs(tracks)
                same = self.network.same_vertex(heads.vertex, pairs).sigmoid()
                table = torch.zeros(*tracks.shape, tracks.shape[1], device=device)
                table[pairs.jet, pairs.first, pairs.second] = same.float()
                of_tracks = heads.origins.softmax(-1).masked_fill(~tracks[..., None], torch.nan)
                width = tracks.shape[1]
                origins[rows.numpy(), :width] = of_tracks.cpu().numpy()
                for row, seen, close, kinds in zip(
                    rows.tolist(), tracks.cpu().numpy(), table.cpu().numpy(),
                    origins[rows.numpy(), :width], strict=True,
                ):  # fmt: skip
                    index = np.flatnonzero(seen)
                    near = close[np.ix_(index, index)]
                    vertex[row, index] = group(near + near.T, kinds[index, PRIMARY])
        self.train(was_training)
        real = jets.mask.cpu().numpy()
        return real.sum(1), origins[real], vertex[real]


def group(same: NDArray[Any], primary: NDArray[Any]) -> NDArray[np.int64]:
    """Number of the vertex of each of n tracks.

    Groups of tracks are joined while the mean probability that a track of one shares its vertex
    with a track of the other is above a half (average linkage).

    Args:
        same: [n, n] probability that two tracks share a vertex, symmetric.
        primary: [n] probability of being from the primary vertex.

    Returns:
        [n], 0 for the group that is the likeliest to be the primary vertex, if any is likely;
        others by their first track.
    """
    from scipy.cluster.hierarchy import average, fcluster
    from scipy.spatial.distance import squareform

    if len(same) == 0:
        return np.zeros(0, np.int64)
    groups = np.ones(len(same), np.int64)
    if len(same) > 1:
        apart = np.clip(1 - same, 0, 1)
        np.fill_diagonal(apart, 0.0)
        groups = fcluster(average(squareform(apart, checks=False)), 1 - SAME, "distance")
    _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    means = np.bincount(groups, primary) / np.bincount(groups)
    order = np.argsort(first)
    if means.max() > 0.5:
        best = means.argmax()
        order = np.concatenate([[best], order[order != best]])
        start = 0
    else:
        start = 1
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(start, start + len(order))
    return number[groups]

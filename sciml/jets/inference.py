"""Prediction: jets from any source through a network, in input order and bounded memory.

Files are read in steps of some thousand jets. Within a step, jets of similar length share a pass of
the network, and no pass has more than `MAX_PAIRS` pairs of constituents.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from sciml.graph import Light
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, Jets, columns_to_read
from sciml.jets.data.ragged import dense, to_ragged
from sciml.jets.scores import JetPrediction, Tally

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.data.io import OpenOptions

Result = TypeVar("Result", bound=JetPrediction)

STEP = 2000
"""Jets read at a time."""
MAX_PAIRS = 1 << 19
"""Largest number of pairs (jets x longest^2) in one pass of the network."""


class JetPredictor(nn.Module, ABC, Generic[Result]):
    """A network from raw jets to a row of outputs per jet, and how to run it.

    Args:
        network: raw batch (`sciml.jets.networks.embedder`) -> [B, outputs], with `features`.
        names: names of the outputs.
        limit: constituents used per jet, the leading ones in pT.
    """

    RESULT: type[Result]

    def __init__(
        self, network: nn.Module, names: Sequence[str], limit: int = MAX_PARTICLES
    ) -> None:
        super().__init__()
        self.network, self.names, self.limit = network, tuple(names), limit

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> [B, outputs]."""
        return self.network(batch)

    @abstractmethod
    def activation(self, outputs: Tensor) -> Tensor:
        """[B, outputs] float32 of the network -> the values that `predict` gives."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that `sciml jets tag` writes."""
        return self.names

    def predict(
        self,
        events: Any,
        **options: Unpack[OpenOptions],
    ) -> Result:
        """The answer for every jet, in input order; NaN for faulty jets (`flags` says which fault).

        A warning counts jets with more than `limit` constituents, candidates without momentum that
        were left out, and values that were repaired (`sciml.jets.data.tidy`).

        Args:
            events: awkward record array or mapping of columns (JetClass names), what `open_jets`
                takes (paths, patterns, folders, URLs) or gave, an open TTree or RNTuple, a
                `JetSample`, padded `Jets`, or an array of dask-awkward.
            options: of files, see `sciml.jets.data.io.open_jets`.

        Returns:
            `JetScores` of a tagger, `JetMasses` of a mass regressor; of an array of dask-awkward a
            delayed array of records, see `sciml.jets.delayed`.

        Raises:
            InputError: an unreadable file, something that holds no jets, a missing column, or lists
                of different lengths.
        """
        from sciml.jets.data.sample import JetSample

        if type(events).__module__.startswith("dask_awkward."):
            from sciml.jets import delayed

            return delayed.predict(self, events, dict(options))
        if isinstance(events, Jets):
            parts = [self._padded(events)]
        elif isinstance(events, JetSample):
            parts = [
                self._padded(events.subset(range(start, min(start + STEP, len(events)))).dense())
                for start in range(0, max(1, len(events)), STEP)
            ]
        else:
            parts = [prediction for _, prediction in self.stream(events, **options)]
        merged = self.RESULT.concatenate(parts)
        tally = Tally(self.limit)
        tally.add(merged)
        for remark in tally.remarks():
            warnings.warn(remark, stacklevel=2)
        return merged

    def stream(
        self,
        events: Any,
        *,
        keep: Sequence[str] = (),
        step: int = STEP,
        **options: Unpack[OpenOptions],
    ) -> Iterator[tuple[Any, Result]]:
        """(events, prediction) of at most `step` jets at a time; events hold the columns read.

        Where there are no jets, one piece without rows has the columns and their types.

        Args:
            keep: further columns to read.
            step: jets at a time.
            events, options: as for `predict`.

        Raises:
            InputError: as for `predict`.
        """
        from sciml.jets.data.sources import batches

        where = events if isinstance(events, str | os.PathLike) else None
        for array in batches(events, self.columns_of, keep=keep, step=step, **options):
            yield array, self.predict_array(array, where=where)

    def columns_of(self, available: Sequence[str]) -> list[str]:
        """The columns to read from a file that has `available`."""
        return columns_to_read(self._columns(), available)

    def predict_array(self, events: Any, where: object = None) -> Result:
        """`predict` of an awkward array of jets that fits into memory, without warnings."""
        packed = to_ragged(events, features=self._columns(), limit=self.limit, where=where)
        values = self._values(dense(packed))
        return self._result(values, packed.flags, packed.cut, packed.dropped, packed.repaired)

    def _result(self, values: np.ndarray, *per_jet: np.ndarray) -> Result:
        make: Any = self.RESULT
        return make(values, *per_jet, self.names)

    def _padded(self, jets: Jets) -> Result:
        none = np.zeros(len(jets), np.int64)
        return self._result(self._values(jets), jets.flags.numpy(), jets.cut.numpy(), none, none)

    def _values(self, jets: Jets) -> np.ndarray:
        """[B, outputs] float32 of padded jets; NaN where a jet is flagged."""
        values = np.full((len(jets), len(self.names)), np.nan, np.float32)
        good = (jets.flags == 0).nonzero()[:, 0]
        device = next(self.network.parameters()).device
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            for members in passes(jets.lengths[good]):
                rows = good[members]
                outputs = self(self._batch(jets[rows].to(device))).float()
                values[rows.numpy()] = self.activation(outputs).cpu().numpy()
        self.train(was_training)
        return values

    def _batch(self, jets: Jets) -> Any:
        trunk = type(getattr(self.network, "trunk", self.network)).__module__
        if trunk.startswith("sciml."):
            return Light(x=jets.particles, jet=jets.jets, mask=jets.mask)
        from sciml.jets.networks.embedder import raw_batch

        return raw_batch(jets)  # the caller's own trunk may need torch_geometric's class

    def _columns(self) -> tuple[int, ...]:
        return FEATURE_SETS[self.network.features]  # type: ignore[index]


def passes(lengths: Tensor) -> Iterator[Tensor]:
    """Indices of jets in passes of similar length and at most `MAX_PAIRS` pairs."""
    order = torch.argsort(lengths, stable=True)
    sizes = lengths[order].clamp(min=16)
    start = 0
    while start < len(order):
        # lengths ascend: the last jet of a pass is its longest
        count = torch.arange(1, len(order) - start + 1)
        fits = count * sizes[start:].square() <= MAX_PAIRS
        stop = start + max(1, int(fits.long().cumprod(0).sum()))
        yield order[start:stop]
        start = stop

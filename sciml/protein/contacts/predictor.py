"""`ContactPredictor`: an alignment in, contact probabilities and a distogram out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml.config import from_dict, to_dict
from sciml.errors import InputError, unknown
from sciml.protein.contacts.calibration import Calibration
from sciml.protein.contacts.features import (
    FROM_END,
    FROM_START,
    ContactFeatures,
    contact_features,
    relative_to_ends,
)
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.protein.contacts.prediction import ContactPrediction
from sciml.protein.contacts.training import as_example, collate, flip
from sciml.protein.contacts.windows import predict_windows
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from typing import Self

    from sciml.protein.esm.predictor import EsmPredictor

MAX_COLUMNS = 700
"""Columns that the network takes at once; wider alignments are predicted in windows."""
MAX_DEPTH = 16384
"""Rows that are used; of more, every k-th."""


class ContactPredictor(Pretrained):
    """Alignment in, contact probabilities out.

    Args:
        nets: one network, or several of one configuration whose probabilities are averaged.
        device: auto, cpu, cuda, ...
        calibration: of the probabilities of contacts, by the number of sequences.
    """

    ENTRY: ClassVar[str] = "contact_config"
    KIND: ClassVar[str] = "contact network"

    def __init__(
        self,
        nets: ContactNet | Sequence[ContactNet],
        device: str = "auto",
        calibration: Calibration | None = None,
    ) -> None:
        from sciml.device import choose

        self.calibration = calibration
        members = [nets] if isinstance(nets, ContactNet) else list(nets)
        self.nets = [net.eval() for net in members]
        self.to(choose(device, "fp32").device)

    def to(self, device: str | torch.device) -> Self:
        """Move the networks to a device."""
        self.device = torch.device(device)
        self.nets = [net.to(self.device) for net in self.nets]
        return self

    def half(self) -> Self:
        """Compute in float16 from now on; probabilities change by less than 0.001."""
        self.nets = [net.half() for net in self.nets]
        return self

    # ------------------------------------------------------------------------------ prediction

    def predict(
        self,
        msa: Alignment | str | os.PathLike[str],
        columns: str = "all",
        progress: Callable[[int, int], None] | None = None,
    ) -> ContactPrediction:
        """Contacts and distances of the columns; of a wide alignment in windows along the chain.

        Args:
            msa: an alignment, or a file that holds one.
            columns: "all": the alignment's match columns; "query": only those where the first
                row has a residue.
            progress: called with (windows done, number of windows), where there are several.

        Returns:
            as an array, the contact probabilities [C, C]; with the distogram and more.

        Raises:
            InputError: the alignment is not readable or too wide.
        """
        if columns not in ("all", "query"):
            raise unknown("choice of columns", columns, ("all", "query"))
        if not isinstance(msa, Alignment):
            msa = read_alignment(Path(msa))
        if columns == "query":
            msa = msa.with_query(0)
        msa = msa.deduplicate()
        if msa.depth > MAX_DEPTH:  # every k-th row, the query among them
            msa = msa.select(np.unique(np.linspace(0, msa.depth - 1, MAX_DEPTH).astype(int)))
        if msa.columns > MAX_COLUMNS:
            return predict_windows(msa, self.predict_window, progress)
        return self.from_features(self.features(msa), msa.row(0))

    def predict_distances(self, *arguments: Any, **options: Any) -> ContactPrediction:
        """The former name of `predict`."""
        warnings.warn("`predict_distances` is now `predict`", DeprecationWarning, stacklevel=2)
        return self.predict(*arguments, **options)

    def predict_window(self, msa: Alignment, ends: np.ndarray) -> ContactPrediction:
        """Of some columns of a wider alignment, `ends` [C, 2] columns from the chain's two ends."""
        features = self.features(msa)
        features.nodes[:, [FROM_START, FROM_END]] = relative_to_ends(ends)
        return self.from_features(features, msa.row(0))

    def from_features(self, features: ContactFeatures, query: str = "") -> ContactPrediction:
        """`predict` from ready features; the mean over both directions of the chain.

        Raises:
            InputError: the network reads couplings along properties, and the features have none.
        """
        if self.nets[0].config.couplings and features.couplings is None:
            raise InputError(
                "the features have no couplings along properties, which this network reads",
                hint="Make them with `ContactPredictor.features`",
            )
        example = as_example(features)
        with torch.inference_mode():
            forwards = self._distogram(example)
            backwards = self._distogram(flip(example)).flip(0, 1)
            distogram = 0.5 * (forwards + backwards)
        return ContactPrediction.from_distogram(
            distogram.cpu().numpy(), features, query, self.calibration
        )

    def features(self, msa: Alignment) -> ContactFeatures:
        """What the networks take of an alignment."""
        return contact_features(msa, couplings=self.nets[0].config.couplings)

    def _distogram(self, example: dict[str, Tensor]) -> Tensor:
        """Class probabilities [C, C, 16], the mean over the networks."""
        precision = next(self.nets[0].parameters()).dtype
        batch = {
            key: value.to(self.device, precision if value.is_floating_point() else value.dtype)
            for key, value in collate([example]).items()
        }
        logits = torch.stack([net(batch)[0][0] for net in self.nets])
        return logits.float().softmax(-1).mean(0)

    # ---------------------------------------------------------------------------------- files

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name_or_path: str | os.PathLike[str] = "contacts-small", device: str = "auto"
    ) -> Self:
        """A shipped model, or what `save` wrote; see `Pretrained`."""
        return super().from_pretrained(name_or_path, device=device)

    @staticmethod
    def from_esm(path: str | os.PathLike[str], device: str = "auto") -> EsmPredictor:
        """Contacts by ESM-2 or MSA Transformer, from fair-esm's or Hugging Face's files.

        The predictor's `predict` takes what this one's does, and gives contacts without distances.

        Raises:
            InputError: no such file, another network's, or parameters that do not fit.
        """
        from sciml.protein.esm.predictor import EsmPredictor

        return EsmPredictor.from_esm(path, device)

    def describe(self) -> dict[str, Any]:
        """Sizes of the networks, and the calibration if there is one."""
        description = to_dict(self.nets[0].config)
        if self.calibration is not None:
            description["calibration"] = self.calibration.as_dict()
        return description

    def weights(self) -> dict[str, Tensor]:
        """Tensors of all networks, each name behind the network's number."""
        return {
            f"{number}.{key}": value
            for number, net in enumerate(self.nets)
            for key, value in net.state_dict().items()
        }

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: Mapping[str, Tensor], path: Path
    ) -> Self:
        """From what `describe` and `weights` gave; see `Pretrained`."""
        saved = description.pop("calibration", None)
        calibration = None if saved is None else Calibration.from_dict(saved, where=path)
        config = from_dict(ContactConfig, description, where=path)
        members: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            member, _, name = key.partition(".")
            members.setdefault(member, {})[name] = value
        if set(members) != {str(number) for number in range(max(len(members), 1))}:
            raise InputError(
                f"numbers its networks {', '.join(sorted(members))[:60]!r}, not from 0 on",
                where=path,
            )
        nets = []
        for number in range(len(members)):
            state = members[str(number)]
            net = loading.build(lambda: ContactNet(config), state, where=path)
            try:
                loading.load_state(net, state)
            except InputError as error:
                raise InputError(
                    f"was damaged, or written by another version of the contact network: {error}",
                    where=path,
                ) from error
            nets.append(net)
        return cls(nets, "cpu", calibration)

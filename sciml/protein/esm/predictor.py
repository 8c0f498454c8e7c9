"""`EsmPredictor`: contacts and embeddings of a chain by ESM-2 or MSA Transformer.

predictor = EsmPredictor.from_esm("esm2_t33_650M_UR50D.pt")
contacts = predictor.predict("chain.a3m")       # as an array [N, N]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml.config import from_dict, to_dict
from sciml.errors import InputError
from sciml.prediction import ArrayResult
from sciml.protein.esm.esm2 import Esm2, Esm2Config
from sciml.protein.esm.msa_transformer import MSATransformer, MSATransformerConfig
from sciml.protein.esm.tokens import alignment_tokens, sequence_tokens
from sciml.protein.esm.weights import read_esm
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.measure.ranking import ranked_pairs
from sciml.weights import loading
from sciml.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from typing import Self

MAX_ROWS = 128
"""Rows of an alignment that MSA Transformer reads unless told otherwise."""
KINDS = {"esm2": (Esm2, Esm2Config), "msa_transformer": (MSATransformer, MSATransformerConfig)}


@dataclass(frozen=True, eq=False, repr=False)
class EsmContacts(ArrayResult):
    """Contacts of all pairs of the query's residues; as an array it is `probability`.

    Attributes:
        probability: [N, N] that two CB atoms are closer than 8 A.
        query: letters of the residues.
        rows: number of sequences that they were predicted from.
    """

    ARRAY: ClassVar[str] = "probability"
    probability: np.ndarray
    query: str
    rows: int = 1

    def table(self, separation: int = 6) -> list[tuple[int, int, float]]:
        """(i, j, probability) from 0, most probable first, for pairs at least that far apart."""
        return ranked_pairs(self.probability, separation)


@dataclass(frozen=True, eq=False, repr=False)
class EsmEmbedding(ArrayResult):
    """What a language model says of the query; as an array it is `residues`.

    Attributes:
        residues: [N, c] representations of the last layer.
        pairs: [N, N, layers * heads] attention maps, symmetrised and corrected.
        logits: [N, 33] of the tokens (`tokens.VOCABULARY`), or None.
        query: letters of the residues.
    """

    ARRAY: ClassVar[str] = "residues"
    residues: np.ndarray
    pairs: np.ndarray
    logits: np.ndarray | None
    query: str


class EsmPredictor(Pretrained):
    """ESM-2 or MSA Transformer with given weights.

    Args:
        model: the network.
        device: "auto", "cpu", "cuda", ...
    """

    ENTRY: ClassVar[str] = "esm_config"
    KIND: ClassVar[str] = "protein language model"

    def __init__(self, model: Esm2 | MSATransformer, device: str = "auto") -> None:
        from sciml.device import choose

        self.model = model.eval()
        self.to(choose(device, "fp32").device)

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device."""
        self.device = torch.device(device)
        self.model = self.model.to(self.device)
        return self

    @classmethod
    def from_esm(cls, path: str | os.PathLike[str], device: str = "auto") -> Self:
        """From fair-esm's or Hugging Face's files; see `weights.read_esm`.

        Raises:
            InputError: no such file, another network's, or parameters that do not fit.
        """
        return cls(read_esm(Path(path)), device)

    def predict(
        self, query: str | os.PathLike[str] | Alignment, *, max_rows: int = MAX_ROWS
    ) -> EsmContacts:
        """Contacts of a chain.

        Args:
            query: an alignment, a file of one, or the letters of a sequence; ESM-2 reads the first
                row alone. Columns are those of the first row's residues.
            max_rows: most rows that MSA Transformer reads; of more, the most different ones.

        Raises:
            InputError: the alignment is not readable or too wide, or the file of the weights had no
                head of contacts.
        """
        if self.model.head_contacts is None:
            raise InputError(
                "these weights have no head of contacts",
                hint="Put NAME-contact-regression.pt beside fair-esm's NAME.pt",
            )
        letters, tokens = self._tokens(query, max_rows)
        with torch.no_grad():
            contacts = self.model(tokens, contacts=True).contacts
        probability = contacts[0].sigmoid().float().cpu().numpy()
        return EsmContacts(probability, letters, 1 if tokens.ndim == 2 else tokens.shape[1])

    def embed(
        self, query: str | os.PathLike[str] | Alignment, *, max_rows: int = MAX_ROWS
    ) -> EsmEmbedding:
        """Representations and attention maps of a chain; see `predict`."""
        letters, tokens = self._tokens(query, max_rows)
        with torch.no_grad():
            output = self.model(tokens, maps=True)
        residues, logits = output.representations[0], output.logits
        if tokens.ndim == 3:
            residues, logits = residues[0], None if logits is None else logits[:, 0]
        part = slice(1, len(letters) + 1)
        return EsmEmbedding(
            residues[part].float().cpu().numpy(),
            output.maps[0].permute(1, 2, 0).float().cpu().numpy(),
            None if logits is None else logits[0, part].float().cpu().numpy(),
            letters,
        )

    def _tokens(
        self, query: str | os.PathLike[str] | Alignment, max_rows: int
    ) -> tuple[str, Tensor]:
        """The query's letters, and the batch of one that the network takes."""
        if max_rows < 1:
            raise InputError(f"max_rows must be 1 or more, got {max_rows}")
        if isinstance(query, str) and query.isalpha() and query.isupper():
            query = Alignment.from_sequences([query])
        if not isinstance(query, Alignment):
            query = read_alignment(Path(query))
        alignment = query.with_query(0).deduplicate()
        letters = alignment.row(0)
        if isinstance(self.model, Esm2):
            tokens = sequence_tokens(letters)
        else:
            tokens = alignment_tokens(alignment.select(different_rows(alignment.rows, max_rows)))
        return letters, tokens[None].to(self.device)

    # ------------------------------------------------------------------------------ files

    def describe(self) -> dict[str, Any]:
        """Kind and sizes of the network."""
        kind = "esm2" if isinstance(self.model, Esm2) else "msa_transformer"
        return {"kind": kind, **to_dict(self.model.config)}

    def weights(self) -> dict[str, Tensor]:
        """The parameters."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    @classmethod
    def restore(
        cls, description: dict[str, Any], tensors: Mapping[str, Tensor], path: Path
    ) -> Self:
        """From what `describe` and `weights` gave; see `Pretrained`."""
        sizes = dict(description)
        kind = sizes.pop("kind", "esm2")
        if kind not in KINDS:
            raise InputError(f"describes an unknown kind of model, {kind!r}"[:200], where=path)
        network, settings = KINDS[kind]
        config = from_dict(settings, sizes, where=path)
        return cls(loading.restore(lambda: network(config), tensors, where=path), "cpu")


def different_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to `count` rows, ascending: the first, then each time the one that differs from
    those taken in most columns (Rao et al., bioRxiv 2021.02.12.430858).

    Args:
        rows: [R, C] residue types.
        count: at most so many.
    """
    if len(rows) <= count:
        return np.arange(len(rows))
    taken = [0]
    apart = (rows != rows[0]).sum(1).astype(np.float64)
    apart[0] = -np.inf
    while len(taken) < count:
        nearest = int(apart.argmax())
        taken.append(nearest)
        apart += (rows != rows[nearest]).sum(1)
        apart[nearest] = -np.inf
    return np.sort(taken)

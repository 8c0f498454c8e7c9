"""What is folded: a chain or complex with its alignment and templates, and its features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.protein.alphafold.complex_features import (
    ChainNumbers,
    chain_numbers,
    complex_features,
)
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.features import features
from sciml.protein.alphafold.msa_features import Features
from sciml.protein.alphafold.templates import Template
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complex_rows import merged_alignment
from sciml.protein.io.complexes import Chain, Complex, complex_of, read_complex
from sciml.protein.io.pairing import PairingConfig, pair_chains
from sciml.protein.io.structure_writing import chain_name


@dataclass(frozen=True)
class Job:
    """One chain to fold: its alignment (query first), templates and a name.

    Of a complex the alignment's columns are those of all chains, which `chains` tells apart.
    """

    alignment: Alignment
    templates: tuple[Template, ...] = ()
    name: str = "query"
    chains: ChainNumbers | None = None
    parts: Complex | None = None
    """The complex with its paired rows, before its chains were merged."""
    embedding: np.ndarray | None = None
    """[N, e] of a protein language model, for networks that read one in place of the alignment."""

    @classmethod
    def of(
        cls,
        complex_: Complex,
        templates: Sequence[Template] = (),
        pairing: PairingConfig | None = None,
    ) -> Job:
        """The job of a complex; see `pair_chains`."""
        parts = pair_chains(complex_, pairing)
        return cls(
            merged_alignment(parts), tuple(templates), parts.name, chain_numbers(parts), parts
        )

    @classmethod
    def read(
        cls,
        query: Alignment | Complex | str | os.PathLike[str] | Sequence[Chain],
        pairing: PairingConfig | None = None,
    ) -> Job:
        """The job of an alignment or complex, of a file of one, or of chains; see `read_complex`.

        What has one chain becomes a job of a single chain.
        """
        if isinstance(query, Alignment):
            return cls(query)
        if isinstance(query, str | os.PathLike):
            query = read_complex(Path(query))
        if not isinstance(query, Complex):
            query = complex_of(query, "complex")
        if len(query.sequences) == 1:
            return cls(query.chains[0].unpaired, (), query.name)
        return cls.of(query, (), pairing)

    @property
    def chain_names(self) -> list[str]:
        """Names of the chains in files, copies too."""
        return [
            chain_name(k) for k in range(1 if self.chains is None else len(self.chains.lengths))
        ]

    def features(
        self,
        alignment: Alignment,
        config: FeatureConfig,
        *,
        seed: int,
        multimer: bool,
        use_templates: bool,
    ) -> Features:
        """Features of one pass, unpadded.

        Args:
            alignment: the job's own, query first, without its duplicate rows.
            config: sizes of the features.
            seed: of the choice of rows and the masking.
            multimer: for AlphaFold-Multimer's network; a monomer's takes a complex as one chain
                with a gap in its residue numbers.
            use_templates: a monomer's network takes templates, if only empty ones.
        """
        templates = list(self.templates)
        if multimer:
            chains = self.chains or ChainNumbers.of([(alignment.columns, 1)])
            return complex_features(alignment, chains, config, seed=seed, templates=templates)
        index = None if self.chains is None else self.chains.broken()
        arrays = features(
            alignment, config, seed=seed, templates=templates, use_templates=use_templates,
            index=index,
        )  # fmt: skip
        return arrays if self.embedding is None else arrays | {"seq_embedding": self.embedding}

    def check_embedding(self, channels: int) -> None:
        """Refuse a job without the embedding [N, channels] that the network reads.

        Raises:
            InputError: there is none, or it is of another size.
        """
        shape = (self.alignment.columns, channels)
        if self.embedding is None:
            raise InputError(
                f"the network reads a language model's embedding, {channels} channels per residue",
                where=self.name, hint="Give it by `embedding`, or --embeddings",
            )  # fmt: skip
        if self.embedding.shape != shape:
            raise InputError(
                f"the embedding has the shape {list(self.embedding.shape)}, not {list(shape)}",
                where=self.name,
            )

"""What is folded: a chain or complex with its alignment and templates, and its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from sciml.protein.io.alignment_files import read_alignment
from sciml.protein.io.complex_rows import merged_alignment
from sciml.protein.io.complexes import Complex, read_complex
from sciml.protein.io.query_forms import ComplexError


@dataclass(frozen=True)
class Job:
    """One chain to fold: its alignment (query first), templates and a name.

    Of a complex the alignment's columns are those of all chains, which `chains` tells apart.
    """

    alignment: Alignment
    templates: tuple[Template, ...] = ()
    name: str = "query"
    chains: ChainNumbers | None = None

    @classmethod
    def of(cls, complex_: Complex, templates: Sequence[Template] = ()) -> Job:
        """The job of a complex."""
        chains = chain_numbers(complex_)
        return cls(merged_alignment(complex_), tuple(templates), complex_.name, chains)

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
        return features(
            alignment, config, seed=seed, templates=templates, use_templates=use_templates,
            index=index,
        )  # fmt: skip


def read_query(path: str | Path) -> Alignment | Complex:
    """The alignment of a file, or its complex."""
    try:
        return read_alignment(path)
    except ComplexError:
        return read_complex(path)

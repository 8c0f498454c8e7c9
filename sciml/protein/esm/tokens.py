"""The vocabulary of ESM-2 and MSA Transformer: 33 tokens, in the order of fair-esm."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sciml.protein.io.alignment import Alignment
from sciml.protein.io.residues import ALPHABET

VOCABULARY = (
    "<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>",
)  # fmt: skip
"""Tokens by their number."""
CLS, PAD, EOS, UNK, MASK = (
    VOCABULARY.index(f"<{name}>") for name in ("cls", "pad", "eos", "unk", "mask")
)
_OF_LETTER = {letter: k for k, letter in enumerate(VOCABULARY) if len(letter) == 1}
_OF_TYPE = np.array([_OF_LETTER[letter] for letter in ALPHABET])


def sequence_tokens(sequence: str) -> Tensor:
    """<cls>, the letters and <eos>: [N + 2]; letters that are none of a residue are <unk>."""
    letters = [_OF_LETTER.get(letter, UNK) for letter in sequence.upper()]
    return torch.tensor([CLS, *letters, EOS])


def alignment_tokens(alignment: Alignment) -> Tensor:
    """<cls> before each row, and its match columns: [R, N + 1]; X stands for B, O, U and Z."""
    cells = torch.as_tensor(_OF_TYPE[alignment.rows])
    return torch.cat([cells.new_full((len(cells), 1), CLS), cells], 1)

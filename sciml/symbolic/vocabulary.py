"""Token ids of the model: special tokens, one a task, then the prefix vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.symbolic import tokens as tk
from sciml.symbolic.expression import Expr

PAD, START, END, MASK = range(4)
TASKS = ("integrate", "ode1", "ode2")
SPECIAL = ("<pad>", "<start>", "<end>", "<mask>", *(f"<{t}>" for t in TASKS))
WORDS = (
    *SPECIAL, *tk.BINARY, *tk.UNARY, *tk.CONSTANTS, *tk.VARIABLES, *tk.SIGNS, *tk.DIGITS,
)  # fmt: skip
INDEX = {word: i for i, word in enumerate(WORDS)}
_DIGIT_SLOT = 1


def arities() -> Tensor:
    """[V] children of each token; negative for special tokens and digits.

    An integer is a leaf for the tree's sake: its digits stand at the place of its sign.
    """
    out = torch.full((len(WORDS),), -1)
    for word, i in INDEX.items():
        if word in tk.ARITY:
            out[i] = tk.ARITY[word]
        elif word in tk.CONSTANTS or word in tk.VARIABLES or word in tk.SIGNS:
            out[i] = 0
    return out


def ids(e: Expr) -> list[int]:
    """The ids of an expression's tokens.

    Raises:
        InputError: for a function or a symbol that the vocabulary lacks.
    """
    out = []
    for token in tk.to_prefix(e):
        if token not in INDEX:
            raise InputError(f"the model has no token for {token!r}")
        out.append(INDEX[token])
    return out


def expression(sequence: Sequence[int]) -> Expr:
    """The expression of ids (special tokens dropped)."""
    words = [WORDS[i] for i in sequence if i >= len(SPECIAL)]
    return tk.parse_prefix(words)


class ExpressionGrammar:
    """The grammar of prefix expressions with digits, for masked decoding: every hypothesis parses.

    A state holds the open operand slots, whether digits may follow (1 digit needed, 2 optional)
    and the number of digits so far.
    """

    def __init__(self, variables: Sequence[str] = ("x",), digits: int = 6) -> None:
        arity = arities()
        banned = [v for v in tk.VARIABLES if v not in variables]
        for word in (*banned, "I", "rac", "sub"):
            arity[INDEX[word]] = -1
        self.arity, self.digits = arity, digits
        self.is_sign = torch.zeros(len(WORDS), dtype=torch.bool)
        self.is_sign[[INDEX[s] for s in tk.SIGNS]] = True
        self.is_digit = torch.zeros(len(WORDS), dtype=torch.bool)
        self.is_digit[[INDEX[d] for d in tk.DIGITS]] = True

    def start(self, hypotheses: int, device: torch.device) -> dict[str, Tensor]:
        self.arity, self.is_sign = self.arity.to(device), self.is_sign.to(device)
        self.is_digit = self.is_digit.to(device)
        return {
            "open": torch.ones(hypotheses, dtype=torch.int64, device=device),
            "digits": torch.zeros(hypotheses, dtype=torch.int64, device=device),
        }

    def allowed(self, state: dict[str, Tensor], remaining: int) -> Tensor:
        """Tokens after which leaves could still fill every slot, and the end follow.

        `digits` is 0 outside numbers, 1 right after a sign, then 1 + the digits written.
        """
        slots, digits = state["open"][:, None], state["digits"][:, None]
        need = slots + self.arity + self.is_sign.long() + 1
        fits = (self.arity >= 0) & (slots > 0) & (need <= remaining) & (digits != 1)
        more = (digits >= 1) & (digits <= self.digits) & (slots + 2 <= remaining)
        fits = fits | (self.is_digit & (more | (digits == 1)))
        fits[:, END] = (slots[:, 0] == 0) & (digits[:, 0] != 1)
        return fits

    def advance(self, state: dict[str, Tensor], tokens: Tensor) -> dict[str, Tensor]:
        arity = self.arity[tokens]
        inside = arity >= 0
        digits = torch.where(self.is_digit[tokens], state["digits"] + 1, 0)
        digits = torch.where(self.is_sign[tokens], 1, digits)
        return {"open": state["open"] + torch.where(inside, arity - 1, 0), "digits": digits}

    def paths(self, state: dict[str, Tensor]) -> Tensor | None:
        return None

"""Token ids of the model: special tokens, one per task, then a prefix vocabulary.

It shortens the published one (`expr.tokens`): -9..9 are one token each, and so are the powers -1,
2, 3, 4, 5. Terms and factors are written in a canonical order that can be learned: numbers first,
then the shorter, then by token; the order in an `Expr` is by hash, which no model can predict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr import tokens as tk
from sciml.symbolic.expr.expression import Expr

PAD, START, END, MASK = range(4)
TASKS = ("integrate", "ode1", "ode2")
SPECIAL = ("<pad>", "<start>", "<end>", "<mask>", *(f"<{t}>" for t in TASKS))
SMALL = {f"{n:+d}": n for n in range(-9, 10)}
WORDS = (
    *SPECIAL, *tk.BINARY, *tk.UNARY, *tk.CONSTANTS, *tk.VARIABLES, *tk.SIGNS, *tk.DIGITS,
    *tk.SHORTHAND, *SMALL,
)  # fmt: skip
INDEX = {word: i for i, word in enumerate(WORDS)}
_POWERS = {value: bytes([INDEX[name]]) for name, value in tk.SHORTHAND.items()}
_INTEGERS = {value: bytes([INDEX[name]]) for name, value in SMALL.items()}
MAX_IDS = 4096


def arities() -> Tensor:
    """[V] children of each token; negative for special tokens and digits.

    An integer is one leaf of the tree: its digits have the position of its sign.
    """
    out = torch.full((len(WORDS),), -1)
    for word, i in INDEX.items():
        if word in tk.ARITY:
            out[i] = tk.ARITY[word]
        elif word in tk.CONSTANTS or word in tk.VARIABLES or word in tk.SIGNS or word in SMALL:
            out[i] = 0
    return out


def ids(e: Expr) -> list[int]:
    """The ids of an expression's tokens.

    Raises:
        InputError: for a function or a symbol that the vocabulary lacks, or too many tokens.
    """
    memo: dict[Expr, bytes] = {}
    for node in ex.subtrees(e):
        memo[node] = _encoded(node, memo)
        if len(memo[node]) > MAX_IDS:
            raise InputError(f"more than {MAX_IDS} tokens")
    return list(memo[e])


def _encoded(node: Expr, memo: dict[Expr, bytes]) -> bytes:
    if node.op == "num":
        value: Fraction = node.value
        if value.denominator == 1:
            return _integer(value.numerator)
        return _word("div") + _integer(value.numerator) + _integer(value.denominator)
    if node.op == "sym":
        return _word(str(node.value))
    if node.op in ("add", "mul"):
        parts = sorted((a.op != "num", len(memo[a]), memo[a]) for a in node.args)
        return _right_nested(_word(node.op), [part[-1] for part in parts])
    if node.op == "pow":
        base, exponent = node.args
        if exponent is ex.HALF:
            return _word("sqrt") + memo[base]
        if exponent.op == "num" and exponent.value in _POWERS:
            return _POWERS[exponent.value] + memo[base]
        return _word("pow") + memo[base] + memo[exponent]
    if node is ex.E:
        return _word("E")
    return _word("ln" if node.op == "log" else node.op) + b"".join(memo[a] for a in node.args)


def _word(name: str) -> bytes:
    if name not in INDEX:
        raise InputError(f"the model has no token for {name!r}")
    return bytes([INDEX[name]])


def _integer(value: int) -> bytes:
    if value in _INTEGERS:
        return _INTEGERS[value]
    return bytes(INDEX[token] for token in tk.integer(value))


def _right_nested(name: bytes, parts: Iterable[bytes]) -> bytes:
    """a + b + c as add a add b c."""
    items = list(parts)
    return b"".join(name + item for item in items[:-1]) + items[-1]


def expression(sequence: Sequence[int]) -> Expr:
    """The expression of ids; special tokens are skipped."""
    words: list[str] = []
    for i in sequence:
        if i >= len(SPECIAL):
            word = WORDS[i]
            words += tk.integer(SMALL[word]) if word in SMALL else [word]
    return tk.parse_prefix(words)


class ExpressionGrammar:
    """The grammar of prefix expressions with digits, for constrained decoding: every hypothesis
    parses.

    State of a hypothesis: `open`, the operands that are still to be written, and `digits`: 0
    outside numbers, 1 right after a sign, then 1 + the digits written.

    Args:
        variables: symbols that may be used.
        digits: most digits of a number.
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
        """[hypotheses, V] bool: tokens after which the expression can still be completed within the
        remaining tokens."""
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

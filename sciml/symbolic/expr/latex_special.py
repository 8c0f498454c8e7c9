"""Calls of special functions in LaTeX: J_{n}(x), \\Gamma(s, x), F(\\phi \\middle| m)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sciml.symbolic.expr.reading import ExpressionError

INDEXED = {"J": "besselj", "Y": "bessely", "I": "besseli", "K": "besselk", "Li": "polylog",
           "E": "expint"}  # fmt: skip
"""Functions whose first argument is an index."""


class SpecialCalls(ABC):
    """The part of the reader of LaTeX for special functions."""

    tokens: list[tuple[str, str, int]]
    i: int

    @abstractmethod
    def peek(self, ahead: int = 0) -> str:
        """The token `ahead` of the current one."""

    @abstractmethod
    def run(self, stops: tuple[str, ...]) -> str:
        """Factors and operators up to one of `stops`."""

    @abstractmethod
    def argument(self) -> str:
        """What stands in braces, or one token."""

    @abstractmethod
    def fail(self, what: str, hint: str | None = None, back: int = 0) -> ExpressionError:
        """The error at the current token."""

    def separators(self) -> list[str]:
        """What separates the arguments in the bracket that opens here."""
        depth, out = 0, []
        for _, value, _ in self.tokens[self.i :]:
            depth += (value in "([{") - (value in ")]}") if len(value) == 1 else 0
            if depth == 0:
                break
            if depth == 1 and value in (",", ";", "middle"):
                out.append(value)
        return out

    def before_bracket(self) -> bool:
        """Whether a bracket follows the index that stands here."""
        i = self.i + 1
        if i < len(self.tokens) and self.tokens[i][1] == "{":
            depth = 1
            while depth and i + 1 < len(self.tokens):
                i += 1
                depth += {"{": 1, "}": -1}.get(self.tokens[i][1], 0)
        return i + 1 < len(self.tokens) and self.tokens[i + 1][1] == "("

    def indexed(self, name: str) -> str:
        """J_{\\nu}(z), \\operatorname{Li}_{s}(z): the index is the first argument."""
        self.i += 1
        index = self.argument()
        if self.peek() != "(":
            raise self.fail(f"{name} needs its argument in brackets")
        return self.special((name,), [index])

    def special(self, names: tuple[str, ...], arguments: list[str] | None = None) -> str:
        """The call of a special function with the arguments in the bracket that opens here."""
        arguments = list(arguments or ())
        while True:
            self.i += 1 + (self.peek() == "middle")  # the bracket, comma or bar
            arguments.append(self.run((",", ";", "middle", ")")))
            if self.peek() not in (",", ";", "middle", ")"):
                raise self.fail("expected )")
            if self.peek() == ")":
                self.i += 1
                break
        name = names[min(len(arguments), len(names)) - 1]
        if not name:
            raise self.fail("another number of arguments")
        return f"{name}({', '.join(arguments)})"

"""Batched beam search and sampling from any step-by-step model, under a grammar.

The model is a `Steps`: it takes the last token of every hypothesis and gives the logits of the
next. All sources of a batch are searched at once; a source leaves the batch as soon as nothing
better can come (the bound is exact, so leaving early never changes the result).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sciml.errors import InputError
from sciml.nn.tree import next_slot

State = Any
"""A tensor, or a tuple, list or dict of them; the first axis of each is the hypotheses."""


class Grammar(Protocol):
    """A state machine of the tokens that may come next, for many hypotheses at once."""

    def start(self, hypotheses: int, device: torch.device) -> State:
        """The state before the first token."""
        ...

    def allowed(self, state: State, remaining: int) -> Bool[Tensor, "H V"]:
        """The tokens allowed next, with room for `remaining` tokens, this one and the end included.

        It must leave a way to end in time; a hypothesis without an allowed token is dropped.
        """
        ...

    def advance(self, state: State, tokens: Int[Tensor, " H"]) -> State:
        """The state after these tokens; after the end it may be anything."""
        ...

    def paths(self, state: State) -> Int[Tensor, "H D"] | None:
        """Tree path of the next token (`sciml.nn.tree`), or None without positions."""
        ...


class Steps(Protocol):
    """The decoding state of a model for S sources with W hypotheses each."""

    def step(
        self, tokens: Int[Tensor, "S W"], paths: Int[Tensor, "S W D"] | None
    ) -> Float[Tensor, "S W V"]:
        """Append a token to every hypothesis -> the logits of the next one."""
        ...

    def reorder(self, parents: Int[Tensor, "S W"]) -> None:
        """Hypothesis w of source s continues hypothesis `parents[s, w]`."""
        ...

    def keep(self, sources: Int[Tensor, " K"]) -> None:
        """Continue with these sources only."""
        ...


@dataclass(frozen=True)
class Hypotheses:
    """The hypotheses of each source, the best first.

    tokens:   [S, W, T] int64, without the start token, the end token included, then padding.
    lengths:  [S, W] int64, tokens of each, the end included.
    scores:   [S, W] log-probability / length ** length_penalty; -inf for an empty slot.
    finished: [S, W] bool, False where `max_length` cut the hypothesis off.
    """

    tokens: Int[Tensor, "S W T"]
    lengths: Int[Tensor, "S W"]
    scores: Float[Tensor, "S W"]
    finished: Bool[Tensor, "S W"]

    def lists(self, source: int) -> list[list[int]]:
        """The finished hypotheses of a source as token lists without the end, the best first."""
        return [
            self.tokens[source, w, : int(self.lengths[source, w]) - 1].tolist()
            for w in range(self.tokens.shape[1])
            if self.finished[source, w]
        ]


def take(state: State, index: Tensor) -> State:
    """Rows `index` of every tensor of a state."""
    if isinstance(state, Tensor):
        return state[index]
    if isinstance(state, dict):
        return {key: take(value, index) for key, value in state.items()}
    if isinstance(state, tuple | list):
        return type(state)(take(value, index) for value in state)
    return state


class PrefixGrammar:
    """Prefix notation: a token of arity n opens n slots and fills one; then comes the end.

    Args:
        arity: [V] children of each token, negative for tokens outside expressions.
        end: id of the end token.
        depth: deepest level of the tree, and the width of `paths`; 0 = any, without positions.

    Raises:
        InputError: no token of arity 0, so that no expression could end.
    """

    def __init__(self, arity: Int[Tensor, " V"], end: int, depth: int = 0) -> None:
        if not bool((arity == 0).any()):
            raise InputError("a prefix grammar needs a token of arity 0")
        self.arity, self.end, self.depth = arity, end, depth

    def start(self, hypotheses: int, device: torch.device) -> dict[str, Tensor]:
        """One open slot, at the root."""
        self.arity = self.arity.to(device)
        state = {"open": torch.ones(hypotheses, dtype=torch.int64, device=device)}
        if self.depth:
            state["path"] = torch.zeros(hypotheses, self.depth, dtype=torch.int64, device=device)
            state["arities"] = torch.zeros_like(state["path"])
        return state

    def allowed(self, state: dict[str, Tensor], remaining: int) -> Bool[Tensor, "H V"]:
        """Tokens after which leaves alone could still fill every slot, and the end follow."""
        slots = state["open"][:, None]
        fits = (self.arity >= 0) & (slots > 0) & (slots + self.arity + 1 <= remaining)
        if self.depth:
            full = (state["path"] > 0).all(1, keepdim=True)
            fits = fits & ~(full & (self.arity > 0))
        fits[:, self.end] = slots[:, 0] == 0
        return fits

    def advance(self, state: dict[str, Tensor], tokens: Int[Tensor, " H"]) -> dict[str, Tensor]:
        """Fill a slot and open the token's own."""
        arity = self.arity[tokens]
        inside = arity >= 0
        new = {"open": state["open"] + torch.where(inside, arity - 1, 0)}
        if self.depth:
            path, arities = next_slot(state["path"], state["arities"], arity)
            new["path"] = torch.where(inside[:, None], path, state["path"])
            new["arities"] = torch.where(inside[:, None], arities, state["arities"])
        return new

    def paths(self, state: dict[str, Tensor]) -> Int[Tensor, "H D"] | None:
        """Tree path of the next token."""
        return state["path"] if self.depth else None


@dataclass(frozen=True)
class Vocabulary:
    """Token ids that decoding needs."""

    size: int
    pad: int = 0
    start: int = 1
    end: int = 2


class _Growing:
    """The hypotheses of a batch as they grow, with their grammar's state."""

    def __init__(
        self,
        steps: Steps,
        vocabulary: Vocabulary,
        sources: int,
        width: int,
        max_length: int,
        grammar: Grammar | None,
        device: torch.device,
    ) -> None:
        if width < 1 or max_length < 1:
            raise InputError(
                f"decoding needs at least 1 hypothesis and 1 token, got {width} and {max_length}"
            )
        self.steps, self.vocabulary, self.grammar = steps, vocabulary, grammar
        self.max_length, self.time = max_length, 0
        self.tokens = torch.full((sources, width, max_length), vocabulary.pad, device=device)
        self.last = torch.full((sources, width), vocabulary.start, device=device)
        self.paths: Tensor | None = None
        self.state: State = grammar.start(sources * width, device) if grammar else None
        if grammar is not None:
            root = grammar.paths(self.state)
            if root is not None:
                # The start token stands at the root.
                self.paths = torch.zeros_like(root).view(sources, width, -1)

    def log_probabilities(self) -> Tensor:
        """[S, W, V] of the next token; -inf for forbidden tokens."""
        logits = self.steps.step(self.last, self.paths).float()
        for never in (self.vocabulary.pad, self.vocabulary.start):
            logits[..., never] = -torch.inf
        if self.grammar is not None:
            allowed = self.grammar.allowed(self.state, self.max_length - self.time)
            logits = logits.masked_fill(~allowed.view(logits.shape), -torch.inf)
        # Where nothing is allowed, log_softmax gives NaN.
        return logits.log_softmax(-1).nan_to_num(nan=-torch.inf, neginf=-torch.inf)

    def extend(self, tokens: Tensor, parents: Tensor | None = None) -> None:
        """Append [S, W] `tokens` to hypotheses [S, W] `parents` of the same source."""
        sources, width = tokens.shape
        if parents is not None:
            self.steps.reorder(parents)
            self.tokens = self.tokens.gather(1, parents[..., None].expand(self.tokens.shape))
            if self.grammar is not None:
                first = torch.arange(sources, device=tokens.device)[:, None] * width
                self.state = take(self.state, (first + parents).flatten())
        if self.grammar is not None:
            paths = self.grammar.paths(self.state)
            self.paths = None if paths is None else paths.view(sources, width, -1)
            self.state = self.grammar.advance(self.state, tokens.flatten())
        self.tokens[:, :, self.time] = tokens
        self.last = tokens
        self.time += 1

    def keep(self, sources: Tensor) -> None:
        """Continue with these sources only."""
        width = self.tokens.shape[1]
        self.steps.keep(sources)
        if self.grammar is not None:
            every = sources[:, None] * width + torch.arange(width, device=sources.device)
            self.state = take(self.state, every.flatten())
        self.tokens, self.last = self.tokens[sources], self.last[sources]
        self.paths = None if self.paths is None else self.paths[sources]

    def prefill(self, prompt: Tensor | None) -> None:
        """Put the tokens [S, P] of a prompt (after the start) in front of every hypothesis."""
        if prompt is None or not prompt.shape[1]:
            return
        if prompt.shape[1] >= self.max_length:
            raise InputError(
                f"a prompt of {prompt.shape[1]} tokens leaves nothing of "
                f"`max_length` {self.max_length}"
            )
        for column in prompt.T:
            self.steps.step(self.last, self.paths)
            self.extend(column[:, None].expand(self.last.shape).contiguous())


@torch.no_grad()
def beam_search(
    steps: Steps,
    vocabulary: Vocabulary,
    *,
    sources: int,
    beam: int,
    max_length: int,
    device: torch.device,
    grammar: Grammar | None = None,
    length_penalty: float = 1.0,
    prompt: Int[Tensor, "S P"] | None = None,
) -> Hypotheses:
    """The `beam` best hypotheses of each source.

    Args:
        steps: the model, started on `sources` sources with `beam` hypotheses each.
        vocabulary: ids of the start, the end and the padding.
        sources: S.
        beam: W, hypotheses per source.
        max_length: maximum number of tokens, the end included.
        device: where.
        grammar: which tokens may follow; probabilities are over those that it allows.
        length_penalty: exponent of the length that log-probabilities are divided by, >= 0.
        prompt: tokens that every hypothesis of a source begins with.

    Raises:
        InputError: a negative penalty, or a prompt that is too long.
    """
    if length_penalty < 0:
        raise InputError(f"`length_penalty` must be >= 0, got {length_penalty}")
    growing = _Growing(steps, vocabulary, sources, beam, max_length, grammar, device)
    growing.prefill(prompt)
    size = vocabulary.size
    # All hypotheses of a source begin alike: only the first is alive.
    alive = torch.full((sources, beam), -torch.inf, device=device)
    alive[:, 0] = 0
    done = _Done(sources, beam, max_length, vocabulary.pad, device)
    rows = torch.arange(sources, device=device)
    while growing.time < max_length:
        total = (alive[..., None] + growing.log_probabilities()).flatten(1)
        best, where = total.topk(min(2 * beam, total.shape[1]), dim=1)
        parents, tokens = where // size, where % size
        ends = tokens == vocabulary.end
        length = growing.time + 1
        finished = torch.where(ends, best / length**length_penalty, -torch.inf)
        done.add(rows, finished, growing.tokens, parents, length, vocabulary.end)
        # At most `beam` of the 2 * beam end, so `beam` others are among them.
        alive, order = best.masked_fill(ends, -torch.inf).topk(beam, dim=1)
        growing.extend(tokens.gather(1, order), parents.gather(1, order))
        # No hypothesis can end better than with certainty from here on, at full length.
        bound = alive[:, 0] / max_length**length_penalty
        active = (done.scores[rows, -1] < bound).nonzero()[:, 0]
        if not len(active):
            break
        if len(active) < len(rows) and growing.time < max_length:
            growing.keep(active)
            alive, rows = alive[active], rows[active]
    else:
        done.fill(rows, alive / max_length**length_penalty, growing.tokens)
    return done.hypotheses()


class _Done:
    """The best finished hypotheses of every source."""

    def __init__(
        self, sources: int, width: int, max_length: int, pad: int, device: torch.device
    ) -> None:
        self.tokens = torch.full((sources, width, max_length), pad, device=device)
        self.lengths = torch.zeros(sources, width, dtype=torch.int64, device=device)
        self.scores = torch.full((sources, width), -torch.inf, device=device)
        self.cut = torch.zeros(sources, width, dtype=torch.bool, device=device)

    def add(
        self, rows: Tensor, scores: Tensor, tokens: Tensor, parents: Tensor, length: int, end: int
    ) -> None:
        """Hypotheses that end now: [K, C] scores (-inf for none) from [K, C] parents."""
        # An accelerator would be waited for longer than it takes to merge nothing.
        if scores.device.type == "cpu" and not bool((scores > self.scores[rows, -1:]).any()):
            return
        new = tokens.gather(1, parents[..., None].expand(-1, -1, tokens.shape[-1]))
        new[:, :, length - 1] = end
        self._merge(rows, scores, new, torch.full_like(parents, length))

    def fill(self, rows: Tensor, scores: Tensor, tokens: Tensor) -> None:
        """Empty slots go to the hypotheses that the length limit cut off, [K, W], best first."""
        finished = (self.scores[rows] > -torch.inf).sum(1, keepdim=True)
        index = torch.arange(scores.shape[1], device=scores.device) - finished
        empty, index = index >= 0, index.clamp_min(0)
        every = index[..., None].expand(tokens.shape)
        self.scores[rows] = torch.where(empty, scores.gather(1, index), self.scores[rows])
        self.tokens[rows] = torch.where(
            empty[..., None], tokens.gather(1, every), self.tokens[rows]
        )
        self.lengths[rows] = torch.where(empty, tokens.shape[-1], self.lengths[rows])
        self.cut[rows] = empty

    def _merge(self, rows: Tensor, scores: Tensor, tokens: Tensor, lengths: Tensor) -> None:
        width = self.scores.shape[1]
        best, order = torch.cat([self.scores[rows], scores], 1).topk(width, dim=1)
        self.scores[rows] = best
        self.lengths[rows] = torch.cat([self.lengths[rows], lengths], 1).gather(1, order)
        every = torch.cat([self.tokens[rows], tokens], 1)
        self.tokens[rows] = every.gather(1, order[..., None].expand(-1, -1, tokens.shape[-1]))

    def hypotheses(self) -> Hypotheses:
        """The result; empty slots have length 0."""
        empty = self.scores == -torch.inf
        lengths = self.lengths.masked_fill(empty, 0)
        longest = int(lengths.max()) if lengths.numel() else 0
        return Hypotheses(self.tokens[..., :longest], lengths, self.scores, ~self.cut & ~empty)


@torch.no_grad()
def sample(
    steps: Steps,
    vocabulary: Vocabulary,
    *,
    sources: int,
    samples: int,
    max_length: int,
    device: torch.device,
    grammar: Grammar | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    prompt: Int[Tensor, "S P"] | None = None,
) -> Hypotheses:
    """`samples` independent draws for each source, from torch's global random numbers.

    Args:
        steps: the model, started on `sources` sources with `samples` hypotheses each.
        vocabulary, sources, max_length, device, grammar, prompt: as in `beam_search`.
        samples: W, draws per source.
        temperature: divides the log-probabilities, > 0.
        top_k: draw among the k likeliest tokens only; 0 = all.
        top_p: draw among the fewest tokens whose probabilities reach this sum (nucleus sampling,
            Holtzman et al. 2019, arXiv:1904.09751).

    Returns:
        The draws by descending log-probability (of the model under the grammar, neither tempered
        nor truncated; not divided by length).
    """
    if temperature <= 0 or not 0 < top_p <= 1 or top_k < 0:
        raise InputError(
            "sampling needs temperature > 0, 0 < top_p <= 1 and top_k >= 0, got "
            f"{temperature}, {top_p} and {top_k}"
        )
    growing = _Growing(steps, vocabulary, sources, samples, max_length, grammar, device)
    growing.prefill(prompt)
    scores = torch.zeros(sources, samples, device=device)
    ended = torch.zeros(sources, samples, dtype=torch.bool, device=device)
    lengths = torch.full((sources, samples), growing.time, device=device)
    while growing.time < max_length and not bool(ended.all()):
        log_probabilities = growing.log_probabilities()
        # A finished hypothesis, or one without an allowed token, draws padding.
        over = ended | (log_probabilities == -torch.inf).all(-1)
        scores = scores.masked_fill(over & ~ended, -torch.inf)
        ended = over
        drawn = _truncate(log_probabilities / temperature, top_k, top_p).softmax(-1)
        drawn = torch.where(over[..., None], torch.ones_like(drawn), drawn)
        tokens = torch.multinomial(drawn.flatten(0, 1), 1).view(sources, samples)
        gained = log_probabilities.gather(-1, tokens[..., None])[..., 0]
        scores = torch.where(over, scores, scores + gained)
        tokens = tokens.masked_fill(over, vocabulary.pad)
        lengths += ~over
        ended = over | (tokens == vocabulary.end)
        growing.extend(tokens)
    scores, order = scores.sort(dim=1, descending=True)
    tokens = growing.tokens.gather(1, order[..., None].expand(growing.tokens.shape))
    lengths, ended = lengths.gather(1, order), ended.gather(1, order)
    lengths = lengths.masked_fill(scores == -torch.inf, 0)
    longest = int(lengths.max()) if lengths.numel() else 0
    return Hypotheses(tokens[..., :longest], lengths, scores, ended & (scores > -torch.inf))


def _truncate(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """[..., V] log-probabilities with the unlikely ones at -inf."""
    if top_k and top_k < scores.shape[-1]:
        least = scores.topk(top_k, dim=-1).values[..., -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if top_p < 1:
        ordered, order = scores.softmax(-1).sort(dim=-1, descending=True)
        # The token that crosses the sum still belongs to the nucleus.
        outside = ordered.cumsum(-1) - ordered >= top_p
        scores = scores.masked_fill(outside.gather(-1, order.argsort(-1)), -torch.inf)
    return scores

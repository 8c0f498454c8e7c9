"""Searching with a model of the environment: beams and a tree guided by a policy.

Both take functions, not classes, so that any science can use them: a *state* is anything that
`expand` takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

State = TypeVar("State")
Action = TypeVar("Action", bound=Hashable)


def beam_search(
    start: State,
    expand: Callable[[State], Sequence[tuple[float, State]]],
    width: int,
    depth: int,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[float, State]:
    """The best state after `depth` expansions, keeping the `width` best at each.

    Args:
        expand: state -> [(score, next state)]; higher scores are better and total (not steps).

    Returns:
        (score, state); a state without successors drops out.
    """
    beam: list[tuple[float, State]] = [(0.0, start)]
    for _ in range(depth):
        grown = [child for _, state in beam for child in expand(state)]
        if not grown or stop():
            break
        grown.sort(key=lambda pair: pair[0], reverse=True)
        beam = grown[:width]
    return beam[0]


@dataclass
class Node(Generic[Action]):
    """A position in the tree with its statistics; the state is None until it is first visited."""

    state: Any
    prior: float = 1.0
    visits: int = 0
    total: float = 0.0
    reward: float = 0.0
    children: dict[Action, Node[Action]] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return self.total / self.visits if self.visits else 0.0


class TreeSearch(Generic[State, Action]):
    """Monte Carlo tree search with PUCT (Silver et al. 2017), values normalised to [0, 1].

    Args:
        evaluate: state -> ([(action, prior)], value); no actions: the state is an end.
        step: (state, action) -> (reward, next state).
        exploration: weight of the prior against the value.
    """

    def __init__(
        self,
        evaluate: Callable[[State], tuple[Sequence[tuple[Action, float]], float]],
        step: Callable[[State, Action], tuple[float, State]],
        exploration: float = 1.5,
    ) -> None:
        self.evaluate, self.step, self.exploration = evaluate, step, exploration
        self.low, self.high = math.inf, -math.inf

    def run(
        self,
        root: Node[Action],
        simulations: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> Action | None:
        """Search from a node and return its most visited action (None at an end).

        At `stop`, or without simulations, the action of highest prior if none was visited.
        """
        for k in range(simulations):
            if k and stop():
                break
            self._simulate(root)
        if not root.children:
            return None
        children = root.children

        def rank(action: Action) -> tuple[float, float, float]:
            child = children[action]
            return child.visits, child.value, child.prior

        return max(children, key=rank)

    def descend(self, node: Node[Action], action: Action) -> Node[Action]:
        """The child that an action leads to, with its state."""
        child = node.children[action]
        if child.state is None:
            child.reward, child.state = self.step(node.state, action)
        return child

    def _scaled(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def _simulate(self, root: Node[Action]) -> None:
        path, node = [root], root
        while node.children:
            total = math.sqrt(max(node.visits, 1))

            def worth(child: Node[Action], total: float = total) -> float:
                value = self._scaled(child.reward + child.value) if child.visits else 0.0
                return value + self.exploration * child.prior * total / (1 + child.visits)

            children = node.children
            node = self.descend(node, max(children, key=lambda a: worth(children[a])))
            path.append(node)
        actions, value = self.evaluate(node.state)
        for action, prior in actions:  # a step costs time: only when the child is visited
            node.children[action] = Node(None, prior=prior)
        for visited in reversed(path):
            visited.visits += 1
            visited.total += value
            value += visited.reward
            self.low, self.high = min(self.low, value), max(self.high, value)

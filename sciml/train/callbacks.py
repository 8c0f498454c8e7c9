"""What a training tells others while it runs: callbacks, and a function for every record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sciml.train.state import TrainState

Record = dict[str, Any]
"""Plain values by name: a line of metrics.jsonl, or what the event's method says."""


class Callback:
    """Methods that `sciml.train.fit` calls in its first process; override those of interest.

    What a method raises ends the training, as an error of its own would.
    """

    def start(self, run: Record) -> None:
        """Before the first step, or the first after resuming.

        Args:
            run: `out` (folder), `title`, `step` (done so far), `total` (steps), `parameters` (how
                many) and `settings` (of `TrainConfig`).
        """

    def step(self, record: Record) -> None:
        """Every `log_every` steps.

        Args:
            record: `step`, `split` ("train"), `lr`, `rate` (examples/s), `loss`, `grad_norm` and
                the module's own metrics.
        """

    def validation(self, record: Record) -> None:
        """After each validation.

        Args:
            record: `step`, `split` ("valid") and the metrics.
        """

    def checkpoint(self, record: Record) -> None:
        """When a checkpoint is on disk.

        Args:
            record: `step` and `path`.
        """

    def end(self, record: Record) -> None:
        """Once after `start`, however the training ends.

        Args:
            record: `step`, `done` (whether the training is complete) and `best` (score or None).
        """


class _Function(Callback):
    def __init__(self, log: Callable[[Record], None]) -> None:
        self.log = log

    def step(self, record: Record) -> None:
        self.log(record)

    def validation(self, record: Record) -> None:
        self.log(record)


def together(callbacks: Sequence[Callback], log: Callable[[Record], None] | None) -> Callbacks:
    """Callbacks and a function that gets every record."""
    return Callbacks([*callbacks, *([_Function(log)] if log else [])])


class Callbacks(Callback):
    """Several callbacks as one, called in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)

    @contextmanager
    def told(self, run: Record, state: TrainState) -> Iterator[None]:
        """From `start` to `end`, which follows however the training ends."""
        self.start(run)
        try:
            yield
        finally:
            notes = state.notes
            self.end({"step": state.step, "done": notes["done"], "best": notes["best"]})

    def start(self, run: Record) -> None:
        """See `Callback`."""
        for one in self.callbacks:
            one.start(run)

    def step(self, record: Record) -> None:
        """See `Callback`."""
        for one in self.callbacks:
            one.step(dict(record))

    def validation(self, record: Record) -> None:
        """See `Callback`."""
        for one in self.callbacks:
            one.validation(dict(record))

    def checkpoint(self, record: Record) -> None:
        """See `Callback`."""
        for one in self.callbacks:
            one.checkpoint(dict(record))

    def end(self, record: Record) -> None:
        """See `Callback`."""
        for one in self.callbacks:
            one.end(record)

"""Old spellings of settings, arguments and options go on working, with a note."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from sciml.commands import run_function
from sciml.config import Range, former_flags, from_dict, replace
from sciml.errors import InputError
from sciml.renamed import Formerly, present_flags, renamed


@dataclass(frozen=True)
class Inner:
    steps: Annotated[int, Formerly("rounds")] = 1
    """Steps."""


@dataclass(frozen=True)
class Config:
    max_jets: Annotated[int, Range(min=0), Formerly("most")] = 0
    """Most jets."""
    inner: Inner = field(default_factory=Inner)
    """Nested."""


def test_settings():
    assert from_dict(Config, {"most": 3, "inner": {"rounds": 4}}) == Config(3, Inner(4))
    assert replace(Config(), {"inner.steps": 2}) == Config(0, Inner(2))
    with pytest.raises(InputError, match="`max_jets` must be >= 0"):
        from_dict(Config, {"most": -1})
    with pytest.raises(InputError, match="`most` and `max_jets` are the same"):
        from_dict(Config, {"most": 1, "max_jets": 1})


def test_flags(capsys):
    names = former_flags(Config)
    assert names == {"most": "max_jets", "inner.rounds": "inner.steps"}
    flags = present_flags(["--most", "5", "--inner.rounds=2", "--seed", "--most-of-all"], names)
    assert flags == ["--max-jets", "5", "--inner.steps=2", "--seed", "--most-of-all"]
    assert capsys.readouterr().err.splitlines() == [
        "sciml: note: --most is now --max-jets",
        "sciml: note: --inner.rounds is now --inner.steps",
    ]


@renamed(budget="cpu_seconds")
def work(*, cpu_seconds: float = 1.0) -> int:
    """Work.

    Args:
        cpu_seconds: How long [CPU-s].
    """
    return round(cpu_seconds)


def test_arguments(capsys):
    old = {"budget": 3}
    assert work(cpu_seconds=2) == 2
    with pytest.warns(DeprecationWarning, match="`budget` of work is now `cpu_seconds`"):
        assert work(**old) == 3
    with pytest.raises(InputError, match="are the same"):
        work(cpu_seconds=3, **old)
    assert run_function(work, ["--budget", "4"], "sciml work") == 4
    assert "--budget is now --cpu-seconds" in capsys.readouterr().err
    assert run_function(work, ["--cpu-seconds", "5"], "sciml work") == 5

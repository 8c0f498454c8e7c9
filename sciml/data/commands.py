"""`sciml data list | show | get | make | check | export`."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import tyro

from sciml.commands import run_function
from sciml.data import card as cards
from sciml.errors import InputError, unknown


def data_list() -> None:
    """List the data sets: name, licence, how to obtain it, in one line."""
    for name in cards.names():
        card, _ = cards.read(name)
        how = "make" if card.generator else "get"
        if card.distribution and "://" not in card.distribution[0].contentUrl:
            how = "here"
        print(f"{name:<18} {how:<5} {card.license:<14} {card.description}")


def data_show(name: tyro.conf.Positional[str]) -> None:
    """Print a data card.

    Args:
        name: The data set, as `sciml data list` shows it.
    """
    cards.read(name)
    print((cards.data_cards_dir() / f"{name}.md").read_text(encoding="utf-8"))


def data_get(name: tyro.conf.Positional[str]) -> None:
    """Download a data set, resuming, and verify its sha256.

    Args:
        name: The data set, as `sciml data list` shows it.
    """
    from sciml.data import fetch

    for path in fetch.get(cards.read(name)[0]):
        print(path)


def data_check(name: tyro.conf.Positional[str]) -> int:
    """Check a card, and the files of it that are on this machine against their sha256.

    Args:
        name: The data set, or the path of a card.
    """
    from sciml.data import fetch
    from sciml.files.kept import sha256

    card, prose = cards.read(name)
    missing = [heading for heading in cards.HEADINGS if f"## {heading}" not in prose]
    if missing:
        raise InputError(f"the prose lacks the headings {', '.join(missing)}", where=name)
    if card.generator:
        _function(card.generator)
    wrong = 0
    print(f"{card.name}: the card is complete")
    for file in card.distribution:
        path = fetch.local(card, file)
        if not path.exists():
            verb = "get" if file.contentUrl else "make"
            state = f"not on this machine (sciml data {verb} {card.name})"
        elif not file.sha256:
            state = "here; no sha256 is published"
        elif sha256(path) == file.sha256:
            state = "here, sha256 matches"
        else:
            state, wrong = "here, BUT ITS SHA256 DIFFERS", 1
        print(f"  {file.name}: {state}")
    if wrong:
        raise InputError("a file differs from its card", where=card.name, hint="Get it again")
    return 0


def data_export(name: tyro.conf.Positional[str]) -> None:
    """Print a card as Croissant JSON-LD.

    Args:
        name: The data set, as `sciml data list` shows it.
    """
    json.dump(cards.croissant(cards.read(name)[0]), sys.stdout, indent=2)
    print()


def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the generator {path!r} cannot be loaded ({error})") from error


def _generators() -> dict[str, Callable[..., Any]]:
    """The generators by the first word of their card's name (`jets`, `expressions`)."""
    generators = {}
    for name in cards.names():
        card, _ = cards.read(name)
        if card.generator:
            generators[_kind(card)] = _function(card.generator)
    return generators


def _kind(card: cards.DataCard) -> str:
    """KIND of `sciml data make KIND ...` in the card's command, else the card's name."""
    words = card.command.split()
    return words[3] if words[:3] == ["sciml", "data", "make"] and len(words) > 3 else card.name


def make(arguments: list[str]) -> int:
    """Run a generator: `sciml data make KIND [its options]`."""
    kinds = _generators()
    if not arguments or arguments[0] in ("--help", "-h"):
        print("usage: sciml data make KIND [options]\n")
        for kind, function in sorted(kinds.items()):
            print(f"  {kind:<14} {(function.__doc__ or '').strip().splitlines()[0]}")
        print("\n`sciml data make KIND --help` shows the options.")
        return 0
    kind, *rest = arguments
    if kind not in kinds:
        raise unknown("kind of data to make", kind, kinds)
    return run_function(kinds[kind], rest, f"sciml data make {kind}")


def data_make() -> int:
    """Make a data set with its generator: `sciml data make jets --help`."""
    return make(["--help"])


COMMANDS: dict[str, Callable[..., Any]] = {
    "list": data_list,
    "make": data_make,
    "show": data_show,
    "get": data_get,
    "check": data_check,
    "export": data_export,
}

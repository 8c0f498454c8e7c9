"""Jet tagging: from the constituents of a jet to the particle that made it.

from sciml.jets import JetTagger
scores = JetTagger.from_pretrained("jets-tiny").predict("events.root")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sciml.jets.tagger import JetTagger

__all__ = ["JetTagger"]


def __getattr__(name: str) -> object:
    if name == "JetTagger":
        from sciml.jets.tagger import JetTagger

        return JetTagger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

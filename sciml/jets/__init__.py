"""Jet tagging: from the constituents of a jet to the particle that made it.

from sciml.jets import JetTagger
scores = JetTagger.from_pretrained("jets-tiny").predict("events.root")
"""

from __future__ import annotations

from sciml.exports import lazy

_EXPORTS = {"JetTagger": "tagger"}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)

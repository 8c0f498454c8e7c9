"""Jet tagging: from the constituents of a jet to the particle that made it.

from sciml.jets import JetTagger
scores = JetTagger.from_pretrained("jets-tiny").predict("events.root")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciml.exports import lazy

if TYPE_CHECKING:
    from sciml.jets.configured import ConfiguredTagger as ConfiguredTagger
    from sciml.jets.data.features import Flag as Flag
    from sciml.jets.data.flavours import FlavourSample as FlavourSample
    from sciml.jets.data.io import open_jets as open_jets
    from sciml.jets.data.io import read_jets as read_jets
    from sciml.jets.data.sample import JetSample as JetSample
    from sciml.jets.flavours import FlavourTagger as FlavourTagger
    from sciml.jets.regressor import JetMassRegressor as JetMassRegressor
    from sciml.jets.scores import JetFlavours as JetFlavours
    from sciml.jets.scores import JetMasses as JetMasses
    from sciml.jets.scores import JetScores as JetScores
    from sciml.jets.scores import JetTracks as JetTracks
    from sciml.jets.tagger import JetTagger as JetTagger

_EXPORTS = {
    "ConfiguredTagger": "configured",
    "Flag": "data.features",
    "FlavourSample": "data.flavours",
    "FlavourTagger": "flavours",
    "JetFlavours": "scores",
    "JetMassRegressor": "regressor",
    "JetMasses": "scores",
    "JetSample": "data.sample",
    "JetScores": "scores",
    "JetTagger": "tagger",
    "JetTracks": "scores",
    "open_jets": "data.io",
    "read_jets": "data.io",
}
__all__ = sorted(_EXPORTS)
__getattr__, __dir__ = lazy(__name__, _EXPORTS)

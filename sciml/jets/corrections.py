"""Working points, efficiencies and templates of scale factors as correctionlib's JSON.

The format is version 2 of its schema (https://cms-nanoaod.github.io/correctionlib); nothing of the
package is needed to write it. What each correction takes and gives stands in its description.
"""

from __future__ import annotations

import math
from typing import Any

from sciml.jets.working_points import WorkingPoints

_TEXT = {
    "signal": ("string", "signal class"),
    "working_point": ("string", "background efficiency, as 0.01"),
    "class": ("string", "true class of the jet"),
    "value": ("string", "nominal, low or high (limits at 68 %)"),
    "systematic": ("string", "nominal, up or down"),
    "pt": ("real", "transverse momentum of the jet, GeV"),
    "abs_eta": ("real", "absolute pseudorapidity of the jet"),
}
"""Inputs of the corrections: type and description."""


def to_correctionlib(points: WorkingPoints) -> dict[str, Any]:
    """The content of a correction set.

    Corrections: `threshold` (signal, working_point); where there are maps `efficiency` (signal,
    working_point, class, value, pt, abs_eta), and `scale_factor` (signal, working_point,
    systematic, pt, abs_eta), a template of ones with an uncertainty of 100 %, to be replaced by
    what was measured in data. Beyond the last bin the last one counts.
    """
    names = [f"{value:g}" for value in points.efficiencies]
    thresholds = _category("signal", {
        signal: _category("working_point", dict(zip(names, values, strict=True)))
        for signal, values in points.thresholds.items()
    })  # fmt: skip
    score = f"p_signal / (p_signal + p_{points.background}) of {points.model or 'the tagger'}"
    corrections = [
        _correction("threshold", f"threshold on {score}", ["signal", "working_point"], thresholds)
    ]
    if points.maps:
        classes = list(dict.fromkeys(name for _, _, name in points.maps))
        maps = _category("signal", {
            signal: _category("working_point", {
                wp: _category("class", {
                    name: _category("value", {
                        key: _binned(points, [
                            [_filled(getattr(cell, field), total) for cell in row]
                            for row in points.maps[signal, point, name]
                        ])
                        for key, field in (("nominal", "value"), ("low", "low"), ("high", "high"))
                        for total in [getattr(points.total[signal, point, name], field)]
                    })
                    for name in classes
                })
                for point, wp in enumerate(names)
            })
            for signal in points.thresholds
        })  # fmt: skip
        inputs = ["signal", "working_point", "class", "value", "pt", "abs_eta"]
        corrections.append(_correction("efficiency", "share of jets that pass", inputs, maps))
        ones = {
            key: _binned(points, [[value] * (len(points.eta) - 1)] * (len(points.pt) - 1))
            for key, value in (("nominal", 1.0), ("up", 2.0), ("down", 0.0))
        }
        template = _category("signal", {
            signal: _category("working_point", {
                wp: _category("systematic", ones) for wp in names
            })
            for signal in points.thresholds
        })  # fmt: skip
        inputs = ["signal", "working_point", "systematic", "pt", "abs_eta"]
        about = "TEMPLATE, not measured: efficiency in data over efficiency in simulation"
        corrections.append(_correction("scale_factor", about, inputs, template))
    return {
        "schema_version": 2,
        "description": f"Working points of {points.model or 'a jet tagger'} (sciml)",
        "corrections": corrections,
    }


def _correction(name: str, about: str, inputs: list[str], data: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": about,
        "version": 1,
        "inputs": [
            {"name": key, "type": _TEXT[key][0], "description": _TEXT[key][1]} for key in inputs
        ],
        "output": {"name": name, "type": "real"},
        "data": data,
    }


def _category(name: str, content: dict[str, Any]) -> dict[str, Any]:
    items = [{"key": key, "value": value} for key, value in content.items()]
    return {"nodetype": "category", "input": name, "content": items}


def _binned(points: WorkingPoints, rows: list[list[float]]) -> dict[str, Any]:
    return {
        "nodetype": "multibinning",
        "inputs": ["pt", "abs_eta"],
        "edges": [list(points.pt), list(points.eta)],
        "content": [value for row in rows for value in row],
        "flow": "clamp",
    }


def _filled(value: float, total: float) -> float:
    """A bin without jets has the value of all jets: JSON has no NaN."""
    return total if math.isnan(value) else value

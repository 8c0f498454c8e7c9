"""Jets from files through a model, into a file of scores or into labelled arrays.

`write_scores` is `sciml jets tag`; `labelled` is what measurements start from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.jets.calibration import ClassCalibration
from sciml.jets.scores import Tally
from sciml.jets.variations import Variation, vary
from sciml.jets.working_points import WorkingPoints

CALIBRATION = "sciml.jets.class_calibration/1"
"""Format of a file with a calibration per class."""


@dataclasses.dataclass(frozen=True)
class Extras:
    """What is written beside the scores.

    Attributes:
        keep: columns of the input to copy.
        variations: systematic variations of the jets, each with scores of its own.
        points: working points, of which is written which jets pass.
        calibration: of the probabilities, before anything is made of them.
    """

    keep: tuple[str, ...] = ()
    variations: tuple[Variation, ...] = ()
    points: WorkingPoints | None = None
    calibration: ClassCalibration | None = None

    def columns(self, outputs: Sequence[str]) -> list[str]:
        """Names of the columns of a file of scores.

        Raises:
            InputError: `keep` names one of them.
        """
        sides = ["", *(f"_{v.name}" for v in self.variations)]
        points = self.points
        passes = [] if points is None else [
            passing_name(signal, value)
            for signal in points.thresholds for value in points.efficiencies
        ]  # fmt: skip
        made = [f"{name}{side}" for side in sides for name in (*outputs, "flag", *passes)]
        if clash := set(self.keep) & set(made):
            raise InputError(f"`keep` names columns of the output: {', '.join(sorted(clash))}")
        return [*self.keep, *made]

    def needed(self) -> tuple[str, ...]:
        """Columns of the input that the model does not read itself."""
        return (*self.keep, *(name for v in self.variations for name in v.columns))


def passing_name(signal: str, background_efficiency: float) -> str:
    """Name of a column: pass_Tbqq_0p01."""
    text = f"{background_efficiency:g}".replace(".", "p").replace("-", "m")
    return f"pass_{signal}_{text}"


def write_scores(
    tagger: Any, reader: Any, writer: Any, extras: Extras = Extras(), step: int = 2000
) -> Iterator[Tally]:
    """Write the scores of all jets, in order; yields the counts after each step.

    Args:
        tagger: a `JetTagger` or `JetMassRegressor`.
        reader: from `sciml.jets.data.io.open_jets`.
        writer: from `sciml.jets.data.io.create`.
        extras: what is written beside the scores.
        step: jets at a time.

    Raises:
        InputError: a missing column, or a name that is used twice.
    """
    extras.columns(tagger.outputs)
    tally, first = Tally(tagger.limit), 0
    for events, scores in tagger.stream(reader, keep=extras.needed(), step=step):
        columns: dict[str, Any] = {name: events[name] for name in extras.keep}
        columns |= _columns(tagger, scores, extras, "")
        for variation in extras.variations:
            varied = tagger.predict_array(vary(events, variation, first))
            columns |= _columns(tagger, varied, extras, f"_{variation.name}")
        writer.write(columns)
        tally.add(scores)
        first += len(scores)
        yield tally


def _columns(tagger: Any, scores: Any, extras: Extras, suffix: str) -> dict[str, Any]:
    values = calibrated(scores, extras.calibration)
    out = {
        f"{name}{suffix}": np.ascontiguousarray(values[:, index], np.float32)
        for index, name in enumerate(tagger.outputs)
    }
    out[f"flag{suffix}"] = scores.flags.astype(np.int32)
    if extras.points is not None:
        for key, passed in extras.points.passing(values).items():
            out[f"{passing_name(*key)}{suffix}"] = passed.astype(np.int32)
    return out


def calibrated(scores: Any, calibration: ClassCalibration | None) -> np.ndarray:
    """Probabilities [n, classes], after the calibration if there is one."""
    values = np.asarray(scores)
    return values if calibration is None else calibration(values)


@dataclasses.dataclass
class Labelled:
    """Scores of jets whose class is known.

    Attributes:
        probabilities: [n, classes] float32.
        truth: [n] index of the class.
        weights: [n] float64, None where there are none.
        pt, eta: [n] of the jets, GeV; None unless asked for.
        read: jets that were read, with and without a label.
    """

    probabilities: np.ndarray
    truth: np.ndarray
    weights: np.ndarray | None
    pt: np.ndarray | None
    eta: np.ndarray | None
    read: int


def labelled(
    tagger: Any, reader: Any, *, weight: str = "", momentum: bool = False,
    calibration: ClassCalibration | None = None, advance: Any = None,
) -> Labelled:  # fmt: skip
    """Scores of the jets that have a label of one of the tagger's classes.

    Args:
        tagger: a `JetTagger`.
        reader: from `sciml.jets.data.io.open_jets`, with columns `label_<class>`.
        weight: column of the weights of jets.
        momentum: also the jets' pT and eta, of the constituents where the file has none.
        calibration: of the probabilities.
        advance: called with the number of jets of each step.

    Raises:
        InputError: no labels, or jets of fewer than two classes.
    """
    labels = [f"label_{name}" for name in tagger.classes]
    present = [name for name in labels if name in reader.columns]
    if not present:
        reader.require(labels[:1])
    axis = ("jet_pt", "jet_eta")
    own = momentum and set(axis) <= set(reader.columns)
    keep = [*present, *([weight] if weight else []), *(axis if own else ())]
    parts: dict[str, list[np.ndarray]] = {}
    for events, scores in tagger.stream(reader, keep=keep):
        one_hot = np.stack([np.asarray(events[name]) > 0 for name in present], axis=1)
        index = np.array([labels.index(name) for name in present])[one_hot.argmax(1)]
        values = {"truth": np.where(one_hot.any(1), index, -1),
                  "probabilities": calibrated(scores, calibration)}  # fmt: skip
        if weight:
            values["weights"] = np.asarray(events[weight], np.float64)
        if momentum:
            values["pt"], values["eta"] = _axis(events) if not own else (
                np.asarray(events[name], np.float64) for name in axis
            )  # fmt: skip
        for name, array in values.items():
            parts.setdefault(name, []).append(array)
        if advance is not None:
            advance(len(scores))
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    known = whole["truth"] >= 0
    if len(np.unique(whole["truth"][known])) < 2:
        raise InputError(
            "needs labelled jets of at least two of the model's classes", where=reader.path
        )
    good = {name: array[known] for name, array in whole.items()}
    return Labelled(
        good["probabilities"], good["truth"], good.get("weights"), good.get("pt"),
        good.get("eta"), len(known),
    )  # fmt: skip


def _axis(events: Any) -> tuple[np.ndarray, np.ndarray]:
    """pT and pseudorapidity of the sum of the constituents."""
    import awkward as ak

    px, py, pz = (
        ak.to_numpy(ak.sum(events[name], axis=1)).astype(np.float64)
        for name in ("part_px", "part_py", "part_pz")
    )
    pt = np.hypot(px, py)
    with np.errstate(divide="ignore", invalid="ignore"):
        return pt, np.arcsinh(pz / pt)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A file of settings or results."""
    from sciml.files.jsons import dumps
    from sciml.paths import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_text(dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: missing or not JSON.
    """
    import json

    from sciml.paths import existing_file

    try:
        return json.loads(existing_file(path, what).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", where=path) from error


def read_calibration(path: Path, classes: Sequence[str]) -> ClassCalibration:
    """A calibration per class that `sciml jets evaluate --calibrate-classes` wrote.

    Raises:
        InputError: something else, or of other classes.
    """
    content = read_json(path, "calibration")
    if not isinstance(content, dict) or content.get("format") != CALIBRATION:
        raise InputError(
            "holds no calibration per class", where=path,
            hint="`sciml jets evaluate LABELLED --calibrate-classes FILE` makes one",
        )  # fmt: skip
    calibration = ClassCalibration.from_dict(content.get("classes", {}), path)
    if calibration.classes != tuple(classes):
        raise InputError(f"is of the classes {', '.join(calibration.classes)}", where=path)
    return calibration


def read_points(path: Path, classes: Sequence[str], values: Sequence[float]) -> WorkingPoints:
    """Working points that `sciml jets working-points` measured; those at `values` if any are named.

    Raises:
        InputError: something else, of other classes, or not measured at a value.
    """
    points = WorkingPoints.from_dict(read_json(path, "file of working points"), path)
    if points.classes != tuple(classes):
        raise InputError(
            f"is of the classes {', '.join(points.classes)}, the model has {', '.join(classes)}",
            where=path,
        )
    return points.at(values) if values else points

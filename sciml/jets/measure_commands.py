"""`sciml jets evaluate` and `sciml jets working-points`: what a model reaches on labelled jets."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.errors import InputError
from sciml.jets.weaver.options import DEFAULTS, WeaverOptions
from sciml.paths import keep_apart

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def open_model(model: str, trunk: str | None = None, weaver: WeaverOptions = DEFAULTS) -> Any:
    """A tagger or mass regressor by shipped name, by path, or a weaver state dict (.pt, .pth).

    Args:
        model: name or path.
        trunk: name of the caller's own trunk that the model is on.
        weaver: what a weaver state dict cannot tell.
    """
    from sciml.device import choose
    from sciml.jets import FlavourTagger, JetMassRegressor, JetTagger
    from sciml.jets.model import ENTRY, JetModel
    from sciml.weights import files

    device = choose("auto").device
    if Path(model).suffix in (".pt", ".pth"):
        if trunk is not None:
            raise InputError(f"is a published network, not one on the trunk {trunk!r}", where=model)
        return JetTagger.from_weaver(model, **dataclasses.asdict(weaver)).to(device)
    if weaver != DEFAULTS:
        raise InputError("--weaver.* are options of a weaver state dict (.pt)", where=model)
    description, tensors, path = files.read(model, ENTRY, JetTagger.KIND, JetModel.HINT)
    if description.get("answer") == "data config":
        from sciml.jets.configured import ConfiguredTagger

        return ConfiguredTagger.restore(description, tensors, path, trunk=trunk).to(device)
    kinds: dict[Any, Any] = {"mass": JetMassRegressor, "flavour": FlavourTagger}
    kind = kinds.get(description.get("answer"), JetTagger)
    return kind.restore(description, tensors, path, trunk=trunk).to(device)


def _check_tagger(tagger: Any, model: str) -> None:
    from sciml.jets import JetTagger

    if not isinstance(tagger, JetTagger):
        raise InputError("gives masses or flavours, or has a data config", where=model)


def evaluate(
    files: tyro.conf.Positional[tuple[str, ...]],
    *,
    model: str = "jets-tiny",
    trunk: str | None = None,
    background: str = "QCD",
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    weight: str = "",
    calibrate: Path | None = None,
    calibrate_classes: Path | None = None,
    calibration: Path | None = None,
    plots: Path | None = None,
    style: str = "",
    histograms: Path | None = None,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
    branch_map: Path | None = None,
    puppi: bool = False,
    weaver: WeaverOptions = DEFAULTS,
) -> None:
    """Measure a model on labelled jets: accuracy, AUC, background rejection and calibration.

    Args:
        files: Labelled jets (columns `label_<class>`), as for `tag`.
        model: As for `tag`.
        trunk: As for `tag`.
        background: The class the others are measured against.
        out: Also write the numbers as JSON.
        weight: Column of the weights of jets, >= 0, which count in every number.
        calibrate: Fit the model's temperature to these jets and write the calibrated model here
            (.safetensors); use jets that neither training nor a later test sees.
        calibrate_classes: Fit an increasing function of each class's probability (isotonic
            regression) to these jets and write it here (.json), for `tag --calibration`.
        calibration: Such a file, to measure what it makes of the scores.
        plots: Folder for the plots (PDF): rejection, confusion, calibration, scores.
        style: Of the plots: CMS, ATLAS, ALICE, LHCb2 or ROOT, by mplhep (extra: hep).
        histograms: File (.root) for histograms of the scores, SIGNAL/TRUTH, with errors (extras:
            hep, jets).
        format: As for `tag`.
        tree: As for `tag`.
        collection: As for `tag`.
        branch_map: As for `tag`.
        puppi: As for `tag`.
        weaver: As for `tag`.
    """
    from sciml.jets import metrics
    from sciml.jets.calibration import per_class
    from sciml.jets.configured import ConfiguredTagger
    from sciml.jets.data.io import open_jets
    from sciml.jets.tagging import CALIBRATION, labelled, read_calibration, write_json
    from sciml.train.log import Bar

    keep_apart(out, *files, model)
    for written in (calibrate, calibrate_classes, histograms):
        keep_apart(written, *files)
    if style and plots is None:
        raise InputError("--style is of the plots", hint="Name their folder with --plots")
    tagger = open_model(model, trunk, weaver)
    if isinstance(tagger, ConfiguredTagger):
        if (
            weight
            or calibrate
            or calibrate_classes
            or calibration
            or plots
            or style
            or histograms
            or format
            or tree
            or collection
            or branch_map
            or puppi
        ):
            raise InputError(
                "has a data config, which says how jets are read; only --background and --out are "
                "for such a model", where=model,
                hint="Name the tree as `treename` in the config",
            )  # fmt: skip
        from sciml.jets.configured_results import measure as measure_configured

        numbers = measure_configured(tagger, files).numbers(background)
        return _show(numbers, f"{numbers.pop('jets')} labelled jets that pass the selection", out)
    _check_tagger(tagger, model)
    fit = None if calibration is None else read_calibration(calibration, tagger.classes)
    where: Any = {"format": format, "tree": tree, "collection": collection,
                  "branch_map": branch_map, "puppi": puppi}  # fmt: skip
    with open_jets(files, **where) as reader, Bar("jets", len(reader)) as bar:
        jets = labelled(tagger, reader, weight=weight, calibration=fit, advance=bar.advance)
    probabilities, truth, weights = jets.probabilities, jets.truth, jets.weights
    measured = metrics.evaluate(
        probabilities, truth, tagger.classes, background=background, weights=weights
    )
    measured["calibration_error"] = metrics.calibration(probabilities, truth, weights=weights).error
    if calibrate is not None:
        measured["temperature"] = tagger.fit_temperature(probabilities, truth, weights)
        tagger.save(calibrate)
    if calibrate_classes is not None:
        fitted = per_class(probabilities, truth, tagger.classes, weights)
        write_json(calibrate_classes, {"format": CALIBRATION, "model": model,
                                       "classes": fitted.to_dict()})  # fmt: skip
    if plots is not None:
        from sciml.jets.plots import experiment_style, write_plots

        with experiment_style(style) if style else nullcontext():
            write_plots(plots, probabilities, truth, tagger.classes, background, weights)
    if histograms is not None:
        from sciml.jets.histograms import score_histogram, write_histograms

        made = score_histogram(
            probabilities, truth, tagger.classes, background=background, weights=weights
        )
        write_histograms(histograms, made)
    _show(measured, f"{len(truth)} labelled jets of {jets.read}", out)


def _show(measured: dict[str, Any], title: str, out: Path | None) -> None:
    """Print numbers, and write them as JSON."""
    from sciml.jets.metrics import Rejection
    from sciml.jets.tagging import write_json

    print(title)
    for name, value in measured.items():
        print(f"{name:<24} {value if isinstance(value, Rejection | None) else f'{value:.5f}'}")
    if out is not None:
        plain = {
            k: dataclasses.asdict(v) if isinstance(v, Rejection) else v for k, v in measured.items()
        }
        write_json(out, {"jets": int(title.split()[0]), **plain})


def working_points(
    files: tyro.conf.Positional[tuple[str, ...]],
    out: Out,
    *,
    wp: tuple[float, ...] = (0.1, 0.01),
    model: str = "jets-tiny",
    trunk: str | None = None,
    background: str = "QCD",
    weight: str = "",
    calibration: Path | None = None,
    pt_edges: tuple[float, ...] = (),
    eta_edges: tuple[float, ...] = (0.0, 1.2, 2.5),
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
    branch_map: Path | None = None,
    puppi: bool = False,
    weaver: WeaverOptions = DEFAULTS,
) -> None:
    """Measure thresholds by background efficiency, and efficiencies per class in pT and |eta|.

    Writes OUT (JSON, for `tag --working-points`) and beside it OUT.correctionlib.json with the
    thresholds, the efficiencies and a template of scale factors, which correctionlib evaluates.

    Args:
        files: Labelled jets (columns `label_<class>`), as for `tag`.
        out: The file of the working points, .json.
        wp: Background efficiencies, within (0, 1).
        model: As for `tag`.
        trunk: As for `tag`.
        background: The class that is rejected.
        weight: Column of the weights of jets, >= 0.
        calibration: As for `tag`.
        pt_edges: Edges of the bins in pT [GeV]; four bins of equally many jets by default.
        eta_edges: Edges of the bins in |eta|.
        format: As for `tag`.
        tree: As for `tag`.
        collection: As for `tag`.
        branch_map: As for `tag`.
        puppi: As for `tag`.
        weaver: As for `tag`.
    """
    from sciml.jets.tagging import read_calibration

    keep_apart(out, *files, model)
    tagger = open_model(model, trunk, weaver)
    _check_tagger(tagger, model)
    where: Any = {"format": format, "tree": tree, "collection": collection,
                  "branch_map": branch_map, "puppi": puppi}  # fmt: skip
    points = write_points(
        files, where, tagger, out, wp=wp, model=model, background=background, weight=weight,
        calibration=None if calibration is None else read_calibration(calibration, tagger.classes),
        pt_edges=pt_edges, eta_edges=eta_edges,
    )  # fmt: skip
    for signal, thresholds in points.thresholds.items():
        for point, (value, threshold) in enumerate(zip(points.efficiencies, thresholds)):
            if (found := points.total.get((signal, point, signal))) is not None:
                print(f"{signal:<6} background {value:<8g} threshold {threshold:.6f} efficiency "
                      f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]")  # fmt: skip


def write_points(
    files: tuple[str, ...], where: Any, tagger: Any, out: Path, *, wp: tuple[float, ...],
    model: str, background: str = "QCD", weight: str = "", calibration: Any = None,
    pt_edges: tuple[float, ...] = (), eta_edges: tuple[float, ...] = (0.0, 1.2, 2.5),
) -> Any:  # fmt: skip
    """Working points of a tagger on labelled files, written to `out` and for correctionlib."""
    from sciml.jets.corrections import to_correctionlib
    from sciml.jets.data.io import open_jets
    from sciml.jets.tagging import labelled, write_json
    from sciml.jets.working_points import measure
    from sciml.train.log import Bar

    if out.suffix != ".json":
        raise InputError("must end in .json", where=out)
    with open_jets(files, **where) as reader, Bar("jets", len(reader)) as bar:
        jets = labelled(tagger, reader, weight=weight, momentum=True, calibration=calibration,
                        advance=bar.advance)  # fmt: skip
    points = measure(
        jets.probabilities, jets.truth, tagger.classes, background=background, efficiencies=wp,
        weights=jets.weights, pt=jets.pt, eta=jets.eta, pt_edges=pt_edges, eta_edges=eta_edges,
        model=model,
    )  # fmt: skip
    write_json(out, points.to_dict())
    write_json(out.with_suffix(".correctionlib.json"), to_correctionlib(points))
    return points

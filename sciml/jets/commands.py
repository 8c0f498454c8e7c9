"""`sciml jets`: tag, evaluate, working-points, explain, attack, export and standardise."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from sciml.errors import InputError
from sciml.jets.learning.commands import attack, explain
from sciml.jets.measure_commands import Out, evaluate, open_model, working_points
from sciml.jets.weaver.options import DEFAULTS, WeaverOptions
from sciml.paths import keep_apart


def tag(
    files: tyro.conf.Positional[tuple[str, ...]],
    out: Out,
    *,
    model: str = "jets-tiny",
    trunk: str | None = None,
    keep: tuple[str, ...] = (),
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
    branch_map: Path | None = None,
    puppi: bool = False,
    data_config: Path | None = None,
    variations: tuple[str, ...] = (),
    wp: tuple[float, ...] = (),
    working_points: Path | None = None,
    calibration: Path | None = None,
    weaver: WeaverOptions = DEFAULTS,
    step: int = 2000,
    launcher: Literal["ray"] | None = None,
    workers: int = 0,
) -> None:
    """Write the class scores of every jet of some files, in order.

    The output has `score_<class>` (float32, NaN for a faulty jet; a mass regressor gives `mass` and
    its quantiles in GeV), `flag` (0 = good; bits: 1 empty, 2 NaN or infinity, 4 zero pT, 8 energy
    below momentum), and the columns to keep. The files are streamed: they may be larger than
    memory.

    Args:
        files: Jets: ROOT (JetClass, nanoAOD, Delphes), Parquet, HDF5 or npz; files, folders, quoted
            patterns ('jets/*.root') and URLs (https, root, s3, ...), one after the other.
        out: The file of the scores, .root or .parquet.
        model: Name of a shipped model (`sciml models list`), a .safetensors file or run folder, or
            a weaver state dict (.pt).
        trunk: Your own trunk (my_trunk.py:MyTrunk or module:MyTrunk), for a model that is on it.
            This runs the code; the model's file names the trunk, but does not contain it.
        keep: Columns of the input to copy beside the scores.
        format: Format of the input; by default its content decides.
        tree: Name of the TTree or RNTuple, if a ROOT file has several.
        collection: Name of the jets in a file of events (nanoAOD: Jet, FatJet; Delphes: JetAK8).
        branch_map: YAML or JSON file that says which branch, or formula over branches, is which of
            our columns (part_px: cands_pt * np.cos(cands_phi)).
        puppi: Multiply the momenta of particles by their PUPPI weights.
        data_config: weaver data config (YAML) that makes the inputs, for weights of weaver (.pt) or
            a model that was trained with one (which has it inside, too). The output has the jets
            that pass its selection: `row` in the input, scores, and the config's observers.
        variations: Systematic variations, each with columns of its own (score_QCD_jes_up, ...):
            jes, jer, neutral, photon, impact with _up or _down, tracking_down; jes_up=0.02 sets the
            size. One pass gives what single ones give.
        wp: Working points by background efficiency: columns `pass_<class>_<wp>` say who passes.
        working_points: File of thresholds from `sciml jets working-points`. Without it they are
            measured on the files, which must be labelled, and written beside the output.
        calibration: File from `sciml jets evaluate --calibrate-classes`.
        weaver: What a weaver state dict (.pt) cannot tell, where the defaults are not right.
        step: Jets read at a time.
        launcher: ray: each of the files is a task on a Ray cluster (extra: ray), and gets a file of
            scores of its name in the folder OUT. Files that fail are tried again, and listed at the
            end.
        workers: Tasks at a time, if the cluster is this machine; 0 = all processors.
    """
    if launcher is not None:
        options = {"model": model, "trunk": trunk, "keep": keep, "format": format, "tree": tree,
                   "collection": collection, "branch_map": branch_map, "puppi": puppi,
                   "data_config": data_config, "variations": variations, "wp": wp,
                   "working_points": working_points, "calibration": calibration,
                   "weaver": weaver, "step": step}  # fmt: skip
        return _tag_on_ray(files, out, options, workers)
    from sciml.jets.data.io import create, open_jets
    from sciml.jets.scores import Tally
    from sciml.jets.tagging import Extras, read_calibration, read_points, write_scores
    from sciml.jets.variations import parse
    from sciml.train.log import Bar, console

    if step < 1:
        raise InputError(f"`step` must be >= 1, got {step}")
    keep_apart(out, *files, model)
    where: Any = {"format": format, "tree": tree, "collection": collection,
                  "branch_map": branch_map, "puppi": puppi}  # fmt: skip
    tagger = open_model(model, trunk, weaver)
    of_classes = bool(wp or working_points or calibration)
    if data_config is not None or not hasattr(tagger, "columns_of"):
        if keep or any(where.values()) or variations or of_classes:
            raise InputError(
                "`keep`, `format`, `tree`, `collection`, `branch-map`, `puppi`, `variations`, `wp` "
                "and `calibration` are not of models with a data config",
                hint="Name columns under `observers` and the tree as `treename` in the config",
            )
        _tag_by_config(files, out, tagger, data_config, step)
        return
    if of_classes and not hasattr(tagger, "classes"):
        raise InputError("gives masses, which have no working points", where=model)
    extras = Extras(
        keep, tuple(parse(variations)),
        None if working_points is None else read_points(working_points, tagger.classes, wp),
        None if calibration is None else read_calibration(calibration, tagger.classes),
    )  # fmt: skip
    if wp and working_points is None:
        extras = _measured_points(files, where, tagger, extras, wp, model, out)
    tally = Tally(tagger.limit)
    with open_jets(files, **where) as reader:
        extras.columns(tagger.outputs)
        reader.require(extras.needed())
        reader.require(tagger.columns_of(reader.columns))
        with create(out) as writer, Bar("jets", len(reader)) as bar:
            for tally in write_scores(tagger, reader, writer, extras, step):
                bar.update(tally.jets)
    done = f"{out}: {tally.jets} jets, {tally.faulty} faulty (score NaN, see `flag`)"
    console.print(done, soft_wrap=True)
    for remark in tally.remarks():
        console.print(remark, soft_wrap=True)


def _measured_points(
    files: tuple[str, ...], where: Any, tagger: Any, extras: Any, wp: tuple[float, ...],
    model: str, out: Path,
) -> Any:  # fmt: skip
    """Working points measured on the files themselves, written beside the output."""
    from sciml.jets.data.io import open_jets
    from sciml.jets.measure_commands import write_points

    with open_jets(files, **where) as reader:
        label = "label_QCD"
        if label not in reader.columns:
            raise InputError(
                f"has no labels ({label}, ...) to find the thresholds of --wp with",
                where=reader.path,
                hint="Measure them on labelled jets: `sciml jets working-points LABELLED -o "
                "wp.json`; then add `--working-points wp.json`",
            )
    beside = out.with_suffix(".wp.json")
    points = write_points(files, where, tagger, beside, wp=wp, model=model,
                          calibration=extras.calibration)  # fmt: skip
    return dataclasses.replace(extras, points=points)


def _tag_by_config(
    files: tuple[str, ...], out: Path, tagger: Any, data_config: Path | None, step: int
) -> None:
    """`tag` with the inputs of a data config."""
    from sciml.jets.configured import ConfiguredTagger, class_names, weaver_stream
    from sciml.jets.data.io import create
    from sciml.jets.networks.classifier import WeaverNetwork
    from sciml.jets.weaver.config import WeaverConfig
    from sciml.train.log import console

    config = None if data_config is None else WeaverConfig.load(data_config)
    if isinstance(tagger, ConfiguredTagger):
        batches = tagger.stream(files, config, step)
        config = config or tagger.config
    elif config is not None and isinstance(getattr(tagger, "network", None), WeaverNetwork):
        if len(config.classes) == len(tagger.names):
            tagger.names = class_names(config)
        batches = weaver_stream(tagger, config, files, step)
    else:
        raise InputError(
            "the model has inputs of its own, which no data config changes", where=data_config,
            hint="`sciml run jet_tagging --data-config` trains one that has the config's",
        )  # fmt: skip
    clash = {"row", *tagger.outputs} & set(config.observers)
    if clash:
        raise InputError(f"observes columns of the output: {', '.join(sorted(clash))}",
                         where=config.path)  # fmt: skip
    jets = 0
    with create(out) as writer:
        for batch, values in batches:
            columns: dict[str, Any] = {"row": batch.rows}
            for index, name in enumerate(tagger.outputs):
                columns[name] = np.ascontiguousarray(values[:, index])
            writer.write(columns | batch.observers)
            jets += len(values)
    console.print(f"{out}: {jets} jets that pass the selection", soft_wrap=True)


def _tag_on_ray(files: tuple[str, ...], out: Path, options: dict[str, Any], workers: int) -> None:
    """`tag` of each of the files into a .parquet file of its name in `out`."""
    from functools import partial

    from sciml.jets.data.io import expand
    from sciml.launch import ray_files
    from sciml.train.log import console

    paths: list[Any] = []
    for path in expand(files):
        inside = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        paths += [p.absolute() if isinstance(p, Path) else p.url for p in inside]
    stems = [Path(path).name.split(".")[0] for path in paths]
    if out.suffix or out.is_file():
        raise InputError("is a file, --launcher ray needs a folder", where=out)
    for path, stem in zip(paths, stems):
        if stems.count(stem) > 1:
            raise InputError("another file has this name up to the dot", where=path)
    out.mkdir(parents=True, exist_ok=True)
    pairs = [(path, out.absolute() / f"{stem}.parquet") for path, stem in zip(paths, stems)]
    results = ray_files.run(partial(_tag_one, options), pairs, workers)
    for path, result in zip(paths, results):
        if not isinstance(result, ray_files.Failure):
            console.print(f"{Path(path).name}: {result}", soft_wrap=True)
    failed = [(str(path), result) for path, result in zip(paths, results)
              if isinstance(result, ray_files.Failure)]  # fmt: skip
    ray_files.refuse(failed, len(paths), "files")


def _tag_one(options: dict[str, Any], pair: tuple[Any, Path]) -> str:
    tag((str(pair[0]),), pair[1], **options)
    return str(pair[1])


def export(
    file: tyro.conf.Positional[Path | None] = None,
    *,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    model: str = "jets-tiny",
    trunk: str | None = None,
    data_config: Path | None = None,
    raw: bool = False,
    triton: bool = False,
    weaver: WeaverOptions = DEFAULTS,
) -> None:
    """Write a model as ONNX (dynamic number of jets and particles) with preprocess.json beside it.

    Args:
        file: Former way to name the output.
        out: The .onnx file. A .pt2 file is a package of torch.export, which takes raw jets; a .pt
            file is written in weaver's layout (weaver models only).
        model: As for `tag`.
        trunk: As for `tag`.
        raw: The graph takes raw four-momenta (and tracks and types, if the model reads them) and
            prepares them itself; jet_tagger.hpp, for C++ and ROOT, is written beside it.
        triton: OUT is a folder, which becomes the model of its name in Triton's repository above
            it; it takes raw jets, too.
        data_config: For weights of weaver (.pt): the graph takes this config's inputs, and
            preprocess.json has its variables as weaver writes them.
        weaver: As for `tag`.
    """
    from sciml.jets import JetTagger
    from sciml.jets.configured import ConfiguredTagger, class_names
    from sciml.jets.networks.classifier import WeaverNetwork

    if file is not None and out is None:
        print("sciml: note: the output of `export` is now named by --out", file=sys.stderr)
        out = file
    elif out is None or file is not None:
        raise InputError("needs one file to write", hint="Name it with --out")
    tagger = open_model(model, trunk, weaver)
    if not isinstance(tagger, JetTagger | ConfiguredTagger):
        raise InputError("only a tagger of classes can be exported, not one of masses", where=model)
    if raw or triton or out.suffix == ".pt2":
        from sciml.jets.deployment import graphs

        if data_config is not None:
            raise InputError("a graph that takes raw jets has no data config", where=data_config)
        graphs.to_triton(tagger, out) if triton else graphs.export(tagger, out)
    elif out.suffix in (".pt", ".pth"):
        if isinstance(tagger, ConfiguredTagger):
            raise InputError("is on a trunk that weaver lacks", where=model, hint="Write .onnx")
        tagger.to_weaver(out)
    elif data_config is not None:
        from sciml.jets.weaver import onnx
        from sciml.jets.weaver.config import WeaverConfig

        if not isinstance(getattr(tagger, "network", None), WeaverNetwork):
            raise InputError("has inputs of its own, which no data config changes", where=model)
        config = WeaverConfig.load(data_config)
        if len(config.classes) == len(tagger.names):
            tagger.names = class_names(config)
        onnx.export(tagger, out, config)
    else:
        tagger.to_onnx(out)
    print(out)


def standardise(
    config: tyro.conf.Positional[Path],
    files: tyro.conf.Positional[tuple[str, ...]],
    out: Out,
) -> None:
    """Fit centre and scale of the variables of a weaver data config (`method: auto`) to jets.

    The histograms of its weights are filled as well, unless the config has them or its weights are
    precomputed.

    Args:
        config: The data config (YAML).
        files: Jets; the first `data_fraction` of each file is used, as weaver does.
        out: The file of the fitted config; weaver reads it, too.
    """
    from sciml.jets.weaver.config import WeaverConfig

    if out.suffix not in (".yaml", ".yml"):
        raise InputError("must end in .yaml", where=out)
    if out.exists() and config.exists() and out.samefile(config):
        raise InputError("the output would replace the input", where=out)
    fitted = WeaverConfig.load(config)
    jets = fitted.sample(files)
    fitted.standardise(jets)
    if fitted.weights and not fitted.weights.histograms:
        fitted.find_weights(jets)
    fitted.save(out)
    print(out)


COMMANDS: dict[str, Callable[..., Any]] = {
    "tag": tag, "evaluate": evaluate, "working-points": working_points, "explain": explain,
    "attack": attack, "export": export, "standardise": standardise,
}  # fmt: skip

"""`sciml jets`: tag, evaluate, export and standardise."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from sciml.errors import InputError
from sciml.paths import keep_apart

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def open_model(model: str, trunk: str | None = None) -> Any:
    """A tagger or mass regressor by shipped name, by path, or a weaver state dict (.pt, .pth).

    Args:
        model: name or path.
        trunk: name of the caller's own trunk that the model is on.
    """
    from sciml.device import choose
    from sciml.jets import JetMassRegressor, JetTagger
    from sciml.jets.model import ENTRY, JetModel
    from sciml.weights import files

    device = choose("auto").device
    if Path(model).suffix in (".pt", ".pth"):
        if trunk is not None:
            raise InputError(f"is a published network, not one on the trunk {trunk!r}", where=model)
        return JetTagger.from_weaver(model).to(device)
    description, tensors, path = files.read(model, ENTRY, JetTagger.KIND, JetModel.HINT)
    if description.get("answer") == "data config":
        from sciml.jets.configured import ConfiguredTagger

        return ConfiguredTagger.restore(description, tensors, path, trunk=trunk).to(device)
    kind = JetMassRegressor if description.get("answer") == "mass" else JetTagger
    return kind.restore(description, tensors, path, trunk=trunk).to(device)


def tag(
    file: tyro.conf.Positional[Path],
    out: Out,
    *,
    model: str = "jets-tiny",
    trunk: str | None = None,
    keep: tuple[str, ...] = (),
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
    data_config: Path | None = None,
    step: int = 2000,
    launcher: Literal["ray"] | None = None,
    workers: int = 0,
) -> None:
    """Write the class scores of every jet of a file, in order.

    The output has `score_<class>` (float32, NaN for a faulty jet; a mass regressor gives `mass` and
    its quantiles in GeV), `flag` (0 = good; bits: 1 empty, 2 NaN or infinity, 4 zero pT, 8 energy
    below momentum), and the columns to keep. The file is streamed: it may be larger than memory.

    Args:
        file: Jets: ROOT (JetClass, nanoAOD, Delphes), Parquet, HDF5 or npz.
        out: The file of the scores, .root or .parquet.
        model: Name of a shipped model (`sciml models list`), a .safetensors file or run folder, or
            a weaver state dict (.pt).
        trunk: Your own trunk (my_trunk.py:MyTrunk or module:MyTrunk), for a model that is on it.
            This runs the code; the model's file names the trunk, but does not contain it.
        keep: Columns of the input to copy beside the scores.
        format: Format of the input; by default its content decides.
        tree: Name of the TTree or RNTuple, if a ROOT file has several.
        collection: Name of the jets in a file of events (nanoAOD: Jet, FatJet; Delphes: JetAK8).
        data_config: weaver data config (YAML) that makes the inputs, for weights of weaver (.pt) or
            a model that was trained with one (which has it inside, too). The output has the jets
            that pass its selection: `row` in the input, scores, and the config's observers.
        step: Jets read at a time.
        launcher: ray: each file of a folder or quoted pattern ('jets/*.root') is a task on a Ray
            cluster (extra: ray), and gets a file of scores of its name in the folder OUT. Files
            that fail are tried again, and listed at the end.
        workers: Tasks at a time, if the cluster is this machine; 0 = all processors.
    """
    if launcher is not None:
        options = {"model": model, "trunk": trunk, "keep": keep, "format": format, "tree": tree,
                   "collection": collection, "data_config": data_config, "step": step}  # fmt: skip
        return _tag_on_ray(file, out, options, workers)
    from sciml.jets.data.io import create, open_jets
    from sciml.jets.scores import Tally
    from sciml.train.log import Bar, console

    if step < 1:
        raise InputError(f"`step` must be >= 1, got {step}")
    keep_apart(out, file, model)
    where = {"format": format, "tree": tree, "collection": collection}
    tagger = open_model(model, trunk)
    if data_config is not None or not hasattr(tagger, "columns_of"):
        if keep or any(where.values()):
            raise InputError(
                "`keep`, `format`, `tree` and `collection` are not of models with a data config",
                hint="Name columns under `observers` and the tree as `treename` in the config",
            )
        _tag_by_config(file, out, tagger, data_config, step)
        return
    with open_jets(file, **where) as reader:
        reader.require(keep)
        clash = set(keep) & {"flag", *tagger.outputs}
        if clash:
            raise InputError(f"`keep` names columns of the output: {', '.join(sorted(clash))}")
        reader.require(tagger.columns_of(reader.columns))
        total = len(reader)
    tally = Tally(tagger.limit)
    with create(out) as writer, Bar("jets", total) as bar:
        for events, scores in tagger.stream(file, keep=keep, step=step, **where):
            columns: dict[str, Any] = {name: events[name] for name in keep}
            for index, name in enumerate(tagger.outputs):
                columns[name] = np.ascontiguousarray(scores[:, index])
            columns["flag"] = scores.flags.astype(np.int32)
            writer.write(columns)
            tally.add(scores)
            bar.advance(len(scores))
    done = f"{out}: {tally.jets} jets, {tally.faulty} faulty (score NaN, see `flag`)"
    console.print(done, soft_wrap=True)
    for remark in tally.remarks():
        console.print(remark, soft_wrap=True)


def _tag_by_config(file: Path, out: Path, tagger: Any, data_config: Path | None, step: int) -> None:
    """`tag` with the inputs of a data config."""
    from sciml.jets.configured import ConfiguredTagger, class_names, weaver_stream
    from sciml.jets.data.io import create
    from sciml.jets.networks.classifier import WeaverNetwork
    from sciml.jets.weaver.config import WeaverConfig
    from sciml.train.log import console

    config = None if data_config is None else WeaverConfig.load(data_config)
    if isinstance(tagger, ConfiguredTagger):
        batches = tagger.stream(str(file), config, step)
        config = config or tagger.config
    elif config is not None and isinstance(getattr(tagger, "network", None), WeaverNetwork):
        if len(config.classes) == len(tagger.names):
            tagger.names = class_names(config)
        batches = weaver_stream(tagger, config, str(file), step)
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


def _tag_on_ray(files: Path, out: Path, options: dict[str, Any], workers: int) -> None:
    """`tag` of each file of a folder or pattern into a .parquet file of its name in `out`."""
    from functools import partial

    from sciml.jets.data.io import expand
    from sciml.launch import ray_files
    from sciml.train.log import console

    pattern = [p for p in sorted(files.iterdir()) if p.is_file()] if files.is_dir() else files
    paths = [path.absolute() for path in expand(pattern)]
    stems = [path.name.split(".")[0] for path in paths]
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
            console.print(f"{path.name}: {result}", soft_wrap=True)
    failed = [(str(path), result) for path, result in zip(paths, results)
              if isinstance(result, ray_files.Failure)]  # fmt: skip
    ray_files.refuse(failed, len(paths), "files")


def _tag_one(options: dict[str, Any], pair: tuple[Path, Path]) -> str:
    tag(*pair, **options)
    return str(pair[1])


def evaluate(
    file: tyro.conf.Positional[Path],
    *,
    model: str = "jets-tiny",
    trunk: str | None = None,
    background: str = "QCD",
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    calibrate: Path | None = None,
    format: str | None = None,
    tree: str | None = None,
    collection: str | None = None,
) -> None:
    """Measure a model on labelled jets: accuracy, AUC, background rejection and calibration.

    Args:
        file: Labelled jets (columns `label_<class>`).
        model: As for `tag`.
        trunk: As for `tag`.
        background: The class the others are measured against.
        out: Also write the numbers as JSON.
        calibrate: Fit the model's temperature to these jets and write the calibrated model here
            (.safetensors); use jets that neither training nor a later test sees.
        format: As for `tag`.
        tree: As for `tag`.
        collection: As for `tag`.
    """
    from sciml.files.jsons import dumps
    from sciml.jets import JetTagger, metrics
    from sciml.jets.data.io import open_jets
    from sciml.paths import atomic_write
    from sciml.train.log import Bar

    keep_apart(out, file, model)
    keep_apart(calibrate, file)
    tagger = open_model(model, trunk)
    if not isinstance(tagger, JetTagger):
        raise InputError("gives masses, or has a data config", where=model)
    labels = [f"label_{name}" for name in tagger.classes]
    where: dict[str, Any] = {"format": format, "tree": tree, "collection": collection}
    with open_jets(file, **where) as reader:
        present = [name for name in labels if name in reader.columns]
        if not present:
            reader.require(labels[:1])
        total = len(reader)
    parts, truth_parts = [], []
    with Bar("jets", total) as bar:
        for events, scores in tagger.stream(file, keep=present, **where):
            one_hot = np.stack([np.asarray(events[name]) > 0 for name in present], axis=1)
            index = np.array([labels.index(name) for name in present])[one_hot.argmax(1)]
            truth_parts.append(np.where(one_hot.any(1), index, -1))
            parts.append(scores.probabilities)
            bar.advance(len(scores))
    labelled = np.concatenate(truth_parts) >= 0
    probabilities = np.concatenate(parts)[labelled]
    truth = np.concatenate(truth_parts)[labelled]
    if len(np.unique(truth)) < 2:
        raise InputError("needs labelled jets of at least two of the model's classes", where=file)
    measured = metrics.evaluate(probabilities, truth, tagger.classes, background=background)
    measured["calibration_error"] = metrics.calibration(probabilities, truth).error
    if calibrate is not None:
        measured["temperature"] = tagger.fit_temperature(probabilities, truth)
        tagger.save(calibrate)
    print(f"{len(truth)} labelled jets of {len(labelled)}")
    for name, value in measured.items():
        print(f"{name:<24} {value if isinstance(value, metrics.Rejection) else f'{value:.5f}'}")
    if out is not None:
        plain = {
            k: dataclasses.asdict(v) if isinstance(v, metrics.Rejection) else v
            for k, v in measured.items()
        }
        with atomic_write(out) as temporary:
            temporary.write_text(dumps({"jets": len(truth), **plain}, indent=1) + "\n")


def export(
    file: tyro.conf.Positional[Path | None] = None,
    *,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    model: str = "jets-tiny",
    trunk: str | None = None,
) -> None:
    """Write a model as ONNX (dynamic number of jets and particles) with preprocess.json beside it.

    Args:
        file: Former way to name the output.
        out: The .onnx file; a .pt file is written in weaver's layout instead (weaver models only).
        model: As for `tag`.
        trunk: As for `tag`.
    """
    from sciml.jets import JetTagger

    if file is not None and out is None:
        print("sciml: note: the output of `export` is now named by --out", file=sys.stderr)
        out = file
    elif out is None or file is not None:
        raise InputError("needs one file to write", hint="Name it with --out")
    tagger = open_model(model, trunk)
    if not isinstance(tagger, JetTagger):
        raise InputError("only a tagger of classes can be exported, not one of masses", where=model)
    if out.suffix in (".pt", ".pth"):
        tagger.to_weaver(out)
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
    "tag": tag, "evaluate": evaluate, "export": export,
    "standardise": standardise,
}  # fmt: skip

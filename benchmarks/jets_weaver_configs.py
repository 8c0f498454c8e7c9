"""Weaver's data configs: which load here, and whether their values equal weaver-core's.

    pip install --no-deps weaver-core==0.5.3 tqdm
    python benchmarks/jets_weaver_configs.py FOLDER    # results/weaver_configs.json

FOLDER holds YAML files of other people, e.g. checkouts of hqucms/weaver-examples; they are read and
not kept: the result has their names, digests and outcomes. Every config is given the same made-up
jets by both packages: selection, new variables, standardisation, padding, labels, observers and
weights are compared, each to 2e-5 of the larger of 1 and the value.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import sys
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import tyro
import yaml
from machine import processor

from sciml.errors import InputError
from sciml.jets.weaver.config import WeaverConfig

RESULTS = Path(__file__).parent / "results/weaver_configs.json"
TOLERANCE = 2e-5
JETS = 250
_PER_JET = re.compile(
    r"(jet|fj|ak8|ak4|fatjet|event|ev|gen|genjet|n[A-Z]?|label|sample|is|npv|rho|met|aux|target|"
    r"process|weight|class|top|truth|lep|p2_|p_)", re.I
)  # fmt: skip
_FLAG = re.compile(r"(^is|_is|label|isQCD|flag|_flav)", re.I)
_SIGNED = re.compile(r"(eta|phi|d0|dz|dxy|px|py|pz|sip|charge|cos|log|proj)", re.I)


@dataclass
class Outcome:
    """What the two packages made of one config."""

    weaver: str
    """"runs", or why not."""
    sciml: str
    """"equal", "differs", "loads" (weaver does not run it) or "refused"."""
    reason: str = ""
    largest_difference: float | None = None


def branches(config: Any, lists: set[str], seed: int = 0) -> ak.Array:
    """Made-up columns for all branches that a config reads; those in `lists` have lists per jet."""
    rng = np.random.default_rng(seed)
    counts: dict[str, np.ndarray] = {}
    columns: dict[str, Any] = {}
    needed = config.train_load_branches | config.test_load_branches
    for name in sorted(needed):
        group = re.split(r"[_]", name)[0]
        if name in lists and group not in counts:
            counts[group] = rng.integers(0, 12, JETS)
            counts[group][:3] = 0, 1, 140
        size = int(counts[group].sum()) if name in lists else JETS
        if _FLAG.search(name):
            values: np.ndarray = rng.integers(0, 2, size)
        elif re.search(r"charge|ctau|npv|nparticles|hit|number|idx|index|pdg|flavour", name, re.I):
            values = rng.integers(-2, 6, size)
        elif _SIGNED.search(name):
            values = rng.normal(0, 1.5, size).astype(np.float32)
        else:
            values = rng.exponential(120, size).astype(np.float32)
        columns[name] = ak.unflatten(values, counts[group]) if name in lists else values
    return ak.zip(columns, depth_limit=1)


def guesses(config: Any) -> list[set[str]]:
    """Which branches have lists, the likeliest guess first."""
    from weaver.utils.data.eval_utils import _get_data_var_names

    def raw(names: Any) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in config.var_funcs:
                waiting += _get_data_var_names(config.var_funcs[name])
            else:
                found.add(name)
        return found

    of_lists: set[str] = set()
    for name, variables in config.input_dicts.items():
        if config.preprocess_params[variables[0]]["length"] != 1:
            of_lists |= raw(variables)
        elif name.endswith("_mask"):
            of_lists |= raw(variables)
    scalar = raw(config.label_names)
    for expression in (config.selection, config.test_time_selection):
        scalar |= raw(_get_data_var_names(expression)) if expression else set()
    if config.weight_name and not config.use_precomputed_weights:
        scalar |= raw(config.reweight_branches + config.reweight_classes)
    likely = {n for n in of_lists if not _PER_JET.match(n)}
    wide = {n for n in of_lists if not re.match(r"jet|fj|event|ak8|n[A-Z]|label", n)}
    return [likely, of_lists - scalar, likely - scalar, wide, of_lists, set()]


def by_weaver(options: dict[str, Any], lists: int) -> tuple[ak.Array, dict[str, Any]]:
    """Jets, and what weaver makes of them without the selection, which is one of the values."""
    from weaver.utils.data import preprocess
    from weaver.utils.data.config import DataConfig
    from weaver.utils.data.eval_utils import _eval_expr
    from weaver.utils.dataset import _finalize_inputs

    config = DataConfig(print_info=False, **copy.deepcopy(options))
    events = branches(config, guesses(config)[lists])
    values: dict[str, Any] = {}
    for kind, selection in (("train", config.selection), ("test", config.test_time_selection)):
        if selection:
            table = copy.copy(events)
            functions = {k: v for k, v in config.var_funcs.items()}
            needed = {k: functions[k] for k in preprocess._get_data_var_names(selection)
                      if k in functions}  # fmt: skip
            table = preprocess._build_new_variables(table, needed)
            mask = ak.values_astype(_eval_expr(selection, table), "bool")
            values[f"selection of {kind}"] = np.broadcast_to(ak.to_numpy(mask), JETS)
    if config._missing_standardization_info:
        maker = preprocess.AutoStandardizer([], config)
        table = preprocess._build_new_variables(copy.copy(events), config.test_var_funcs)
        config.preprocess_params = maker.make_preprocess_params(table)
    if config.weight_name:
        table = preprocess._build_new_variables(copy.copy(events), config.train_var_funcs)
        if not config.use_precomputed_weights and config.reweight_hists is None:
            try:
                config.reweight_hists = preprocess.WeightMaker([], config).make_weights(
                    copy.copy(table)
                )
            except (ValueError, IndexError):
                config.weight_name = None  # these jets fill no bin
        if config.weight_name:
            values["weights"] = preprocess._build_weights(table, config)
    table = preprocess._build_new_variables(copy.copy(events), config.test_var_funcs)
    result = _finalize_inputs(table, config)
    for name in config.input_names:
        values[f"input {name}"] = result[f"_{name}"]
    for name in config.label_names:
        values[f"label {name}"] = result[name]
    for name in config.observer_names:
        values[f"observer {name}"] = result[name]
    return events, values


def by_sciml(path: Path, events: ak.Array, weights: bool) -> dict[str, Any]:
    """The same values from this package."""
    config = WeaverConfig.load(path)
    values: dict[str, Any] = {}
    for kind, train in (("train", True), ("test", False)):
        if config.selected_by(train):
            mask = np.zeros(len(events), bool)
            mask[config.table(events, train)[1]] = True
            values[f"selection of {kind}"] = mask
    config.selection = config.test_selection = None
    config.standardise(events, train=False)
    if weights and config.weights:
        if not config.weights.histograms:
            config.find_weights(events)
        table, _ = config.table(events)
        values["weights"] = config.weights.of(table, path)
    batch = config.batch(events, train=False)
    values |= {f"input {name}": value for name, value in batch.inputs.items()}
    values |= {f"label {name}": value for name, value in batch.labels.items()}
    return values | {f"observer {name}": value for name, value in batch.observers.items()}


def difference(one: Any, other: Any) -> float:
    """Largest difference, relative where values exceed 1; infinite for other shapes."""
    flat = []
    for value in (one, other):
        if isinstance(value, ak.Array):
            value = ak.to_numpy(ak.flatten(value, axis=None))
        flat.append(np.asarray(value, np.float64))
    if flat[0].shape != flat[1].shape:
        return float("inf")
    if not flat[0].size:
        return 0.0
    a, b = flat
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0, np.abs(a - b) / np.maximum(1, np.abs(a)))
    return float(np.nan_to_num(gap, nan=np.inf).max())


def compare(path: Path) -> Outcome:
    """One config through both."""
    from weaver.utils.data.config import DataConfig

    events = None
    try:
        with open(path) as file:
            options = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        DataConfig(print_info=False, **copy.deepcopy(options))
        fault: Exception | None = None
        for lists in range(6):
            try:
                events, expected = by_weaver(options, lists)
                break
            except Exception as error:
                fault = fault or error
        if events is None and fault is not None:
            raise fault
        weaver = "runs"
    except Exception as error:
        reason = " ".join(str(error).split()).replace(str(path), path.name)
        weaver = f"{type(error).__name__}: {reason}"[:160]
    if events is None:
        try:
            WeaverConfig.load(path)
        except InputError as error:
            return Outcome(weaver, "refused", error.what[:200])
        return Outcome(weaver, "loads")
    try:
        values = by_sciml(path, events, "weights" in expected)
    except InputError as error:
        return Outcome(weaver, "refused", str(error).replace(str(path), path.name)[:200])
    gaps = {name: difference(value, values[name]) if name in values else np.inf
            for name, value in expected.items()}  # fmt: skip
    worst = max(gaps, key=lambda name: gaps[name])
    if gaps[worst] <= TOLERANCE:
        return Outcome(weaver, "equal", largest_difference=gaps[worst])
    return Outcome(weaver, "differs", worst, gaps[worst] if np.isfinite(gaps[worst]) else None)


def main(folder: Path, verbose: bool = False) -> None:
    """Compare all configs in a folder.

    Args:
        folder: YAML files in subfolders, one per repository.
        verbose: print the outcome of each.
    """
    from weaver.utils.data import preprocess

    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    preprocess.time = SimpleNamespace(sleep=lambda seconds: None)  # it sleeps after warnings
    configs: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for path in sorted(folder.rglob("*.y*ml")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        if digest in seen:
            continue
        seen.add(digest)
        try:
            outcome = compare(path)
        except Exception:
            print(path, file=sys.stderr)
            traceback.print_exc()
            raise
        entry = {k: v for k, v in vars(outcome).items() if v not in ("", None)}
        configs[str(path.relative_to(folder))] = {"sha256": digest, **entry}
        if verbose:
            print(path.relative_to(folder), *entry.values(), sep=" | ", flush=True)
    runs = [c for c in configs.values() if c["weaver"] == "runs"]
    summary = {
        "configs": len(configs),
        "run by weaver": len(runs),
        "of those": dict(Counter(c["sciml"] for c in runs)),
        "not run by weaver": dict(
            Counter(c["sciml"] for c in configs.values() if c["weaver"] != "runs")
        ),
    }
    print(summary)
    result = {
        "what": "weaver data configs through weaver-core and sciml on the same made-up jets",
        "weaver_core": version("weaver-core"), "awkward": version("awkward"),
        "device": processor(), "date": date.today().isoformat(), "tolerance": TOLERANCE,
        "summary": summary, "configs": configs,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)

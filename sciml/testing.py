"""Tests of the contract of a trunk, or of any module on a batch; also for the user's own.

    >>> from sciml import testing, trunks
    >>> errors = testing.check_trunk(trunks.build("pair_transformer", dim=16, heads=2, depth=1),
    ...                              verbose=False)

Each check prints the error of every output against its tolerance, returns them, and raises
`AssertionError` with the same table when one is too large. An error is the largest absolute
difference over the largest absolute value expected of that output.

The default tolerances are 1e-5 in float32, 1e-12 in float64, and 1e-6 for gradients by differences.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sciml import graph, symmetry
from sciml.errors import InputError, unknown
from sciml.nn.layers import pair_mask
from sciml.pretended_device import DeviceFault, PretendedDevice
from sciml.random_graphs import batch_for, random_batch
from sciml.symmetry import GROUPS, Kind, outputs_of, real_rows, transform

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.trunks.base import Trunk
else:
    Data = Trunk = Any

__all__ = [
    "DeviceFault",
    "PretendedDevice",
    "assert_batch_invariant",
    "assert_equivariant",
    "assert_finite",
    "assert_gradients",
    "assert_layouts_agree",
    "assert_padding_invariant",
    "assert_sensitive",
    "batch_for",
    "check_trunk",
    "random_batch",
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SHOWN = 8
"""Maximum number of lines that a check prints, the worst first."""


@contextmanager
def _evaluating(module: nn.Module):
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _run(module: nn.Module, batch: Data) -> dict[str, Tensor]:
    with _evaluating(module), torch.no_grad():
        return outputs_of(module(copy.copy(batch)))


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute value; inf for NaN or other shapes."""
    if got.shape != expected.shape:
        return float("inf")
    if got.numel() == 0:
        return 0.0
    got, expected = got.detach().double(), expected.detach().double()
    difference = (got - expected).abs().max()
    scale = expected.abs().max()
    error = float(difference / scale) if scale > 0 else float(difference)
    return error if error == error else float("inf")


def _default(module: nn.Module) -> Data:
    if not hasattr(module, "symmetries"):
        raise InputError("a module that is not a trunk needs a `batch` to be checked on")
    return batch_for(cast("Trunk", module))


def _verdict(
    what: str, errors: Mapping[str, float], tolerance: float, verbose: bool
) -> dict[str, float]:
    worst = sorted(errors, key=lambda name: -errors[name])
    lines = [
        f"{what}: {name:<24} error {errors[name]:8.2e}  "
        f"{'ok' if errors[name] <= tolerance else 'TOO LARGE'} (tolerance {tolerance:.0e})"
        for name in (errors if len(errors) <= SHOWN else worst[:SHOWN])
    ]
    if len(errors) > SHOWN:
        lines.append(f"{what}: {len(errors) - SHOWN} more with smaller errors")
    table = "\n".join(lines)
    if verbose:
        print(table)
    if not errors:
        raise AssertionError(f"{what}: the module returned no floating-point output")
    if any(not error <= tolerance for error in errors.values()):
        raise AssertionError(table)
    return dict(errors)


def _tolerance(tolerance: float | None, batch: Data) -> float:
    return TOLERANCE.get(batch.x.dtype, 1e-2) if tolerance is None else tolerance


def assert_equivariant(
    module: nn.Module,
    group: str = "O(3)",
    batch: Data | None = None,
    *,
    kinds: Mapping[str, Kind] | None = None,
    tolerance: float | None = None,
    trials: int = 3,
    seed: int = 0,
    verbose: bool = True,
) -> dict[str, float]:
    """Acting on the input and then applying the module equals applying it and then acting.

    Args:
        module: called as `module(batch)`; returns a tensor, a mapping, a tuple or `Encoded`.
        group: one of `GROUPS`.
        batch: to test on; by default random graphs that fit a trunk.
        kinds: how outputs transform (see `transform`); "vectors" is a "vector" and everything
            else is "invariant" unless named here.
        tolerance: largest error allowed; by default that of the batch's precision.
        trials: random group elements to try; for O(3) and E(3) every second is a reflection.
        seed: of these.
        verbose: print the errors.

    Returns:
        the largest error of each output.

    Raises:
        AssertionError: an error above the tolerance.
        InputError: unknown group, or a batch without `pos`.
    """
    if group not in GROUPS:
        raise unknown("group", group, GROUPS)
    batch = _default(module) if batch is None else batch
    kinds = {"vectors": "vector", **(kinds or {})}
    if group != "permutation" and graph.optional(batch, "pos") is None:
        raise InputError(f"{group} acts on positions, but the batch has no `pos`")
    generator = torch.Generator().manual_seed(seed)
    before = _run(module, batch)
    errors = dict.fromkeys(before, 0.0)
    for trial in range(trials):
        if group == "permutation":
            order = symmetry.random_order(batch, generator)
            after = _run(module, symmetry.reorder(batch, order))
            expected = {
                name: symmetry.reorder_output(value, batch, order) for name, value in before.items()
            }
        else:
            element = symmetry.random_element(group, generator, improper=trial % 2 == 0)
            after = _run(module, symmetry.act(batch, element))
            expected = {
                name: transform(value, kinds.get(name, "invariant"), element)
                for name, value in before.items()
            }
        for name, value in expected.items():
            error = relative_error(after[name], value)
            errors[name] = max(errors[name], error)
    return _verdict(group, errors, _tolerance(tolerance, batch), verbose)


def assert_padding_invariant(
    module: nn.Module,
    batch: Data | None = None,
    *,
    extra: int = 5,
    tolerance: float | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """Padding does not matter: neither its amount nor its values; padded rows of `nodes` are zeros.

    Args:
        module, tolerance, verbose: see `assert_equivariant`.
        batch: a dense batch.
        extra: rows of padding to add.

    Raises:
        AssertionError: an output changed.
    """
    batch = _default(module) if batch is None else batch
    b, n = batch.mask.shape
    padded = copy.copy(batch)
    padded.mask = torch.cat([batch.mask, batch.mask.new_zeros(b, extra)], 1)
    for key in batch.keys():
        value = batch[key]
        if graph.is_node_key(key) or graph.is_pair_key(key):
            axes = 2 if graph.is_pair_key(key) else 1
            more = value.new_zeros((b,) + (n + extra,) * axes + value.shape[1 + axes :])
            (more[:, :n, :n] if axes == 2 else more[:, :n]).copy_(value)
            keep = padded.mask if axes == 1 else pair_mask(padded.mask)
            if more.is_floating_point():
                more = torch.where(
                    keep.view(keep.shape + (1,) * (more.ndim - keep.ndim)), more, 3 + more.cos()
                )
            padded[key] = more
    before, after = real_rows(_run(module, batch), batch), _run(module, padded)
    real = real_rows(after, padded)
    errors = {name: relative_error(real[name], value) for name, value in before.items()}
    if "nodes" in after:
        errors["nodes of padding"] = float(after["nodes"][~padded.mask].abs().max())
    return _verdict("padding", errors, _tolerance(tolerance, batch), verbose)


def assert_batch_invariant(
    module: nn.Module,
    batch: Data | None = None,
    *,
    tolerance: float | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """A graph's outputs do not depend on which other graphs are in the batch.

    Raises:
        AssertionError: a graph alone gives another result than among others.
    """
    batch = _default(module) if batch is None else batch
    together = real_rows(_run(module, batch), batch)
    parts = graph.split(batch, graph.number_of_graphs(batch))
    alone = [real_rows(_run(module, part), part) for part in parts]
    errors = {
        name: relative_error(torch.cat([part[name] for part in alone]), value)
        for name, value in together.items()
    }
    return _verdict("batch composition", errors, _tolerance(tolerance, batch), verbose)


def assert_layouts_agree(
    module: nn.Module,
    batch: Data | None = None,
    *,
    tolerance: float | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """A dense batch and the same batch made ragged give the same.

    Raises:
        AssertionError: they do not.
    """
    batch = _default(module) if batch is None else batch
    other = graph.ragged(batch)
    dense, ragged = (real_rows(_run(module, each), each) for each in (batch, other))
    errors = {name: relative_error(ragged[name], value) for name, value in dense.items()}
    return _verdict("dense = ragged", errors, _tolerance(tolerance, batch), verbose)


def assert_sensitive(
    module: nn.Module,
    keys: Sequence[str] = ("x",),
    batch: Data | None = None,
    *,
    least: float = 1e-4,
    verbose: bool = True,
) -> dict[str, float]:
    """No input is ignored: perturbing it changes some output.

    Args:
        module, batch, verbose: see `assert_equivariant`.
        keys: of the batch.
        least: relative change of the most changed output below which the input counts as ignored.

    Raises:
        AssertionError: an input is ignored.
    """
    batch = _default(module) if batch is None else batch
    before = _run(module, batch)
    changes = {}
    for key in keys:
        moved = copy.copy(batch)
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(batch[key].shape, generator=generator, dtype=torch.float64)
        moved[key] = batch[key] + 0.3 * noise.to(batch[key])
        after = _run(module, moved)
        changes[key] = max(relative_error(after[name], value) for name, value in before.items())
        if verbose:
            print(f"sensitivity: {key:<24} change {changes[key]:8.2e}  (at least {least:.0e})")
    ignored = [key for key, change in changes.items() if not change >= least]
    if ignored:
        raise AssertionError(f"outputs do not depend on {ignored}: changes {changes}")
    return changes


def assert_gradients(
    module: nn.Module,
    batch: Data | None = None,
    *,
    keys: Sequence[str] = ("x", "pos", "pair", "edge_attr"),
    tolerance: float = 1e-6,
    step: float = 1e-5,
    each: bool = False,
    verbose: bool = True,
) -> dict[str, float]:
    """Derivatives along random directions equal central differences, in float64.

    One direction for each floating-point input among `keys`, and one through all parameters at
    once; if that one is wrong, one for each parameter, to name the culprit.

    Args:
        module: run as a float64 copy.
        batch: to test on.
        keys: inputs to differentiate by, where the batch holds them.
        tolerance: largest difference, relative to the larger derivative or to a hundredth of the
            outputs' norm: below that, a difference is round-off.
        step: of the difference.
        each: one direction for each parameter from the start.
        verbose: print the errors.

    Raises:
        AssertionError: a derivative is wrong or not finite.
    """
    batch = copy.copy(_default(module) if batch is None else batch)
    module = copy.deepcopy(module).double().eval()
    inputs: dict[str, Tensor] = {}
    for key in batch.keys():
        if batch[key].is_floating_point():
            batch[key] = batch[key].detach().double()
            if key in keys:
                inputs[key] = batch[key].requires_grad_()
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}

    def normal(template: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(template.shape, generator=generator, dtype=torch.float64)

    def scalar() -> Tensor:
        outputs = outputs_of(module(copy.copy(batch))).values()
        terms = [(v * normal(v, i)).sum() for i, v in enumerate(outputs) if v.requires_grad]
        if not terms:
            raise AssertionError("no output depends on the inputs or parameters")
        return torch.stack(terms).sum()

    leaves = {**inputs, **parameters}
    gradients = dict(
        zip(leaves, torch.autograd.grad(scalar(), list(leaves.values()), allow_unused=True))
    )
    norm = sum(float(v.detach().square().sum()) for v in _run(module, batch).values()) ** 0.5

    def error(names: Sequence[str]) -> float:
        size = max(1, sum(leaves[name].numel() for name in names)) ** 0.5
        directions = {name: normal(leaves[name], 9 + i) / size for i, name in enumerate(names)}
        exact = 0.0
        for name, direction in directions.items():
            gradient = gradients[name]
            exact += 0.0 if gradient is None else float((gradient * direction).sum())
        originals = {name: leaves[name].detach().clone() for name in names}
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for name, direction in directions.items():
                    leaves[name].copy_(originals[name] + sign * step * direction)
            ends.append(float(scalar().detach()))
        with torch.no_grad():
            for name, original in originals.items():
                leaves[name].copy_(original)
        numeric = (ends[0] - ends[1]) / (2 * step)
        difference = abs(exact - numeric) / max(abs(exact), abs(numeric), 1e-2 * norm, 1e-3)
        return difference if difference == difference else float("inf")

    errors = {name: error([name]) for name in inputs}
    if parameters:
        errors["parameters"] = error(list(parameters))
        if each or not errors["parameters"] <= tolerance:
            errors.update({name: error([name]) for name in parameters})
    return _verdict("gradient", errors, tolerance, verbose)


def assert_finite(module: nn.Module, batch: Data, *, verbose: bool = True) -> dict[str, float]:
    """Outputs and gradients are finite, and a graph without nodes gives zeros in `graph`.

    Raises:
        AssertionError: they are not.
    """
    module = copy.deepcopy(module).eval()
    outputs = outputs_of(module(copy.copy(batch)))
    bad = {name: float((~value.isfinite()).sum()) for name, value in outputs.items()}
    learned = [value.square().sum() for value in outputs.values() if value.requires_grad]
    if learned:
        torch.stack(learned).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            count = float((~parameter.grad.isfinite()).sum())
            if count:
                bad[f"gradient of {name}"] = count
    empty = graph.sizes(batch) == 0
    if "graph" in outputs and bool(empty.any()):
        bad["graph of no nodes"] = float(outputs["graph"][empty].detach().abs().max())
    return _verdict("finite", bad, 0.0, verbose)


def check_trunk(trunk: Trunk, *, seed: int = 0, verbose: bool = True) -> dict[str, float]:
    """The full contract of a trunk, on random graphs in both layouts.

    Symmetries (those in `trunk.symmetries`), padding, batch composition, agreement of the
    layouts, sensitivity to every input it reads, gradients, graphs without nodes. The trunk keeps
    its parameters; random ones are better than freshly initialised zeros.

    Args:
        trunk: a `sciml.trunks.base.Trunk`, in float32 or float64.
        seed: of the graphs.
        verbose: print every error.

    Returns:
        the error of each check and output.

    Raises:
        AssertionError: a check fails.
    """
    errors: dict[str, float] = {}

    def note(check: str, errors_of: Mapping[str, float]) -> None:
        errors.update({f"{check}: {name}": error for name, error in errors_of.items()})

    dense, ragged = (batch_for(trunk, kind, seed=seed) for kind in ("dense", "ragged"))
    for batch in (dense, ragged):
        kind = graph.layout(batch)
        for group in trunk.symmetries:
            note(f"{group}, {kind}", assert_equivariant(trunk, group, batch, verbose=verbose))
        note(f"batch, {kind}", assert_batch_invariant(trunk, batch, verbose=verbose))
        keys = ["x"]
        keys += ["pos"] * (len(trunk.symmetries) > 1)
        keys += [key for key in ("pair", "edge_attr") if trunk.pair_dim and key in batch]
        assert_sensitive(trunk, keys, batch, verbose=verbose)
        some_empty = batch_for(trunk, kind, sizes=(0, 4, 1, 0), seed=seed)
        note(f"finite, {kind}", assert_finite(trunk, some_empty, verbose=verbose))
        no_node = batch_for(trunk, kind, sizes=(0, 0), seed=seed)
        note(f"no nodes, {kind}", assert_finite(trunk, no_node, verbose=verbose))
    note("padding", assert_padding_invariant(trunk, dense, verbose=verbose))
    note("layouts", assert_layouts_agree(trunk, dense, verbose=verbose))
    note("gradient", assert_gradients(trunk, ragged, verbose=verbose))
    note("gradient, dense", assert_gradients(trunk, dense, verbose=verbose))
    return errors

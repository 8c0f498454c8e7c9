"""Each module of AlphaFold-Multimer beside the public JAX network's, all parameters random.

    python benchmarks/protein_modules.py --reference-python VENV/bin/python

VENV is the environment that tests/fixtures/make/alphafold_network.py names. The network of the
published channels, with few blocks, runs once on two chains with templates and padding; what enters
and leaves every module is recorded. Each module of this package is then given the same input. Said
is the largest difference over the largest value of the output, where residues, rows and pairs are
real, over all blocks, layers and templates; chains of modules are not compared here but in
`protein_parity.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
MAKER = HERE.parents[1] / "tests" / "fixtures" / "make" / "alphafold_multimer.py"
SIZES: dict[str, Any] = {
    "chains": [(19, 1), (14, 2)], "s": 9, "e": 13, "surplus": 3, "t": 3, "padded": 3, "seed": 21,
}  # fmt: skip
BLOCKS, EXTRA = 2, 1
BOUND = 1e-5
STACKS = {"evoformer_iteration": "evoformer", "extra_msa_stack": "extra_stack"}
BLOCK = {
    "outer_product_mean": "outer_product_mean",
    "msa_row_attention_with_pair_bias": "row_attention",
    "msa_column_attention": "column_attention",
    "msa_column_global_attention": "column_attention",
    "msa_transition": "msa_transition",
    "triangle_multiplication_outgoing": "pair_update.tri_mul_out",
    "triangle_multiplication_incoming": "pair_update.tri_mul_in",
    "triangle_attention_starting_node": "pair_update.tri_att_start",
    "triangle_attention_ending_node": "pair_update.tri_att_end",
    "pair_transition": "pair_update.pair_transition",
}
"""Modules of a block by the published name, and where they are here."""


# ------------------------------------------------------------------- in the environment of JAX


def reference(folder: Path) -> None:
    """Run the JAX network, and record what enters and leaves its modules."""
    import haiku as hk
    import jax

    specification = importlib.util.spec_from_file_location("make", MAKER)
    assert specification is not None and specification.loader is not None
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    c = make.configuration(BLOCKS, EXTRA, SIZES["s"], SIZES["e"], True, small=False)
    features = make.random_features(**SIZES)
    network, _, previous, shapes = make.prepared(c, features)
    g = np.random.default_rng(SIZES["seed"])
    previous = {k: g.normal(size=v.shape).astype("f4") for k, v in previous.items()}
    flat = make.random_parameters(shapes, SIZES["seed"] + 1)
    parameters: dict[str, dict] = {}
    for key, value in flat.items():
        module, end = key.split("//")
        parameters.setdefault(module, {})[end] = value
    n = len(features["aatype"])
    batch = {**features, "prev": previous, "all_atom_positions": np.zeros((n, 37, 3), "f4")}
    batch = jax.tree_util.tree_map(jax.numpy.asarray, batch)
    record: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}

    def note(key: str, value: Any) -> None:
        if isinstance(value, dict | list | tuple):
            named = value.items() if isinstance(value, dict) else enumerate(value)
            for name, part in named:
                note(f"{key}/{name}", part)
            return
        value = value.to_array() if hasattr(value, "to_array") else value  # frames and points
        if hasattr(value, "shape"):
            record[key] = np.asarray(value)

    def intercept(call: Callable, args: tuple, options: dict, context: Any) -> Any:
        result = call(*args, **options)
        name = context.module.module_name.replace("__layer_stack_no_state/", "")
        if context.method_name == "_relative_encoding":
            name += "/~_relative_encoding"
        elif context.method_name != "__call__":
            return result
        leaves = jax.tree_util.tree_leaves(result)
        if name.split("/")[-1] in WANTED and not any(
            isinstance(x, jax.core.Tracer) for x in leaves
        ):
            number = counts[name] = counts.get(name, -1) + 1
            for place, value in [*enumerate(args), *options.items()]:
                note(f"{name}#{number}#{place}", value)
            note(f"{name}#{number}#out", result)
        return result

    with jax.disable_jit(), hk.intercept_methods(intercept):
        network.apply(parameters, make.KEY, batch)
    for file, arrays in (("params", flat), ("batch", features), ("record", record)):
        np.savez(folder / f"{file}.npz", **arrays)


WANTED = {
    *BLOCK, "~_relative_encoding", "template_embedding", "invariant_point_attention", "quat_rigid",
    "rigid_sidechain", "masked_msa_head", "distogram_head", "predicted_lddt_head",
    "predicted_aligned_error_head", "experimentally_resolved_head",
}  # fmt: skip


# ------------------------------------------------------------------- in the package's environment

Row = tuple[str, np.ndarray, np.ndarray, np.ndarray]
"""Published name of a module, this package's output, the published one, which cells are real."""


def compare(folder: Path) -> dict[str, dict[str, Any]]:
    """Of each module its largest relative difference, over all its calls, and their number."""
    import torch

    from sciml.protein import StructurePredictor

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = StructurePredictor.from_alphafold(folder / "params.npz", "cpu").model
    record, batch = (dict(np.load(folder / f"{k}.npz")) for k in ("record", "batch"))
    table: dict[str, dict[str, Any]] = {}
    with torch.no_grad():
        for name, ours, theirs, real in rows(model, record, batch):
            keep = np.broadcast_to(real, theirs.shape)
            if not np.isfinite(ours[keep]).all():
                raise SystemExit(f"{name}: not finite")
            worst = float(np.abs(ours - theirs)[keep].max() / np.abs(theirs[keep]).max())
            entry = table.setdefault(name, {"worst": 0.0, "calls": 0, "largest": 0.0})
            entry["worst"] = max(entry["worst"], worst)
            entry["largest"] = max(entry["largest"], float(np.abs(theirs[keep]).max()))
            entry["calls"] += 1
    return table


def calls(record: dict[str, np.ndarray], end: str) -> Iterator[dict[str, np.ndarray]]:
    """What enters and leaves every call of the module whose name ends so, in their order."""
    starts = sorted(
        {key.rsplit("#", 1)[0] for key in record if key.rsplit("#", 2)[0].endswith(end)},
        key=lambda key: int(key.rsplit("#", 1)[1]),
    )
    for start in starts:
        yield {k[len(start) + 1 :]: v for k, v in record.items() if k.startswith(start + "#")}


def rows(model: Any, record: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> Iterator[Row]:
    """Both outputs of every call of every module."""
    yield from blocks(model, record)
    yield from embedders(model, record, batch)
    yield from structure(model, record, batch)
    yield from heads(model, record, batch)


def tensor(value: np.ndarray) -> Any:
    """With a batch dimension in front."""
    import torch

    return torch.as_tensor(np.array(value))[None]


def blocks(model: Any, record: dict[str, np.ndarray]) -> Iterator[Row]:
    """The parts of the blocks of three stacks."""
    stacks = [(name, getattr(model, ours)) for name, ours in STACKS.items()]
    stacks.append(("template_embedding_iteration", model.template_embedder.blocks))
    for stack, layers in stacks:
        for name, place in BLOCK.items():
            for number, call in enumerate(calls(record, f"{stack}/{name}")):
                # Templates go through the same blocks one after another.
                block = layers[number % len(layers)]
                own = place if stack in STACKS else place.removeprefix("pair_update.")
                module = block.get_submodule(own)
                x: np.ndarray = call["0"]
                mask: np.ndarray = np.asarray(call["1"]) > 0
                arguments = [tensor(x), tensor(mask)]
                if "pair_act" in call:
                    arguments.insert(1, tensor(call["pair_act"]))
                elif name.endswith("transition"):
                    arguments = arguments[:1]
                out = module(*arguments)[0].numpy()
                real: np.ndarray = mask
                if name == "outer_product_mean":
                    columns = np.any(mask, axis=0)
                    real = columns[:, None] & columns
                yield f"{stack}/{name}", out, call["out"], real[..., None]


def embedders(
    model: Any, record: dict[str, np.ndarray], batch: dict[str, np.ndarray]
) -> Iterator[Row]:
    """Relative positions, and the embedding of all templates."""
    real = batch["seq_mask"] > 0
    pairs = (real[:, None] & real)[..., None]
    features = {k: tensor(v) for k, v in batch.items() if "/" not in k}
    for key in ("asym_id", "entity_id", "sym_id", "residue_index"):
        features[key] = features[key].long()
    for call in calls(record, "/~_relative_encoding"):
        out = model.input_embedder.relative(features, slice(None))[0].numpy()
        yield "relative encoding", out, call["out"], pairs
    features["template_all_atom_masks"] = features["template_all_atom_mask"]
    features["template_aatype"] = features["template_aatype"].long()
    for call in calls(record, "/template_embedding"):
        z = tensor(call["query_embedding"])
        embedder, both = model.template_embedder, tensor(call["padding_mask_2d"] > 0)
        out = embedder(z.clone(), features, both, embedder.present(features).cpu()) - z
        yield "template_embedding", out[0].numpy(), call["out"], pairs


def structure(
    model: Any, record: dict[str, np.ndarray], batch: dict[str, np.ndarray]
) -> Iterator[Row]:
    """The layers of the structure module: attention, update of the frames, torsions, atoms."""
    import torch

    module, real = model.structure_module, batch["seq_mask"] > 0
    for call in calls(record, "/invariant_point_attention"):
        rigid = call["rigid"]
        z = tensor(call["inputs_2d"])
        out = module.ipa(
            tensor(call["inputs_1d"]), z, tensor(rigid[..., :3]), tensor(rigid[..., 3]),
            tensor(real), module.ipa.pair_logits(z),
        )  # fmt: skip
        yield "invariant_point_attention", out[0].numpy(), call["out"], real[:, None]
    from sciml.nn.frames import rotation_from_quaternion

    for call in calls(record, "/quat_rigid"):
        turn, step = module.linear_update(tensor(call["0"])).split(3, -1)
        quaternion = torch.nn.functional.pad(turn, (1, 0), value=1.0)
        rotation = rotation_from_quaternion(quaternion / quaternion.norm(dim=-1, keepdim=True))
        out = torch.cat([rotation, step[..., None]], -1)
        yield "quat_rigid", out[0].numpy(), call["out"], real[:, None, None]
    for call in calls(record, "/rigid_sidechain"):
        angles, raw = module.angles(tensor(call["1/0"]), tensor(call["1/1"]))
        for key, ours in (("angles_sin_cos", angles), ("unnormalized_angles_sin_cos", raw)):
            theirs = call[f"out/{key}"]
            yield f"rigid_sidechain/{key}", ours[0].numpy(), theirs, real[:, None, None]
        rigid = call["0"]
        groups, origins, _ = module.build_atoms(
            tensor(call["2"]).long(), tensor(rigid[..., :3]), tensor(rigid[..., 3]),
            tensor(call["out/angles_sin_cos"]),
        )  # fmt: skip
        frames = torch.cat([groups, origins[..., None]], -1)[0].numpy()
        if "out/frames" in call:
            theirs = call["out/frames"]
            yield "rigid_sidechain/frames", frames, theirs, real[:, None, None, None]


def heads(model: Any, record: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> Iterator[Row]:
    """The heads on the published representations."""
    real = batch["seq_mask"] > 0
    pairs = (real[:, None] & real)[..., None]
    cells = (batch["msa_mask"][: SIZES["s"]] > 0)[..., None]
    named = {
        "masked_msa_head": (model.head_masked_msa, "msa", cells),
        "distogram_head": (model.head_distogram, "pair", pairs),
        "predicted_lddt_head": (model.head_plddt, "structure_module", real[:, None]),
        "predicted_aligned_error_head": (model.head_pae, "pair", pairs),
        "experimentally_resolved_head": (model.head_resolved, "single", real[:, None]),
    }
    for name, (module, key, keep) in named.items():
        for call in calls(record, f"/{name}"):
            ours = module(tensor(call[f"0/{key}"]))
            if name == "distogram_head":
                ours = ours + ours.transpose(1, 2)
            yield name, ours[0].numpy(), call["out/logits"], keep


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", default=sys.executable)
    parser.add_argument("--folder", type=Path, help="recorded before; else it is recorded anew")
    parser.add_argument("--record", type=Path, help="only record, in the environment of JAX")
    parser.add_argument(
        "--out", type=Path, default=HERE.parent / "results" / "protein_modules.json"
    )
    arguments = parser.parse_args()
    if arguments.record:
        reference(arguments.record)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.folder is None:
            command = [arguments.reference_python, str(HERE), "--record", temporary]
            subprocess.run(command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=True)
        table = compare(folder)
    worst = max(entry["worst"] for entry in table.values())
    result = {
        "benchmark": "protein_modules",
        "command": "python benchmarks/protein_modules.py --reference-python VENV/bin/python",
        "date": time.strftime("%Y-%m-%d"),
        "device": "CPU",
        "reference": "alphafold-colabfold 2.3.6, jax 0.4.35, float32",
        "sizes": SIZES | {"blocks": BLOCKS, "extra_blocks": EXTRA},
        "bound": BOUND,
        "worst": worst,
        "modules": table,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, entry in table.items():
        print(f"{name:64} {entry['worst']:.1e} ({entry['calls']} calls)")
    if worst > BOUND:
        sys.exit(f"{worst:.1e} is above the bound of {BOUND}")


if __name__ == "__main__":
    main()

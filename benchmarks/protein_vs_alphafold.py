"""The AlphaFold 2 network here beside the public JAX one: same parameters, features, machine.

    python benchmarks/protein_vs_alphafold.py --reference-python VENV/bin/python --residues 64 128

VENV holds alphafold-colabfold 2.3.6 and its pins (see
tests/fixtures/make/alphafold_network.py). Each side
lives in its own process; after both are ready (JAX has compiled, which is reported apart) they run
one pass in turn, `--rounds` times, so that other load on the machine meets both. Times are of one
pass [s], wall clock and CPU; memory is the peak of the process [GiB]. With `--threads 1` both are
held to one core. The largest relative difference of coordinates says that both did the same work.
Without `--reference-python` only this package is measured. Rows of other lengths in `--out` stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import resident

HERE = Path(__file__).resolve()


def features(n: int, clusters: int, extra: int) -> dict[str, np.ndarray]:
    """Random features, whole: no padding."""
    g = np.random.default_rng(0)
    types = g.integers(0, 20, n)
    return {
        "aatype": types.astype("i4"),
        "residue_index": np.arange(n, dtype="i4"),
        "seq_mask": np.ones(n, "f4"),
        "target_feat": np.eye(22, dtype="f4")[types + 1],
        "msa_feat": g.random((clusters, n, 49)).astype("f4"),
        "msa_mask": np.ones((clusters, n), "f4"),
        "extra_msa": g.integers(0, 22, (extra, n)).astype("i4"),
        "extra_msa_mask": np.ones((extra, n), "f4"),
        "extra_has_deletion": np.zeros((extra, n), "f4"),
        "extra_deletion_value": np.zeros((extra, n), "f4"),
    }


def serve(run: Callable[[], None], **more: Any) -> None:
    """One call of `run` for every line of standard input, answered by its seconds as JSON."""
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        print(json.dumps(times | {"peak_gib": resident("VmHWM") / 1024} | more), flush=True)


def ours(folder: Path, threads: int) -> None:
    """This package."""
    import torch

    torch.set_num_threads(threads)
    from sciml.protein import StructurePredictor

    started = time.perf_counter()
    predictor = StructurePredictor.from_alphafold(folder / "params.npz", device="cpu")
    loaded = time.perf_counter() - started
    batch = dict(np.load(folder / "batch.npz"))
    result: dict = {}

    def run() -> None:
        result.update(predictor.predict_features(batch, 0))
        np.save(folder / "ours.npy", result["pass0/structure_module/final_atom_positions"])

    serve(run, load_s=loaded)


def reference(folder: Path, blocks: int) -> None:
    """The public JAX network; called in its own environment."""
    import haiku as hk
    import jax
    from alphafold.common import residue_constants as constants
    from alphafold.model import config as configs
    from alphafold.model import modules

    jax.config.update("jax_default_matmul_precision", "float32")
    c = configs.model_config("model_1_ptm").model
    part = c.embeddings_and_evoformer
    part.evoformer_num_block = blocks
    part.template.enabled = part.template.embed_torsion_angles = False
    shared = c.global_config
    shared.bfloat16 = shared.bfloat16_output = shared.use_remat = shared.eval_dropout = False
    shared.deterministic = True

    def unfuse(node) -> None:
        for key in list(node):
            if key == "fuse_projection_weights":
                node[key] = False
            elif hasattr(node[key], "keys"):
                unfuse(node[key])

    unfuse(c)
    batch = dict(np.load(folder / "batch.npz"))
    types = batch["aatype"]
    names = [constants.restype_name_to_atom14_names[constants.restype_1to3[k]]
             for k in constants.restypes]  # fmt: skip
    to14 = np.array([[r.index(a) if a in r else 0 for a in constants.atom_types] for r in names])
    to37 = np.array([[constants.atom_order.get(a, 0) for a in r] for r in names])
    batch["residx_atom37_to_atom14"] = to14[types].astype("i4")
    batch["residx_atom14_to_atom37"] = to37[types].astype("i4")
    batch["atom37_atom_exists"] = np.array(
        [[a in r for a in constants.atom_types] for r in names], "f4"
    )[types]
    batch["atom14_atom_exists"] = np.array([[bool(a) for a in r] for r in names], "f4")[types]
    n = len(types)
    batch["prev"] = {
        "prev_msa_first_row": np.zeros((n, 256), "f4"),
        "prev_pair": np.zeros((n, n, 128), "f4"),
        "prev_pos": np.zeros((n, 37, 3), "f4"),
    }
    network = hk.transform(lambda b: modules.AlphaFold_noE(c)(b, is_training=False))
    key = jax.random.PRNGKey(0)
    path = folder / "params.npz"
    if not path.exists():
        tree = jax.eval_shape(network.init, key, {**batch, "prev": dict(batch["prev"])})
        g = np.random.default_rng(1)
        flat = {}
        for module, arrays in tree.items():
            for name, spec in arrays.items():
                fan = spec.shape[-2] if len(spec.shape) > 1 else 1
                value = g.standard_normal(spec.shape, "f4") * np.float32(0.3 / fan**0.5)
                one = name in ("scale", "gating_b")
                flat[f"{module}//{name}"] = value + np.float32(one)
        np.savez(path, **flat)
    parameters: dict = {}
    for full, value in np.load(path).items():
        module, name = full.split("//")
        parameters.setdefault(module, {})[name] = value
    compiled = jax.jit(lambda p, b: network.apply(p, key, b))

    def run() -> None:
        output = compiled(parameters, {**batch, "prev": dict(batch["prev"])})
        atoms = np.asarray(output["structure_module"]["final_atom_positions"])
        np.save(folder / "reference.npy", atoms)

    serve(run)


class Side:
    """One network in its own process."""

    def __init__(self, python: str, side: str, folder: Path, arguments: argparse.Namespace) -> None:
        threads = str(arguments.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment["JAX_PLATFORMS"] = "cpu"
        command = [python, str(HERE), "--side", side, "--folder", str(folder)]
        command += ["--threads", threads, "--blocks", str(arguments.blocks)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.runs: list[dict[str, float]] = []

    def run(self) -> dict[str, float]:
        """One pass: its seconds, and the process's peak memory so far."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("{"):
            if not line:
                raise SystemExit("a side has ended: see its error above")
        self.runs.append(json.loads(line))
        return self.runs[-1]

    def close(self) -> dict:
        """End the process; all its runs, the first one apart."""
        self.process.communicate()
        return {"first": self.runs[0], "runs": self.runs[1:], "peak_gib": self.runs[-1]["peak_gib"]}


def _shown(arguments: list[str]) -> list[str]:
    """The command line without this machine's folders."""
    return [Path(a).name if a.startswith("/") else a for a in arguments[1:]]


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference-python", default="")
    parser.add_argument("--residues", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--clusters", type=int, default=128)
    parser.add_argument("--extra", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "protein.json")
    parser.add_argument("--side", default="")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        if arguments.threads < (os.cpu_count() or 1):
            os.sched_setaffinity(0, set(range(arguments.threads)))
        if arguments.side == "ours":
            ours(arguments.folder, arguments.threads)
        else:
            reference(arguments.folder, arguments.blocks)
        return
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for n in arguments.residues:
            arrays: Any = features(n, arguments.clusters, arguments.extra)
            np.savez(folder / "batch.npz", **arrays)
            row: dict = {
                "residues": n,
                "blocks": arguments.blocks,
                "date": time.strftime("%Y-%m-%d"),
            }
            other = None
            if arguments.reference_python:
                other = Side(arguments.reference_python, "reference", folder, arguments)
                other.run()
            elif not (folder / "params.npz").exists():
                from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig
                from sciml.protein.alphafold.weights.official import write_alphafold

                model = AlphaFold(AlphaFoldConfig(blocks=arguments.blocks, templates=None))
                write_alphafold(model, folder / "params.npz")
            here = Side(sys.executable, "ours", folder, arguments)
            here.run()
            for _ in range(arguments.rounds):
                for side in (other, here):
                    if side is not None:
                        side.run()
            row["load_average"] = os.getloadavg()[0]
            row["ours"] = here.close()
            if other is not None:
                row["reference"] = other.close()
                one, two = np.load(folder / "ours.npy"), np.load(folder / "reference.npy")
                row["relative_difference"] = float(np.abs(one - two).max() / np.abs(two).max())
                for key in ("wall_s", "cpu_s"):
                    pairs = zip(row["reference"]["runs"], row["ours"]["runs"], strict=True)
                    ratios = sorted(theirs[key] / mine[key] for theirs, mine in pairs)
                    row[f"speed_up_{key}"] = {
                        "median": float(np.median(ratios)), "least": ratios[0], "most": ratios[-1],
                    }  # fmt: skip
                row["memory_ratio"] = row["ours"]["peak_gib"] / row["reference"]["peak_gib"]
            rows.append(row)
            print(json.dumps(row), flush=True)
    result = {
        "benchmark": "protein_vs_alphafold",
        "command": "python " + " ".join(["benchmarks/protein_vs_alphafold.py", *_shown(sys.argv)]),
        "device": f"CPU, {arguments.threads} threads",
        "clusters": arguments.clusters,
        "extra": arguments.extra,
    }
    if arguments.out.exists():  # rows of other lengths stay
        new = {(row["residues"], row["blocks"]) for row in rows}
        old = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"]
        rows += [row for row in old if (row["residues"], row["blocks"]) not in new]
    result["rows"] = sorted(rows, key=lambda row: (row["residues"], row["blocks"]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

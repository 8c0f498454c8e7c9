"""Jets a second from one ROOT file to model inputs: this package beside weaver-core's data set.

    python benchmarks/jets_readers.py --weaver-python /path/to/venv/bin/python [--out FILE.json]

Both sides read the same file, made of the shipped sample, and give batches of 512 shuffled jets
with the 17 published features, four-momenta, mask and label; each in its own process, in turns,
best of the rounds, CPU time of one thread, after a pass over 600 jets that loads and compiles
what is needed. weaver: `SimpleIterDataset` in a torch `DataLoader` as
its `train.py` uses it, no workers. Ours: `JetDataset` and `particle_features`. `first`: opening
the file, reading all of it, and one pass; `later`: every further pass (weaver reads the file
again, ours has it packed: in memory, or memory-mapped). `stream`: `WeaverConfig.iterate`, the same
YAML file and tensors as weaver, without shuffling. The features of both ways are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import json_output

HERE = Path(__file__).parent
BATCH = 512
NAMES = ("features", "vectors", "mask")
SCALED = {
    "part_pt_log": (1.7, 0.7), "part_e_log": (2.0, 0.7), "part_logptrel": (-4.7, 0.7),
    "part_logerel": (-4.7, 0.7), "part_deltaR": (0.2, 4.0),
}  # fmt: skip
PLAIN = (
    "part_charge", "part_isChargedHadron", "part_isNeutralHadron", "part_isPhoton",
    "part_isElectron", "part_isMuon", "part_d0", "part_d0err", "part_dz", "part_dzerr",
    "part_deta", "part_dphi",
)  # fmt: skip


def data_config() -> dict[str, Any]:
    """The published inputs (arXiv:2202.03772, table 2) as a data config that both sides read."""
    from sciml.jets.data.columns import CLASSES

    variables: list[list[Any]] = [[name, *numbers] for name, numbers in SCALED.items()]
    for name in PLAIN:
        clipped = name in ("part_d0err", "part_dzerr")
        variables.append([name, 0, 1, 0, 1] if clipped else [name, None])
    shape = {"length": 128, "pad_mode": "wrap"}
    return {
        "treename": "tree",
        "new_variables": {
            "part_mask": "ak.ones_like(part_energy)",
            "part_pt": "np.hypot(part_px, part_py)",
            "part_pt_log": "np.log(part_pt)",
            "part_e_log": "np.log(part_energy)",
            "part_logptrel": "np.log(part_pt/jet_pt)",
            "part_logerel": "np.log(part_energy/jet_energy)",
            "part_deltaR": "np.hypot(part_deta, part_dphi)",
            "part_d0": "np.tanh(part_d0val)",
            "part_dz": "np.tanh(part_dzval)",
        },
        "preprocess": {"method": "manual"},
        "inputs": {
            "pf_points": {**shape, "vars": [["part_deta", None], ["part_dphi", None]]},
            "pf_features": {**shape, "vars": variables},
            "pf_vectors": {
                **shape, "vars": [[f"part_{k}", None] for k in ("px", "py", "pz", "energy")]
            },
            "pf_mask": {"length": 128, "pad_mode": "constant", "vars": [["part_mask", None]]},
        },
        "labels": {"type": "simple", "value": [f"label_{name}" for name in CLASSES]},
    }  # fmt: skip


def make_file(path: Path, copies: int, most: int | None = None) -> None:
    """The shipped jets `copies` times over, with all of JetClass's columns, one basket a copy."""
    import awkward as ak

    from sciml.jets.data import io
    from sciml.jets.data.ragged import to_ragged
    from sciml.jets.data.sample import shipped

    jets = io.read_jets(shipped("train"))
    jets = jets[[name for name in jets.fields if not name.startswith("aux_")]]
    packed = to_ragged(jets)
    short = jets[packed.cut == 0][:most]
    rows = to_ragged(short)
    for column, name in ((4, "part_deta"), (5, "part_dphi")):
        values = ak.unflatten(np.ascontiguousarray(rows.particles[:, column]), rows.counts)
        short = ak.with_field(short, values, name)
    with io.create(path) as writer:
        for _ in range(copies):
            writer.write({name: short[name] for name in short.fields})


def side(options: argparse.Namespace) -> None:
    """One contestant in its own process: prints a line of JSON."""
    import torch

    torch.set_num_threads(1)
    rates: dict[str, float] = {}
    for _ in contestant(options, "few.root")():  # imports, and kernels that are compiled once
        pass
    began = time.process_time()
    batches = contestant(options, "jets.root")
    for turn in range(3):
        jets = 0
        for features, vectors, mask, label in batches():
            assert len(features) == len(vectors) == len(mask) == len(label)
            jets += len(features)
        name = "first" if turn == 0 else "later"
        rates[name] = max(rates.get(name, 0), jets / (time.process_time() - began))
        began = time.process_time()
    print(json.dumps(rates))


def contestant(options: argparse.Namespace, name: str) -> Any:
    """A function that gives one pass of (features, vectors, mask, label) batches."""
    import torch

    file, config = options.folder / name, options.folder / "config.yaml"
    if options.side == "weaver":
        import logging

        logging.disable(logging.CRITICAL)
        from weaver.utils.dataset import SimpleIterDataset

        data = SimpleIterDataset(
            {"_": [str(file)]}, str(config), for_training=True, fetch_step=1.0, async_load=False
        )
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH)

        def weaver() -> Any:
            for inputs, labels, _ in loader:
                yield *(inputs[f"pf_{name}"] for name in NAMES), labels["_label_"]

        return weaver
    if options.side == "stream":
        from sciml.jets.weaver.config import WeaverConfig

        settings = WeaverConfig.load(config)

        def stream() -> Any:
            for batch in settings.iterate(file, step=8 * BATCH):
                yield *(batch.inputs[f"pf_{name}"] for name in NAMES), batch.labels["_label_"]

        return stream
    from sciml.jets.data.columns import CLASSES
    from sciml.jets.data.dataset import JetDataset
    from sciml.jets.data.features import particle_features

    dataset = JetDataset(
        file, classes=CLASSES, memory=1 if options.side == "mapped" else 1 << 31,
        cache=options.folder / "cache",
    )  # fmt: skip
    random = np.random.default_rng(0)

    def ours() -> Any:
        order = random.permutation(len(dataset))
        for start in range(0, len(order), BATCH):
            batch = dataset.batch(order[start : start + BATCH])
            features = particle_features(batch.x, batch.jet, batch.mask)
            yield features, batch.x[..., :4], batch.mask, batch.y

    return ours


def difference(folder: Path) -> float:
    """Largest difference between the two ways to the features, over all real particles."""
    from sciml.jets.data.dataset import JetDataset
    from sciml.jets.data.features import particle_features
    from sciml.jets.weaver.config import WeaverConfig

    batch = JetDataset(folder / "jets.root").batch(np.arange(BATCH))
    features = particle_features(batch.x, batch.jet, batch.mask).numpy()
    other = next(
        iter(WeaverConfig.load(folder / "config.yaml").iterate(folder / "jets.root", step=BATCH))
    ).inputs["pf_features"]
    mask = batch.mask.numpy()
    return float(np.abs(features - other.transpose(0, 2, 1)[:, : mask.shape[1]])[mask].max())


def main() -> None:
    """Run all sides in turns and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weaver-python", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "jets_readers.json")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--side", choices=["weaver", "ours", "mapped", "stream"])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options)
        return
    if options.weaver_python is None:
        parser.error("--weaver-python is needed: an interpreter with weaver-core 0.5.3")
    import yaml

    best: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_file(folder / "jets.root", options.copies)
        make_file(folder / "few.root", 1, 600)
        (folder / "config.yaml").write_text(yaml.safe_dump(data_config(), sort_keys=False))
        for _ in range(options.rounds):
            for who in ("weaver", "ours", "mapped", "stream"):
                python = options.weaver_python if who == "weaver" else sys.executable
                shutil.rmtree(folder / "cache", ignore_errors=True)
                row = json_output(python, __file__, "--side", who, "--folder", name)
                old = best.setdefault(who, row)
                best[who] = {key: max(old[key], row[key]) for key in row}
        size, apart = (folder / "jets.root").stat().st_size, difference(folder)
    rows = [
        {
            "side": who,
            **{f"{key}_jets_per_cpu_s": round(value) for key, value in rates.items()},
            **{f"{k}_ratio": round(v / best["weaver"][k], 2) for k, v in rates.items()},
        }
        for who, rates in best.items()
    ]
    result = {
        "opponent": "weaver-core 0.5.3, SimpleIterDataset in a DataLoader, batches of 512",
        "file_bytes": size,
        "largest_feature_difference": float(f"{apart:.1e}"),
        "rounds": options.rounds,
        "date": date.today().isoformat(),
        "rows": rows,
    }
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

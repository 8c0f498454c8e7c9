"""Peak memory and rate of reading against the size of the data, in all four sciences.

    python benchmarks/streaming.py --peer-python /path/to/venv/bin/python [--out FILE.json]

Every row is a process of its own, forked from one that has imported the package, that opens the
data and takes batches in the order of a training run (`sciml.train.sampler`, no workers): CPU
seconds to the first batch, examples per CPU second after it, and the peak of its resident memory.
Each science is read at two sizes, the larger ten times the smaller; `first` opens files never seen
before (and packs or indexes them), `later` opens them again. Jets, expressions and pairs repeat
what the package ships or generates, alignments and netlists are generated. `finetuning` reads jets
as `sciml run jet_tagging` does, families as `sciml run protein_structure`, pairs as `sciml run
symbolic_math`. The order alone is measured at up to 10^9 examples.

The peer is Hugging Face datasets on the same Parquet files of jets, in an environment of its own
(`pip install datasets`): streamed with a shuffle buffer of 10,000 jets, and map-style over Arrow
files (shuffled indices), both collated to the same padded arrays. Half of a row's rate is the
collation, which both sides do themselves. Others use the machine, too: rates are per CPU second,
and those beside the peer come from rounds in which the three take turns.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import tempfile
import time
import traceback
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import forget_peak, json_output, processor, resident

from sciml.report.markdown import table

HERE = Path(__file__).parent
SIZES = {
    "jets": (30_000, 300_000), "symbolic": (200_000, 2_000_000), "protein": (30, 300),
    "placement": (50, 500), "finetuning jets": (30_000, 300_000),
    "finetuning protein": (30, 300), "finetuning symbolic": (100_000, 1_000_000),
}  # fmt: skip
TINY = {
    name: (max(small // 2000, 12), max(small // 200, 120)) for name, (small, _) in SIZES.items()
}
BATCH = {"jets": 512, "symbolic": 256, "protein": 8, "placement": 8}
SECONDS = 0.5
"""CPU seconds for which batches are taken."""
ROUNDS = 7
"""In which the package and its peer take turns."""


# --- the data -----------------------------------------------------------------------------------


def make(science: str, size: int, folder: Path) -> None:
    """Files with `size` examples of a science."""
    folder.mkdir(parents=True)
    {"jets": make_jets, "symbolic": make_expressions, "protein": make_alignments,
     "placement": make_netlists, "finetuning jets": make_jets,
     "finetuning protein": make_families, "finetuning symbolic": make_pairs,
     }[science](size, folder)  # fmt: skip


def make_jets(size: int, folder: Path) -> None:
    import pyarrow.parquet as pq

    from sciml.jets.data.sample import shipped

    table = pq.read_table(shipped("train"))
    for number, start in enumerate(range(0, size, 100_000)):
        with pq.ParquetWriter(folder / f"{number:03d}.parquet", table.schema) as writer:
            for begin in range(0, min(size - start, 100_000), len(table)):
                writer.write_table(table[: min(len(table), size - start - begin)], 4096)


def make_expressions(size: int, folder: Path) -> None:
    from sciml.symbolic.generate.problems import stream

    rows = stream("bwd", 0)
    lines = [next(rows)[1] for _ in range(min(size, 10_000))]
    with (folder / "expressions.expr").open("w") as file:
        for start in range(0, size, len(lines)):
            file.write("\n".join(lines[: size - start]) + "\n")


def make_alignments(size: int, folder: Path) -> None:
    from sciml.protein.io.alignment import Alignment

    for number in range(size):
        rng = np.random.default_rng(number)
        parent = rng.integers(0, 20, 60)
        rows = np.where(rng.random((40, 60)) < 0.4, rng.integers(0, 20, (40, 60)), parent)
        names = [f"s{k}" for k in range(40)]
        Alignment(names, rows.astype(np.uint8)).write(folder / f"{number:06d}.a3m")


def make_families(size: int, folder: Path) -> None:
    from sciml.protein.contacts.features import ContactFeatures

    rng = np.random.default_rng(0)
    x, pair = rng.random((60, 26), np.float32), rng.random((60, 60, 25), np.float32)
    square = np.zeros((60, 60), np.float32)
    for number in range(size):
        features = ContactFeatures(x, pair, square, square, 1.0)
        features.write(folder / f"{number:06d}.npz", rng.random((60, 3)))


def make_pairs(size: int, folder: Path) -> None:
    from sciml.symbolic.neural.pairs import Pairs

    some = Pairs.draw({"bwd": 0.6, "ibp": 0.4}, 5000, 0, (64, 32))
    Pairs.join([some] * max(1, size // len(some))).save(folder / "pairs.npz")


def make_netlists(size: int, folder: Path) -> None:
    from sciml.placement.generate import make as make_designs

    made = min(size, 25)  # the same shard many times: what is read does not know
    make_designs(folder, count=made, scale=0.3, shards=1)
    (first,) = folder.iterdir()
    for copy in range(1, size // made):
        shutil.copy(first, folder / f"copy-{copy:05d}.parquet")


# --- reading, in a process of its own -----------------------------------------------------------


def corpus_of(what: str, folder: Path) -> tuple[Any, Any, Any]:
    """(data set, collate, lengths)."""
    science = what.split()[-1]
    if what == "finetuning jets":
        from sciml.jets.data.sample import train_and_test
        from sciml.jets.networks.embedder import collate

        train, _ = train_and_test([f"{folder}/*.parquet"], share=0.1, seed=0)
        return train, collate, train.lengths
    if what == "finetuning protein":
        from sciml.protein.contacts.evaluation import FamilyFiles
        from sciml.protein.contacts.training import ContactExamples, as_example
        from sciml.protein.contacts.training import collate as join

        families = FamilyFiles(sorted(folder.glob("*.npz")))

        class Examples:
            def __len__(self) -> int:
                return len(families)

            def __getitem__(self, i: int) -> Any:
                return as_example(families[i].features, families[i].distances)

        return ContactExamples(Examples()), join, None  # type: ignore[arg-type]
    if what == "finetuning symbolic":
        from sciml.symbolic.neural.model import collate as pad
        from sciml.symbolic.neural.pairs import Pairs

        pairs = Pairs.load(folder / "pairs.npz")
        pairs.equivalent = 0.1
        return pairs, pad, pairs.lengths
    if science == "jets":
        from sciml.jets.learning.pretraining import read_jets as read
    elif science == "symbolic":
        from sciml.symbolic.neural.pretraining import read

        folder = folder / "expressions.expr"
    elif science == "protein":
        from sciml.protein.contacts.pretraining import read_alignments as read
    else:
        from sciml.placement.learning.pretraining import read_netlists as read
    corpus = read(folder)
    return corpus.dataset, corpus.collate, corpus.lengths


def measure(what: str, folder: Path, seconds: float) -> dict[str, Any]:
    """One row: open, take batches for some seconds."""
    import torch

    from sciml.data import parts
    from sciml.train.sampler import Plan, read

    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = resident()
    began, began_cpu = time.monotonic(), time.process_time()
    data, collate, lengths = corpus_of(what, folder)
    batch = BATCH[what.split()[-1]]
    rest, _ = parts.split(len(data), max(1, min(2000, len(data) // 10)), 0)
    chosen = None if lengths is None else parts.PartOf(lengths, rest)
    plan = Plan(len(rest), batch, lengths=chosen)
    batches = read(parts.Part(data, rest), collate, plan, 0, 0)
    next(batches)
    first, first_cpu = time.monotonic() - began, time.process_time() - began_cpu
    count, began_cpu = 0, time.process_time()
    while (spent := time.process_time() - began_cpu) < seconds:
        next(batches)
        count += batch
    return {"first_batch_cpu_s": round(first_cpu, 2), "first_batch_s": round(first, 2),
            "rate": round(count / spent, 1), "read": count,
            "before_mib": round(before), "peak_mib": round(resident("VmHWM"))}  # fmt: skip


def prepare(what: str, folder: Path) -> None:
    """Compute the features of all alignments, which are kept: `later` reads them."""
    import torch

    torch.set_num_threads(1)
    data, _, _ = corpus_of(what, folder)
    for i in range(len(data)):
        data[i]


def order(size: int) -> dict[str, Any]:
    """The first batch of an order of `size` examples, and of one in the middle of its epoch."""
    from sciml.train.sampler import Plan

    before = resident()
    plan = Plan(size, 512)
    took = []
    for step in (0, plan.steps_per_epoch // 2):
        began = time.process_time()
        next(plan.micro_batches(step))
        took.append(round(time.process_time() - began, 3))
    return {"examples": size, "first_batch_cpu_s": took[0], "resumed_batch_cpu_s": took[1],
            "grown_mib": round(resident("VmHWM") - before)}  # fmt: skip


PEER = """
import json, sys, time
from pathlib import Path
import numpy as np

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(l.split()[1]) / 1024 for l in lines if l.startswith(key + ":"))

how, folder, cache, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
import datasets
datasets.disable_progress_bars()
before = resident("VmRSS")
began, began_cpu = time.monotonic(), time.process_time()
files = sorted(map(str, Path(folder).glob("*.parquet")))
streaming = how == "streamed"
where = {"data_files": files, "split": "train", "cache_dir": cache}
data = datasets.load_dataset("parquet", streaming=streaming, **where)
names = [n for n in data.column_names if n.startswith("part_")]
data = data.select_columns(names + ["jet_pt", "jet_energy"])
if streaming:
    data = data.shuffle(seed=0, buffer_size=10_000).with_format("numpy")
    batches = data.iter(batch_size=512)
else:
    data = data.shuffle(seed=0).with_format("numpy")
    batches = data.iter(batch_size=512)

def collate(batch):
    counts = [len(v) for v in batch[names[0]]]
    out = np.zeros((len(counts), max(counts), len(names)), np.float32)
    mask = np.arange(out.shape[1]) < np.array(counts)[:, None]
    for k, name in enumerate(names):
        out[..., k][mask] = np.concatenate(list(batch[name]))
    return out, mask

collate(next(batches))
first, first_cpu = time.monotonic() - began, time.process_time() - began_cpu
count, began_cpu = 0, time.process_time()
for batch in batches:
    collate(batch)
    count += 512
    if time.process_time() - began_cpu > seconds:
        break
spent = time.process_time() - began_cpu
batches = data = None
print(json.dumps({
    "first_batch_cpu_s": round(first_cpu, 2), "first_batch_s": round(first, 2),
    "rate": round(count / spent, 1), "read": count, "before_mib": round(before),
    "peak_mib": round(resident("VmHWM")), "version": datasets.__version__}))
"""


def tables(result: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = [
        (row["what"], row["side"], f"{row['size']:,}", row.get("turn", "first"),
         row["first_batch_cpu_s"], f"{row['rate']:,.0f}", row["before_mib"], row["peak_mib"])
        for row in result["rows"]
    ]  # fmt: skip
    heads = ("data", "side", "examples", "opened", "first batch [CPU s]", "examples per CPU s",
             "MiB before", "MiB at most")  # fmt: skip
    growth = [(what, f"{value['first']:+.1%}", f"{value['later']:+.1%}")
              for what, value in result["growth_of_peak_when_tenfold"].items()]  # fmt: skip
    orders = [(f"{o['examples']:,}", o["first_batch_cpu_s"], o["resumed_batch_cpu_s"],
               o["grown_mib"]) for o in result["order"]]  # fmt: skip
    beside = result["beside_the_peer"]
    ratios = [(f"datasets, {how}", *values)
              for how, values in beside.get("median_min_max_of_ratio_to", {}).items()]  # fmt: skip
    return "\n".join([
        table(("data", "peak at ten times the examples, opened first", "opened later"), growth),
        table(("peer", "times its rate (median of rounds)", "least", "most"), ratios),
        table(heads, rows),
        table(("examples", "first batch [CPU s]", "batch in mid-epoch [CPU s]", "MiB"), orders),
    ])  # fmt: skip


PEERS = ("streamed", "map-style")


def peer(python: str, how: str, root: Path, size: int, seconds: float) -> Any:
    """A row of the peer, on the files of jets."""
    return json_output(python, "-c", PEER, how, root / f"jets-{size}", root / "arrow", seconds)


def turns(python: str, root: Path, size: int, seconds: float) -> dict[str, Any]:
    """Rates of the package and its peer, which take turns: each round's, and median ratios."""
    folder = root / f"jets-{size}"
    os.environ["SCIML_CACHE"] = str(folder / "cache")
    rates: dict[str, list[float]] = {"sciml": [], **{how: [] for how in PEERS}}
    for _ in range(ROUNDS):
        rates["sciml"].append(forked(measure, "jets", folder, seconds)["rate"])
        for how in PEERS:
            rates[how].append(peer(python, how, root, size, seconds)["rate"])
    ours = np.array(rates["sciml"])
    ratios = {
        how: [round(float(q), 2) for q in np.quantile(ours / np.array(rates[how]), (0.5, 0, 1))]
        for how in PEERS
    }
    return {"examples": size, "rounds": ROUNDS, "examples_per_cpu_s": rates,
            "median_min_max_of_ratio_to": ratios}  # fmt: skip


def load(whats: list[str]) -> None:
    """Import what rows need, once."""
    import torch

    modules = {
        "jets": "sciml.jets.learning", "symbolic": "sciml.symbolic.neural",
        "protein": "sciml.protein.contacts", "placement": "sciml.placement.learning",
    }  # fmt: skip
    for science in dict.fromkeys(what.split()[-1] for what in whats):
        importlib.import_module(f"{modules[science]}.pretraining")
    torch.set_num_threads(1)


def forked(work: Any, *arguments: Any) -> Any:
    """What `work` returns in a process of its own."""
    with tempfile.TemporaryFile("w+") as file:
        child = os.fork()
        if not child:
            code = 1
            try:
                forget_peak()
                json.dump(work(*arguments), file)
                file.flush()
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"failed: {work.__name__} {arguments}")
        file.seek(0)
        return json.load(file)


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "streaming.json")
    parser.add_argument("--peer-python", help="interpreter of an environment with datasets")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a try")
    parser.add_argument("--only", nargs="*", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    load(options.only)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for what in options.only:
            for size in (TINY if options.tiny else SIZES)[what]:
                folder = root / f"{what}-{size}".replace(" ", "-")
                os.environ["SCIML_CACHE"] = str(folder / "cache")
                forked(make, what, size, folder)
                for turn in ("first", "later"):
                    if (what, turn) == ("protein", "later"):
                        forked(prepare, what, folder)
                    row = forked(measure, what, folder, options.seconds)
                    rows.append({"side": "sciml", "what": what, "size": size, "turn": turn, **row})
                    print(rows[-1], flush=True)
        beside: dict[str, Any] = {}
        if options.peer_python and "jets" in options.only:
            sizes = (TINY if options.tiny else SIZES)["jets"]
            for size in sizes:
                for how in PEERS:
                    row = peer(options.peer_python, how, root, size, options.seconds)
                    rows.append({"side": f"datasets, {how}", "what": "jets", "size": size, **row})
                    print(rows[-1], flush=True)
            beside = turns(options.peer_python, root, sizes[-1], options.seconds)
            print(beside, flush=True)
    orders = [forked(order, size) for size in (10**6, 10**7, 10**8, 10**9)]
    growth: dict[str, dict[str, float]] = {}
    for what in options.only:
        for turn in ("first", "later"):
            of = [row["peak_mib"] for row in rows if row["side"] == "sciml"
                  and (row["what"], row["turn"]) == (what, turn)]  # fmt: skip
            growth.setdefault(what, {})[turn] = round(of[1] / of[0] - 1, 4)
    facts = {"date": str(date.today()), "processor": processor(), "cores": os.cpu_count(),
             "load": os.getloadavg()[0], "seconds": options.seconds}  # fmt: skip
    result = {**facts, "growth_of_peak_when_tenfold": growth, "beside_the_peer": beside,
              "rows": rows, "order": orders}  # fmt: skip
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(tables(result))
    print(json.dumps(growth))


if __name__ == "__main__":
    main()

"""What learning adds to placing macros: the committed table of a run of the recipe.

    sciml run circuit_placement --design netlist.pb.txt.gz --held-out 1 --held-out-scale 2 \\
        --trainings 5 --train-designs 16 --cpu-seconds 12 --teacher-cpu-seconds 1.5 \\
        --imitation-epochs 8 --updates 14 --adapt 6 --pretrain.steps 120 --out RUN
    python benchmarks/placement_learning.py RUN

The design is the clustered Ariane133 with the canvas and grid of its .plc. Writes
benchmarks/results/placement_learning.json and .md with the settings that the run had.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from machine import processor

from sciml.report import markdown

RESULTS = Path(__file__).parent / "results/placement_learning"
SETTINGS = (
    "held_out", "held_out_scale", "trainings", "train_designs", "scale", "cpu_seconds",
    "teacher_cpu_seconds", "imitation_epochs", "updates", "rollout", "environments", "adapt",
)  # fmt: skip
FORMERLY = {"budget": "cpu_seconds", "teacher": "teacher_cpu_seconds"}
FEW = (
    " The spread is that of the search: so few trainings, so short, say what these weights are "
    "worth and not what longer learning could be."
)


def command(config: dict[str, Any]) -> str:
    """The command of the run, its designs without their folders."""
    flags = [f"--design {' '.join(Path(d).name for d in config['design'])}"]
    flags += [f"--{key.replace('_', '-')} {config[key]}" for key in SETTINGS]
    flags += [f"--ppo.epochs {config['ppo']['epochs']}"]
    flags += [f"--pretrain.steps {config['pretrain']['steps']}", "--out RUN"]
    lines = [" ".join(flags[k : k + 4]) for k in range(0, len(flags), 4)]
    return "sciml run circuit_placement " + " \\\n    ".join(lines)


def training(run: Path) -> dict[str, dict[str, float]]:
    """What each policy learned with: CPU-seconds, and the first and last loss and return."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    policies: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row["network"] for row in rows if "network" in row):
        mine = [row for row in rows if row.get("network") == name]
        taught = [row["imitation"] for row in mine if "imitation" in row]
        updates = [row for row in mine if "update" in row and row["return"] is not None]
        last = max((row["update"] for row in updates), default=0)
        early = [row["return"] for row in updates if row["update"] <= last // 3]
        late = [row["return"] for row in updates if row["update"] > last - last // 3]
        policies[name] = {
            "CPU-seconds per training": sum(row["cpu_seconds"] for row in mine)
            / max(len(taught), 1),
            "imitation loss, first epoch": float(np.mean([losses[0] for losses in taught])),
            "imitation loss, last epoch": float(np.mean([losses[-1] for losses in taught])),
        }
        if early and late:
            policies[name] |= {"return, first third": float(np.mean(early)),
                            "return, last third": float(np.mean(late))}  # fmt: skip
    return policies


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder that the recipe wrote")
    run = parser.parse_args().run
    results = json.loads((run / "results.json").read_text())
    settings = yaml.safe_load((run / "config.yaml").read_text())
    config = {FORMERLY.get(key, key): value for key, value in settings.items()}
    learned = training(run)
    out = {
        "date": str(date.today()), "device": processor(), "threads": 1,
        "command": command(config), "seeds": config["seeds"],
        "training": learned, **results,
    }  # fmt: skip
    RESULTS.with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
    text = [
        "# Does learning help to place macros?",
        "",
        f"{config['cpu_seconds']:g} CPU-seconds per run, {len(config['seeds'])} seeds, "
        f"{config['trainings']} independent training(s) (designs, teachers and weights of their "
        "own); no design below was seen in training. Lower proxy is better; the proxy is not "
        "timing. Proxies are mean +- standard deviation over seeds; gains are of the pretrained "
        "policy, seed by seed, with the 95 % interval of their mean, each comparison by itself. "
        f"One thread of {processor()}, {date.today()}." + (FEW if config["trainings"] < 5 else ""),
        "",
        "```",
        command(config),
        "python benchmarks/placement_learning.py RUN",
        "```",
    ]
    for name, design in results["designs"].items():
        text += ["", f"## {name}", "", design["what"], "", f"**{design['verdict']}**", ""]
        text += [markdown.of_records(design["table"], ".4g")]
        rows = [
            {"pretrained against": r["control"], "which tests": r["tests"],
             "gain": f"{r['gain']:+.4f} +- {r['half_interval']:.4f}", "better": r["better"],
             "found": r["found"]} for r in design["pretrained_against"]
        ]  # fmt: skip
        text += [markdown.of_records(rows, ".4g").rstrip()]
    text += ["", "## Training, not in the budgets above", ""]
    text += [markdown.of_records([{"policy": n, **values} for n, values in learned.items()], ".4g")]
    RESULTS.with_suffix(".md").write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()

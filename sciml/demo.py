"""`sciml demo`: the recipes of the four sciences at demonstration size, one page for all.

Data is embedded or generated, nothing is downloaded. Each part is an ordinary recipe in a folder
of its own: finished parts are skipped, interrupted ones resume.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml import recipes
from sciml.errors import InputError, unknown
from sciml.files import kept, locks
from sciml.report import Page
from sciml.train.log import console


@dataclass(frozen=True)
class Part:
    """One science: the recipe, its demonstration size, the question, and what to do next."""

    recipe: str
    """Name of the recipe."""
    settings: str
    """Flags that make it take some minutes."""
    question: str
    """What is predicted, as a sentence for people, and the classical method it is compared with."""
    own: str
    """The command for the user's own file."""


NOTE = "demo.json"
"""The summary of a finished part, in its folder."""
PARTS = (
    Part(
        "jet_tagging",
        "--pretrain.steps 600 --finetune.steps 120",
        "What made a jet, with 100 and 1,000 labels? Beside: boosted trees.",
        "sciml jets tag YOUR_FILE.root -o scores.root",
    ),
    Part(
        "protein_structure",
        "--families 32 --held-out 6 --train.steps 200 --fold 2",
        "Which residues of a protein touch? Beside: mean-field couplings.",
        "sciml protein contacts YOUR_ALIGNMENT.a3m -o contacts.tsv",
    ),
    Part(
        "symbolic_math",
        "--pairs 20000 --finetune.steps 300 --self-training 40 "
        "--model.trunk.dim 64 --model.trunk.encoder-layers 2 --model.trunk.decoder-layers 1 "
        "--test 20 --beams 1 5 --timeout 2",
        "What is the integral? Beside: rules alone, and SymPy.",
        'sciml symbolic integrate "YOUR_FUNCTION_OF_x"',
    ),
    Part(
        "circuit_placement",
        "--train-designs 6 --held-out 1 --scale 0.3 --cpu-seconds 3 --seeds 0 1 2 "
        "--teacher-cpu-seconds 0.5 --imitation-epochs 6 --updates 4",
        "Where do the macros go? Beside: simulated annealing with the same CPU time.",
        "sciml placement place YOUR_DESIGN --out OUT --cpu-seconds 60s",
    ),
)


def demo(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/demo"),
    tiny: bool = False,
    only: tuple[str, ...] = (),
) -> None:
    """Pretrain, fine-tune, evaluate and report, in all four sciences, without network.

    Args:
        out: Where everything goes; the same command resumes there.
        tiny: A minute or two, to see that it runs.
        only: Recipes to run; all four if none is named.
    """
    for name in only:
        if name not in (names := [part.recipe for part in PARTS]):
            raise unknown("part of the demonstration", name, names)
    parts = [part for part in PARTS if not only or part.recipe in only]
    minutes = {}
    with locks.locked(out):
        page = out / "report.html"
        if page.exists() and not any((out / p.recipe / NOTE).exists() for p in PARTS):
            raise InputError("exists, and is not of a demonstration", where=page,
                             hint="Choose another --out")  # fmt: skip
        for number, part in enumerate(parts, 1):
            console.rule(f"{number} of {len(parts)}: {part.recipe.replace('_', ' ')}")
            console.print(part.question)
            minutes[part.recipe] = run(part, out / part.recipe, tiny) / 60
        joined(parts, minutes, out).write(page)
        locks.remove_leftovers(out)
    console.print(f"the report: {page}")


def run(part: Part, folder: Path, tiny: bool) -> float:
    """Run a part unless it is done -> the seconds of its last run."""
    arguments = ["--tiny"] if tiny else shlex.split(part.settings)
    done = _done(folder)
    if done.get("arguments") == arguments:
        console.print(f"{folder}: done already, in {done['seconds']:.0f} s")
        return float(done["seconds"])
    began = time.monotonic()
    recipes.run(recipes.load(part.recipe), [*arguments, "--out", str(folder)])
    seconds = time.monotonic() - began
    files = kept.digests(folder, folder / "report.html")
    kept.write(folder / NOTE, {"arguments": arguments, "seconds": seconds, "files": files})
    return seconds


def _done(folder: Path) -> dict[str, Any]:
    """The summary of a finished part if its report is unchanged; else nothing."""
    if not (folder / NOTE).exists():
        return {}
    try:
        done = kept.read(folder / NOTE)
        files = done.get("files")
        if files is None:  # of version 0.1
            Page.read(folder / "report.html")
        return done if kept.intact(folder, files or {}) else {}
    except (OSError, ValueError) as error:
        kept.warn(f"{folder / NOTE} or its report is damaged ({error}); this part runs again")
        return {}


def joined(parts: list[Part], minutes: dict[str, float], out: Path) -> Page:
    """The page of all parts: the questions first, then each recipe's own page."""
    page = Page(
        "Four sciences, one package",
        lead="Each part pretrains or generates its data, learns, and is measured beside the "
        "classical method of its field on data that it has not seen, whichever wins. These are "
        "minutes of training: the numbers show the way, not what the field can do.",
    )
    page.table([
        {"part": part.recipe.replace("_", " "), "question": part.question,
         "minutes": round(minutes[part.recipe], 1)}
        for part in parts
    ])  # fmt: skip
    for part in parts:
        page.extend(Page.read(out / part.recipe / "report.html"))
        page.text("On a file of your own, and everything that can be set:")
        page.command(f"{part.own}\nsciml run {part.recipe} --help")
    return page

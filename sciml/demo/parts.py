"""The parts of the demonstration: what each one asks, what it costs, and which function makes it.

A part writes `report.html` in a folder of its own and depends on nothing but its size, so parts run
side by side and a finished one is not made again.
"""

from __future__ import annotations

import importlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Size = Literal["short", "tiny", "full"]
"""Some minutes for all parts, to see that they run, or the recipes themselves."""


@dataclass(frozen=True)
class Part:
    """A section of the page.

    Attributes:
        name: of the part and of its folder.
        question: what is predicted, as a sentence for people, and what it is compared with.
        cpu_seconds: what it takes on one core, about, compiled code included [s].
        make: "MODULE:FUNCTION" of (folder, tiny), or "recipe NAME SETTINGS".
        own: the command for the user's own file.
    """

    name: str
    question: str
    cpu_seconds: float
    make: str
    own: str

    def run(self, folder: Path, tiny: bool) -> None:
        """Make the part in this process; the folder then holds its report.html."""
        kind, _, rest = self.make.partition(" ")
        if kind != "recipe":
            module, _, function = self.make.partition(":")
            getattr(importlib.import_module(module), function)(folder, tiny)
            return
        from sciml import recipes

        name, *settings = shlex.split(rest)
        recipes.run(recipes.load(name), [*settings, "--out", str(folder)])


TAG = "sciml jets tag YOUR_FILE.root -o scores.root"
CONTACTS = "sciml protein contacts YOUR_ALIGNMENT.a3m -o contacts.tsv"
INTEGRATE = 'sciml symbolic integrate "YOUR_FUNCTION_OF_x"'
PLACE = "sciml placement place YOUR_DESIGN --out OUT --cpu-seconds 60s"

SHORT = (
    Part(
        "integrals",
        "What is the integral? Beside: SymPy.",
        25,
        "sciml.demo.integrals:make",
        INTEGRATE,
    ),
    Part(
        "jets",
        "What made a jet? Beside: boosted trees.",
        25,
        "sciml.demo.jets:make",
        TAG,
    ),
    Part(
        "contacts",
        "Which residues of a protein touch? Beside: mean-field couplings.",
        25,
        "sciml.demo.contacts:make",
        CONTACTS,
    ),
    Part(
        "circuit",
        "Where do 133 macros go? Beside: a random order, and annealing from one.",
        45,
        "sciml.demo.circuit:make",
        PLACE,
    ),
    Part(
        "pretraining_jets",
        "What does pretraining buy in jet tagging with 50 labels? Beside: from scratch.",
        50,
        "sciml.demo.pretraining:jets",
        "sciml run pretrain --data jets:YOUR_FILES --out trunk\n"
        "sciml run jet_tagging --data YOUR_FILES --start trunk",
    ),
    Part(
        "pretraining_symbolic",
        "And for the functions in an antiderivative, with 100 solved integrals?",
        45,
        "sciml.demo.pretraining:symbolic",
        "sciml run pretrain --data symbolic:YOUR_FILE --out trunk\n"
        "sciml run symbolic_math --start trunk",
    ),
    Part(
        "pretraining_protein",
        "And for contacts of proteins, with 4 families?",
        50,
        "sciml.demo.pretraining:protein",
        "sciml run pretrain --data protein:YOUR_FOLDER --out trunk\n"
        "sciml run protein_structure --start trunk",
    ),
    Part(
        "pretraining_placement",
        "And for a policy that places macros, after 50 steps?",
        40,
        "sciml.demo.pretraining:placement",
        "sciml run pretrain --data placement:YOUR_FOLDER --out trunk\n"
        "sciml run circuit_placement --start trunk",
    ),
)
"""What the package ships, at work; then one small training per science."""

FULL = (
    Part(
        "jet_tagging",
        "What made a jet, with 100 and 1,000 labels? Beside: boosted trees.",
        400,
        "recipe jet_tagging --pretrain.steps 600 --finetune.steps 120",
        TAG,
    ),
    Part(
        "protein_structure",
        "Which residues of a protein touch? Beside: mean-field couplings.",
        350,
        "recipe protein_structure --families 32 --held-out 6 --train.steps 200 --fold 2",
        CONTACTS,
    ),
    Part(
        "symbolic_math",
        "What is the integral? Beside: rules alone, and SymPy.",
        300,
        "recipe symbolic_math --pairs 20000 --finetune.steps 300 --self-training 40 "
        "--model.trunk.dim 64 --model.trunk.encoder-layers 2 --model.trunk.decoder-layers 1 "
        "--test 20 --beams 1 5 --timeout 2",
        INTEGRATE,
    ),
    Part(
        "circuit_placement",
        "Where do the macros go? Beside: simulated annealing with the same CPU time.",
        700,
        "recipe circuit_placement --train-designs 6 --held-out 1 --scale 0.3 --cpu-seconds 3 "
        "--seeds 0 1 2 --teacher-cpu-seconds 0.5 --imitation-epochs 6 --updates 4",
        PLACE,
    ),
)
"""The recipes of the four sciences, at demonstration size."""


def parts_of(size: Size) -> tuple[Part, ...]:
    """The parts of a size; "tiny" has those of "short", each made small."""
    return FULL if size == "full" else SHORT


def share_of(size: Size) -> float:
    """What a part costs, as a share of its `cpu_seconds`."""
    return 0.3 if size == "tiny" else 1.0

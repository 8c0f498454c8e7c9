"""Absurd numbers in every format: a result or one line, within two gigabytes and twenty seconds."""

import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sciml.placement.design import MACRO
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.placer import place

CORPUS = Path(__file__).parents[2] / "corpus/placement"
DESIGNS = {
    "bookshelf": (["good_bookshelf/x.aux"], ["nodes", "nets", "pl", "scl"]),
    "protobuf": (["good.pb.txt", "plc/good.plc"], ["pb.txt", "plc"]),
    "lefdef": (["good_def/x.def"], ["def", "lef"]),
}
NUMBERS = [
    "-1e308", "1e308", "-1e39", "1e39", "-1e9", "1e9", "nan", "inf", "-inf", "1e400",
    "1" + "0" * 30, "2147483647", "-2147483648", "2147483649", "4294967296", "0", "-1",
    "1e-300", "1e-9", "0.0001",
    "99999999", "1000000",
]  # fmt: skip
NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?![\w.])")


def mutants(kind: str, folder: Path, count: int, rng: random.Random):
    """The design's path, once for each file with one to three absurd numbers."""
    sources, endings = DESIGNS[kind]
    for name in sources:
        source = CORPUS / name
        if kind == "protobuf":
            shutil.copy(source, folder)
        else:
            shutil.copytree(source.parent, folder, dirs_exist_ok=True)
    originals = {p: p.read_text() for p in folder.iterdir() if p.name.endswith(tuple(endings))}
    for _ in range(count):
        path = rng.choice(sorted(originals))
        text = originals[path]
        for _ in range(rng.choice([1, 1, 2, 3])):
            numbers = list(NUMBER.finditer(text))
            match = rng.choice(numbers)
            text = text[: match.start()] + rng.choice(NUMBERS) + text[match.end() :]
        path.write_text(text)
        yield folder / Path(sources[0]).name
        path.write_text(originals[path])


def run_all(kind: str, folder: Path, count: int, seed: int) -> None:
    """Read, score, check and (every third) place; a RuntimeWarning is an error, too."""
    from sciml.errors import InputError
    from sciml.placement import read_design, score

    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*read as they stand")
    sound = read_design(CORPUS / DESIGNS[kind][0][0])  # compiled before the clock runs
    score(sound)
    place(sound, cpu_seconds=0.02, movable="all" if sound.rows is not None else "macros")
    rng = random.Random(seed)
    read = refused = 0
    for k, path in enumerate(mutants(kind, folder, count, rng)):
        signal.setitimer(signal.ITIMER_PROF, 20.0)  # the system's own answer: it ends the process
        try:
            design = read_design(path)
            score(design)
            read += 1
            if k % 3 == 0:
                movable: Any = "all" if design.rows is not None else "macros"
                place(design, cpu_seconds=0.02, movable=movable, seed=k)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        except Exception as error:
            changed = "\n".join(p.read_text() for p in sorted(folder.iterdir()))
            raise AssertionError(f"{path}\n{changed}") from error
    print(read, refused)


@pytest.mark.parametrize("kind", DESIGNS)
def test_absurd_numbers(kind, tmp_path):
    def limits():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    done = subprocess.run(
        [sys.executable, __file__, kind, str(tmp_path), "167", "1"],
        capture_output=True, text=True, preexec_fn=limits,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    read, refused = map(int, done.stdout.split()[-2:])
    assert refused > 20 and read > 20


def test_a_budget_holds_on_a_fine_grid_and_flat_macros_are_placed():
    design = netlist(NetlistConfig(macros=4, clusters=6, ports=4), 1)
    design.height[design.kind == MACRO] = 0
    design = replace(design, grid=replace(design.grid, columns=512, rows=256))
    began = time.process_time()
    assert place(design, cpu_seconds=0.2).scores["legal"]
    assert time.process_time() - began < 15  # 25 when every step had 2,000 moves


if __name__ == "__main__":
    run_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

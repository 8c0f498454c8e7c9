"""The shapes in the signatures are true: trunks run with all of them checked.

In a process of its own, because jaxtyping's import hook must come before the package is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKER = """
import importlib.util
import pathlib

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as PEP 484 has it
root = pathlib.Path(importlib.util.find_spec("sciml").origin).parent
files = [*root.glob("nn/*.py"), *root.glob("trunks/*.py")]
files += [root / f"{part}.py" for part in ("graph", "symmetry", "testing", "random_graphs")]
# Operators registered with torch have their signatures checked by torch itself, and numba cannot
# compile a wrapped function.
names = [
    ".".join(("sciml", *file.relative_to(root).with_suffix("").parts)) for file in files
    if file.name != "__init__.py"
    and not any(word in file.read_text() for word in ("custom_op", "numba"))
]
install_import_hook(tuple(names), __name__ + ".check")
"""
RUN = """
import checker, sys, torch
from jaxtyping import TypeCheckError
from sciml import graph, testing, trunks
from sciml.nn.attention import pair_biased_attention

name = sys.argv[1]
if name == "control":
    good, bad = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5)
    pair_biased_attention(good, good, good, mask=torch.ones(1, 3, dtype=torch.bool))
    for wrong in (dict(k=bad), dict(v=bad), dict(mask=torch.ones(2, 3, dtype=torch.bool))):
        try:
            pair_biased_attention(**{"q": good, "k": good, "v": good, **wrong})
        except TypeCheckError:
            continue
        raise SystemExit(f"not refused: {list(wrong)}")
    raise SystemExit(0)
trunk = trunks.build(name, dim=16, **({"depth": 1} if name == "pair_transformer" else {}))
for layout in ("dense", "ragged"):
    encoded = trunk(testing.batch_for(trunk, layout, sizes=(4, 2)))
    (encoded.nodes.sum() + encoded.graph.sum()).backward()
"""


def run(folder, name):
    (folder / "checker.py").write_text(CHECKER)
    (folder / "run.py").write_text(RUN)
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(folder / "run.py"), name],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["control", "lorentz", "pair_transformer"])
def test_signatures_hold(name, tmp_path):
    done = run(tmp_path, name)
    assert done.returncode == 0, done.stderr[-3000:]

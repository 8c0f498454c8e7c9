"""`sciml demo`: the recipes at demonstration size, one page for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from sciml import recipes
from sciml.train.log import console

# Recipe -> settings that differ from its own; data comes with the package, nothing is fetched.
RECIPES: dict[str, list[str]] = {"jet_tagging": []}


def demo(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/demo"), tiny: bool = False
) -> None:
    """Pretrain, fine-tune, evaluate and report on data that comes with the package.

    Args:
        out: Where everything goes; the same command resumes there.
        tiny: A minute, to see that it runs.
    """
    for name, settings in RECIPES.items():
        arguments = [*settings, "--out", str(out)] + (["--tiny"] if tiny else [])
        recipes.run(recipes.load(name), arguments)
    console.print(f"the report: {out / 'report.html'}")

"""`sciml data make flavour-jets`: small-radius jets with flavours and the truth of each track.

Made in chunks as large jets are (`generate`): the same command after an interruption makes only the
missing ones, and the data set does not depend on the number of workers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from sciml.errors import InputError, unknown
from sciml.jets.simulation.flavour_table import jets_of_chunk
from sciml.jets.simulation.flavour_truth import PROCESSES
from sciml.jets.simulation.generate import DataSet, plan

MIXTURE = ("ttbar:45", "dijet:25", "ccbar:15", "Ztautau:15")
"""Jets per process: one in four is a b jet, one in twenty a tau."""


def make_flavours(
    processes: tuple[str, ...] = MIXTURE,
    jets: int = 10_000,
    seed: int = 0,
    workers: int = 1,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("flavour-jets.parquet"),
    detector: Literal["jetclass", "measured", "shifted"] = "measured",
    shower: Literal["pythia", "vincia"] = "pythia",
    pileup: float = 0.0,
    compact: bool = False,
    keep_chunks: bool = False,
    shards: int = 0,
    shard: int | None = None,
) -> None:
    """Generate b, c, tau, light and gluon jets of R = 0.4 with the truth of their tracks.

    Args:
        processes: Collisions that the jets are from, each with an optional weight: ttbar, dijet,
            ccbar, Ztautau.
        jets: Number of jets, all processes together.
        seed: Seed of the data set; the result does not depend on the number of workers.
        workers: Processes to use; 0 for one per core.
        out: The file to write, .parquet or .root.
        detector: measured: tracks weighted by their resolution; jetclass: the calorimeter alone
            measures energies; shifted: worse tracks and calorimeters.
        shower: Parton shower: Pythia's default, or Vincia to estimate the model uncertainty.
        pileup: Mean number of further collisions in the bunch crossing.
        compact: Write a smaller file: momenta rounded to 16 significant bits, track parameters to
            12, and without the columns that can be derived from the others.
        keep_chunks: Keep the folder OUT.chunks with one file for every 1000 jets.
        shards: Write so many Parquet files into the folder OUT instead.
        shard: Make this one of them alone (0 is the first): for jobs on several machines.
    """
    if not 0 <= pileup <= 1000:
        raise InputError(f"must be between 0 and 1000, got {pileup:g}", where="--pileup")
    options = {"seed": seed, "detector": detector, "shower": shower, "pileup": pileup}
    tasks = plan(processes, jets, _known, "--processes", jets_of_chunk)
    settings = {"processes": list(processes), "jets": jets, **options}
    DataSet(tasks, options, settings, workers, compact, keep_chunks).write(out, shards, shard)


def _known(name: str) -> None:
    if name not in PROCESSES:
        raise unknown("process", name, PROCESSES)

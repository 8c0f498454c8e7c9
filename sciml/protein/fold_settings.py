"""Settings of a folding run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from sciml.errors import InputError
from sciml.protein.alphafold.feature_config import FeatureConfig, published
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.model import AlphaFoldConfig
from sciml.protein.io.pairing import PairingConfig


@dataclass(frozen=True)
class FoldRun:
    """Settings of `sciml protein fold`; see its help."""

    input: Path
    out: Path
    params: Path | None = None
    model: str = "contacts-small"
    db: tuple[Path, ...] = ()
    clusters: int = 0
    extra: int = 0
    recycles: int = 3
    tolerance: float = 0.0
    batch_residues: int = 600
    truth: Path | None = None
    templates: Path | None = None
    hhr: Path | None = None
    embeddings: Path | None = None
    relax: bool = False
    seed: int = 0
    seeds: int = 1
    """Runs of each model, with the seeds `seed`, `seed` + 1, ..."""
    dropout: bool = False
    pairing: PairingConfig = PairingConfig()
    target: Path | None = None
    """A chain or complex that every query is folded together with."""
    shard: str | None = None
    """I/N: the I-th of N parts of the work; see `sharded`."""
    first: int = 0
    """Number of this model and seed among all, by which `shard` divides the work."""
    device: str = "auto"
    precision: str = "fp32"
    dry_run: bool = False
    launcher: str | None = None
    """ray: batches of chains are tasks on a Ray cluster."""
    workers: int = 0
    """Tasks at a time on a local cluster; 0 = as many as there are processors for."""
    relatives: Path | None = None
    """Folder of alignments found in `db`; `out` if None."""

    def __post_init__(self) -> None:
        if self.recycles < 0 or self.clusters < 0 or self.extra < 0:
            raise InputError("`recycles`, `clusters` and `extra` must be >= 0")
        for name in ("templates", "hhr", "embeddings", "relax"):
            if getattr(self, name) and self.params is None:
                raise InputError(
                    f"--{name} is for full models: the coarse one has neither templates, side "
                    "chains nor embeddings",
                    hint="Give the parameters by --params",
                )
        if self.seeds < 1:
            raise InputError(f"`seeds` must be >= 1, got {self.seeds}")
        if self.shard is not None:
            self.part  # noqa: B018 (refuses what is no part)
        if self.params is None and (self.seeds > 1 or self.dropout):
            raise InputError("--seeds and --dropout are for full models",
                             hint="Give the parameters by --params")  # fmt: skip
        if self.hhr is not None and self.templates is None:
            raise InputError(
                "--hhr names templates, not the files of their atoms",
                where=self.hhr,
                hint="Give the folder of their structure files, such as 4zey.cif, by --templates",
            )

    @property
    def part(self) -> tuple[int, int]:
        """(number from 1, count) of the shard; (1, 1) without one."""
        if self.shard is None:
            return 1, 1
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise InputError(f"must be I/N with I from 1 to N, got {self.shard!r}", where="--shard")
        return number, count

    def sharded(self, jobs: list[Job]) -> list[Job]:
        """The shard's part of the jobs of this model and seed."""
        number, count = self.part
        start = self.first * len(jobs)
        return [job for k, job in enumerate(jobs, start) if k % count == number - 1]

    @property
    def parameters(self) -> str:
        """Name of the parameters or contact model."""
        return self.model if self.params is None else self.params.stem

    def sizes(self, config: AlphaFoldConfig) -> FeatureConfig:
        """Sizes of the features: those given, else those of the published model."""
        usual = published(self.parameters, config.templates is not None)
        return replace(usual, clusters=self.clusters or usual.clusters,
                       extra=self.extra or usual.extra)  # fmt: skip

"""A folding run over files: chains, batches, results and report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sciml.device import choose
from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.protein.alphafold import memory, relaxation
from sciml.protein.alphafold.feature_config import DEFAULT_FEATURES, FeatureConfig, published
from sciml.protein.alphafold.hhsearch import hhsearch_templates
from sciml.protein.alphafold.model import AlphaFoldConfig
from sciml.protein.alphafold.predictor import OPENFOLD, Job, StructurePredictor, read_config
from sciml.protein.alphafold.templates import read_templates
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.fold_page import violation_text, write_page
from sciml.protein.io import residues
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.alignment_files import read_alignment, read_fasta
from sciml.protein.io.homology_search import safe_name
from sciml.protein.io.query_forms import is_job
from sciml.protein.io.sequence_records import suffix_of
from sciml.protein.io.structure import read_chains
from sciml.protein.io.structure_writing import write_structure
from sciml.protein.measure import metrics
from sciml.protein.result_folder import (
    earlier_search_result,
    read_finished,
    working,
    write_finished,
    write_ranking,
    write_search_result,
)
from sciml.train.log import Bar, console

ALIGNMENTS = (".a3m", ".a2m", ".sto", ".stk", ".stockholm", ".aln", ".afa")
SEQUENCES = (".fasta", ".fa", ".faa", ".fas", ".csv", ".tsv")


@dataclass(frozen=True)
class FoldRun:
    """Settings of `sciml protein fold`; see its help."""

    input: Path
    out: Path
    params: Path | None = None
    model: str = "contacts-small"
    db: Path | None = None
    clusters: int = 0
    extra: int = 0
    recycles: int = 3
    tolerance: float = 0.0
    batch_residues: int = 600
    truth: Path | None = None
    templates: Path | None = None
    hhr: Path | None = None
    relax: bool = False
    seed: int = 0
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
        for name in ("templates", "hhr", "relax"):
            if getattr(self, name) and self.params is None:
                raise InputError(
                    f"--{name} is for full models: the coarse one has neither templates nor side "
                    "chains",
                    hint="Give the parameters by --params",
                )
        if self.hhr is not None and self.templates is None:
            raise InputError(
                "--hhr names templates, not the files of their atoms",
                where=self.hhr,
                hint="Give the folder of their structure files, such as 4zey.cif, by --templates",
            )

    @property
    def parameters(self) -> str:
        """Name of the parameters or contact model."""
        return self.model if self.params is None else self.params.stem

    def sizes(self, config: AlphaFoldConfig) -> FeatureConfig:
        """Sizes of the features: those given, else those of the published model."""
        usual = published(self.parameters, config.templates is not None)
        return replace(usual, clusters=self.clusters or usual.clusters,
                       extra=self.extra or usual.extra)  # fmt: skip


def find_jobs(path: Path) -> list[Job]:
    """The chains of a file or folder.

    FASTA, `id,sequence` tables and AlphaFold 3's JSON hold sequences to fold, one or many; other
    formats hold one chain's alignment, whose first row is the query. Names are those of the
    sequences or files, made unique.

    Raises:
        InputError: a file is damaged, or holds a complex.
    """
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if suffix_of(p) in ALIGNMENTS + SEQUENCES]
        files += [p for p in sorted(path.glob("*.json")) if is_job(p)]
        if not files:
            raise InputError("holds no FASTA or alignment files", where=path)
    else:
        files = [path]
    jobs, used = [], set()
    for file in files:
        stem = file.name.split(".")[0] or "chain"
        if suffix_of(file) in (*SEQUENCES, ".json"):
            records = read_fasta(file)
            chains = [
                (safe_name(head.split(" ")[0]) if len(records) > 1 or head else stem,
                 Alignment.from_sequences([letters], [head or stem], source=str(file)))
                for head, letters in records
            ]  # fmt: skip
        else:
            chains = [(safe_name(stem), read_alignment(file).with_query(0))]
        for name, alignment in chains:
            unique, number = name or "chain", 2
            while unique in used:
                unique, number = f"{name}_{number}", number + 1
            used.add(unique)
            jobs.append(Job(alignment, (), unique))
    return jobs


def batches(jobs: list[Job], residues: int) -> Iterator[list[Job]]:
    """Chains of similar length together, at most `residues` padded residues per batch."""
    waiting: list[Job] = []
    for job in sorted(jobs, key=lambda j: j.alignment.columns):
        n = job.alignment.columns
        if waiting and (len(waiting) + 1) * n > residues:
            yield waiting
            waiting = []
        waiting.append(job)
    if waiting:
        yield waiting


def _done(job: Job, run: FoldRun) -> dict[str, Any] | None:
    """The ranking's row of a chain that `run.out` holds already.

    Raises:
        InputError: what it holds under this name is another chain, or of other parameters.
    """
    path = run.out / f"{job.name}_confidence.json"
    row = read_finished(run.out, job.name)
    if row is None:
        return None
    row.pop("plddt", None)
    same = row.pop("sequence", None) == job.alignment.row(0).replace("-", "")
    if same and row.get("model") == run.parameters:
        return row
    other = f"this chain folded with {row.get('model')}" if same else "another chain of this name"
    raise InputError(f"holds {other}", where=path, hint="Choose another folder by -o")


def run_fold(run: FoldRun) -> list[dict[str, Any]]:
    """Fold everything in `run.input` into `run.out`; rows of the ranking."""
    if run.params is not None and run.params.is_dir():
        return _fold_by_each(run)
    jobs = find_jobs(run.input)
    finished = {job.name: _done(job, run) for job in jobs}
    left = [job for job in jobs if finished[job.name] is None]
    console.print(f"{len(jobs)} chains, {len(jobs) - len(left)} of them done already")
    rows = [row for row in finished.values() if row is not None]
    written = [run.out / name for name in ("report.html", "ranking.json")]
    if not left and all(path.is_file() and path.stat().st_size for path in written):
        return rows
    _check(run, left, len(jobs))
    if run.templates is not None:
        left = [_templated(job, run) for job in left]
    fold = _fold_coarse if run.params is None else _fold_alphafold
    if run.dry_run:
        return rows + fold(run, left)
    with working(run.out, [job.name for job in left]):
        if run.db is not None:
            jobs = [_searched(job, run.db, run.relatives or run.out) for job in jobs]
            alignments = {job.name: job.alignment for job in jobs}
            left = [replace(job, alignment=alignments[job.name]) for job in left]
        failed: list[Any] = []
        if run.launcher == "ray":
            folded, failed = _fold_on_ray(fold, run, left)
            rows += folded
            done = {row["name"] for row in rows}
            jobs = [job for job in jobs if job.name in done]
        else:
            rows += fold(run, left)
        write_ranking(rows, run.out / "ranking.json")
        write_page(run, jobs, rows, partial(_truth, run))
    if failed:
        from sciml.launch import ray_files

        ray_files.refuse(failed, len(rows) + len(failed), "chains")
    return rows


def _fold_on_ray(
    fold: Callable[[FoldRun, list[Job]], list[dict[str, Any]]], run: FoldRun, jobs: list[Job]
) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """Rows of the chains folded by tasks on a Ray cluster, and the failures by name.

    The batches, and so the results, are those of a run in this process.
    """
    from sciml.launch import ray_files

    groups = [[job] for job in jobs] if run.params is None else list(
        batches(jobs, run.batch_residues)
    )  # fmt: skip
    run = replace(run, out=run.out.absolute(), launcher=None)
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, Any]] = []
    results = ray_files.run(partial(fold, run), groups, run.workers, title="folding")
    for group, result in zip(groups, results, strict=True):
        if isinstance(result, ray_files.Failure):
            failed += [(job.name, result) for job in group]
        else:
            rows += result
    return rows, failed


def _check(run: FoldRun, left: list[Job], count: int) -> None:
    """Refuse what cannot be folded before anything is searched or written."""
    if run.params is None and left:
        ContactPredictor.from_pretrained(run.model, device=run.device)
    if run.relax:
        _check_relaxable(left)
    if run.hhr is not None and count > 1 and not run.hhr.is_dir():
        raise InputError(
            f"holds the hits of one chain, there are {count} to fold", where=run.hhr,
            hint="Give a folder with NAME.hhr for each chain",
        )  # fmt: skip


def _fold_by_each(run: FoldRun) -> list[dict[str, Any]]:
    """Fold by each parameter file of a folder, into a folder of its name; rank all results."""
    assert run.params is not None
    files = sorted(path for path in run.params.iterdir() if path.suffix in (".npz", *OPENFOLD))
    if not files:
        kinds = ", ".join((".npz", *OPENFOLD))
        raise InputError(f"holds no parameter files ({kinds})", where=run.params)
    configs = {file: read_config(file) for file in files}  # of all, before anything is folded
    if any(not config.chain_positions for config in configs.values()):
        for file in [file for file, config in configs.items() if config.chain_positions]:
            console.print(f"{file.name} is left out: AlphaFold-Multimer's, for complexes")
            del configs[file]
    rows = []
    with nullcontext() if run.dry_run else working(run.out, []):
        for file, config in configs.items():
            part = replace(run, params=file, out=run.out / file.stem, relatives=run.out)
            without = run.templates is not None and config.templates is None
            console.print(f"{file.stem}" + (", which takes no templates" if without else ""))
            if without:
                part = replace(part, templates=None, hhr=None)
            rows += [row | {"name": f"{file.stem}/{row['name']}"} for row in run_fold(part)]
        if not run.dry_run:
            write_ranking(rows, run.out / "ranking.json")
            jobs = find_jobs(run.input)
            if run.db is not None:
                jobs = [_searched(job, run.db, run.out) for job in jobs]
            write_page(run, jobs, rows, partial(_truth, run))
    return rows


def _searched(job: Job, db: Path, out: Path) -> Job:
    """The chain with its homologues, which are kept in `out` and not searched for again."""
    from sciml.protein.io.homology_search import search

    if job.alignment.depth > 1:
        return job
    path = out / f"{job.name}.a3m"
    if alignment := earlier_search_result(path, job.alignment):
        return replace(job, alignment=alignment)
    alignment = search(job.alignment.sequence(), db, name=job.name).alignment
    write_search_result(path, alignment)
    console.print(f"{path}: {alignment.depth} sequences found")
    return replace(job, alignment=alignment)


def _templated(job: Job, run: FoldRun) -> Job:
    """The chain with its templates: HHsearch's, or all structures that can be aligned to it."""
    assert run.templates is not None
    query = job.alignment.with_query(0).row(0)
    if run.hhr is None:
        templates = read_templates(run.templates, query)
    else:
        hhr = run.hhr
        if hhr.is_dir():
            files = [hhr / f"{job.name}{end}" for end in (".hhr", ".hhr.gz")]
            files = [path for path in files if path.exists()]
            if not files:
                console.print(f"{job.name}: {hhr} has no {job.name}.hhr; folded without templates")
                return job
            hhr = files[0]
        templates = hhsearch_templates(hhr, run.templates, query)
    used = ", ".join(template.name for template in templates[: DEFAULT_FEATURES.templates])
    console.print(f"{job.name}: {len(templates)} templates" + (f", used: {used}" if used else ""))
    return replace(job, templates=tuple(templates))


def _check_relaxable(jobs: list[Job]) -> None:
    """Refuse before folding what would stop the relaxation after it."""
    relaxation.require()
    for job in jobs:
        unknown = np.flatnonzero(job.alignment.with_query(0).rows[0] >= residues.UNKNOWN)
        if len(unknown):
            raise InputError(
                f"residue {unknown[0] + 1} of {job.name!r} is of no known type and has no force "
                "field",
                where=job.alignment.source,
                hint="Fold this chain without --relax",
            )


def _truth(run: FoldRun, name: str, n: int) -> np.ndarray | None:
    """CB distances [N, N] of a known structure, if there is one of the same length."""
    if run.truth is None:
        return None
    for path in (run.truth, *(run.truth / f"{name}{end}" for end in (".pdb", ".cif"))):
        if path.is_file():
            chain = read_chains(path)[0]
            if len(chain) == n:
                return metrics.distances(chain.beta())
            console.print(f"{path}: {len(chain)} residues, the chain has {n}; not compared")
    return None


def _fold_alphafold(run: FoldRun, jobs: list[Job]) -> list[dict[str, Any]]:
    assert run.params is not None
    config = read_config(run.params)
    if run.templates is not None and config.templates is None:
        raise InputError(
            "these parameters are of a model without templates", where=run.params,
            hint="Models 1 and 2 take templates; or leave out --templates",
        )  # fmt: skip
    sizes, placement = run.sizes(config), choose(run.device, run.precision)
    groups = list(batches(jobs, run.batch_residues))
    speed = memory.speed(placement)
    for group in groups:  # before the parameters are read
        n = group[-1].alignment.columns
        needed = memory.estimate(
            config,
            n,
            sizes,
            batch=len(group),
            templates=sizes.templates if any(job.templates for job in group) else 0,
            width=placement.dtype.itemsize,
        )
        memory.check(needed, config, n, sizes, None, placement)
        seconds = needed.operations * (run.recycles + 1) / speed
        console.print(
            f"{len(group)} chains of up to {n} residues: about {needed} and {seconds:.0f} s"
        )
    if run.dry_run or not jobs:
        return []
    predictor = StructurePredictor.from_pretrained(
        run.params, device=run.device, precision=run.precision
    )
    console.print(f"computing on {placement}")
    rows = []
    with Bar("folding", len(jobs)) as bar:
        for group in groups:
            for prediction in predictor.predict_many(
                group,
                config=sizes,
                recycles=run.recycles,
                tolerance=run.tolerance,
                seed=run.seed,
            ):
                if run.relax:
                    for end in ("cif", "pdb"):
                        prediction.write_structure(run.out / f"{prediction.name}_unrelaxed.{end}")
                    prediction = prediction.relaxed()
                    console.print(
                        f"{prediction.name}: {violation_text(prediction.violations or {})}"
                    )
                prediction.write(run.out)
                rows.append(prediction.summary())
            bar.update(len(rows))
    return rows


def _fold_coarse(run: FoldRun, jobs: list[Job]) -> list[dict[str, Any]]:
    from sciml.protein.contacts.calibration import FEW, few
    from sciml.protein.contacts.coarse_model import fold
    from sciml.protein.contacts.features import cost
    from sciml.protein.contacts.predictor import MAX_COLUMNS

    free = memory.available()
    for job in jobs:
        n = job.alignment.columns
        seconds, size = cost(job.alignment.depth, n)
        seconds += 3e-4 * n**2  # the network, and folding from its distances
        if n > MAX_COLUMNS or size > free:
            fits = min(MAX_COLUMNS, int((free / 17_000) ** 0.5))
            raise InputError(
                f"{job.name!r} has {n} residues, which need {size / 2**30:.1f} GiB; the contact "
                f"network takes at most {fits} here",
                where=run.input,
                hint="Cut it into domains, or use --params",
            )
        console.print(
            f"{job.name}: {n} residues, {job.alignment.depth} sequences, about "
            f"{size / 2**30:.1f} GiB and {seconds:.0f} s of a core"
        )
    if run.dry_run or not jobs:
        return []
    predictor = ContactPredictor.from_pretrained(run.model, device=run.device)
    rows = []
    with Bar("folding", len(jobs)) as bar:
        for job in jobs:
            alignment = job.alignment.with_query(0)
            predicted = predictor.predict(alignment)
            if predicted.neff < FEW:
                console.print(f"{job.name}: {few(predicted.neff)}; nor is its fold to be trusted")
            coarse = fold(predicted.distogram, seed=run.seed)
            types = alignment.rows[0].astype(np.int64)
            atoms, mask = np.zeros((len(types), 37, 3)), np.zeros((len(types), 37))
            atoms[:, 1], atoms[:, 3] = coarse.ca, coarse.cb
            mask[:, 1] = 1
            mask[:, 3] = types != 7  # glycine has no CB
            files = {end: run.out / f"{job.name}{end}" for end in (".cif", ".pdb")}
            for path in files.values():
                write_structure(path, types, atoms, mask, title=job.name)
            files["distances"] = run.out / f"{job.name}_distances.npz"
            with (
                atomic_write(files["distances"]) as temporary,
                open(temporary, "wb") as file,
            ):
                np.savez_compressed(
                    file,
                    contacts=predicted.probability,
                    distances=predicted.distogram.astype(np.float16),
                )
            row = {
                "name": job.name,
                "model": run.model,
                "residues": len(types),
                "sequences": alignment.depth,
                "effective_sequences": round(predicted.neff, 1),
                "mean_plddt": None,
            }
            real = _truth(run, job.name, len(types))
            if real is not None:
                scores = metrics.contact_precision(predicted.probability, real)
                row["long-range P@L/5"] = round(scores["P@L/5"], 4)
            write_finished(run.out, job.name, alignment.row(0), row, files)
            rows.append(row)
            bar.update(len(rows))
    return rows

"""Chains folded by one model, AlphaFold's or a contact model's, into the files of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciml.device import choose
from sciml.errors import InputError
from sciml.paths import atomic_write
from sciml.protein.alphafold import memory
from sciml.protein.alphafold.complex_features import CHAIN_BREAK
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.predictor import StructurePredictor
from sciml.protein.alphafold.weights.formats import read_config
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.fold_inputs import batches, known_distances, known_quality
from sciml.protein.fold_page import violation_text
from sciml.protein.fold_settings import FoldRun
from sciml.protein.io.structure_writing import write_structure
from sciml.protein.measure import metrics
from sciml.protein.result_folder import write_finished
from sciml.train.log import Bar, console


def fold_alphafold(run: FoldRun, jobs: list[Job]) -> list[dict[str, Any]]:
    """Fold chains by an AlphaFold network, in batches; rows of the ranking."""
    assert run.params is not None
    config = read_config(run.params)
    if run.templates is not None and config.templates is None:
        raise InputError(
            "these parameters are of a model without templates", where=run.params,
            hint="Models 1 and 2 take templates; or leave out --templates",
        )  # fmt: skip
    if bool(config.embedding_dim) != (run.embeddings is not None):
        raise InputError(
            "these parameters read embeddings of a language model" if config.embedding_dim
            else "these parameters read alignments, no embeddings", where=run.params,
            hint="Give a folder of them by --embeddings" if config.embedding_dim
            else "Leave out --embeddings",
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
    if any(job.chains for job in jobs) and not config.chain_positions:
        console.print(
            f"{run.parameters} is a monomer's: it takes complexes as chains with a gap of "
            f"{CHAIN_BREAK} residues; AlphaFold-Multimer's parameters are made for them"
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
                dropout=run.dropout,
            ):
                if run.relax:
                    for end in ("cif", "pdb"):
                        prediction.write_structure(run.out / f"{prediction.name}_unrelaxed.{end}")
                    prediction = prediction.relaxed()
                    console.print(
                        f"{prediction.name}: {violation_text(prediction.violations or {})}"
                    )
                files = prediction.write(run.out)
                rows.append(prediction.summary() | known_quality(run.truth, files["cif"]))
            bar.update(len(rows))
    return rows


def fold_coarse(run: FoldRun, jobs: list[Job]) -> list[dict[str, Any]]:
    """Fold chains from the distances of a contact model; rows of the ranking."""
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
            real = known_distances(run.truth, job.name, len(types))
            if real is not None:
                scores = metrics.contact_precision(predicted.probability, real)
                row["long-range P@L/5"] = round(scores["P@L/5"], 4)
            write_finished(run.out, job.name, alignment.row(0), row, files)
            rows.append(row)
            bar.update(len(rows))
    return rows

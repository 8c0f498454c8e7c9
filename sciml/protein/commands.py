"""`sciml protein`: fold, search, contacts, explain, score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from sciml.errors import InputError
from sciml.files.jsons import dumps
from sciml.paths import keep_apart
from sciml.renamed import renamed

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
Positional = tyro.conf.Positional[Path]


@renamed(most="max_hits")
def search(
    query: Positional,
    out: Out,
    *,
    db: tuple[Path, ...],
    iterations: int = 3,
    evalue: float = 1e-3,
    max_hits: int = 10000,
    cores: int = 0,
    format: Literal["a3m", "sto"] = "a3m",
    pairing: Literal["species", "genome", "none"] = "species",
    complete_pairs: bool = False,
) -> None:
    """Find homologues of sequences and complexes in FASTA files and align them (no programs).

    The rows of a complex's chains are paired, and written as ColabFold's A3M.

    Args:
        query: FASTA, a table `id,sequence` or AlphaFold 3's JSON with the queries; `A:B` is a
            complex.
        out: Alignment to write (.a3m, .fasta, .sto), or a folder for several queries. A complex
            becomes one .a3m, or NAME_A.sto, NAME_B.sto, ... of its distinct chains.
        db: FASTA files with the sequences to search, gzipped or not, each searched for itself.
        iterations: Rounds of profile search.
        evalue: Largest E-value of a hit.
        max_hits: Largest number of hits in each file.
        cores: Threads; 0 = all cores.
        format: Of the files in a folder.
        pairing: How rows of the chains of a complex are paired: species; genome (neighbouring
            UniProt accessions, of bacterial operons); none.
        complete_pairs: Pair only rows of all chains; otherwise of two or more.
    """
    from sciml.protein.io import homology_search
    from sciml.protein.io.complexes import write_complex
    from sciml.protein.io.pairing import PairingConfig, pair_chains
    from sciml.protein.io.structure_writing import chain_name
    from sciml.train.log import console

    config = homology_search.SearchConfig(iterations, evalue, max_hits, cores)
    jobs = homology_search.queries(query)
    blocks = [homology_search.read_database(path) for path in db]

    def progress(name: str, number: int, hits: int) -> None:
        console.print(f"{name}: round {number}, {hits} hits")

    for job in jobs:
        alone = len(jobs) == 1 and out.suffix
        path = out if alone else out / f"{job.name}.{format}"
        keep_apart(path, query, *db)
        complex_, results = homology_search.search_complex(job, blocks, config, progress=progress)
        whole = len(job.sequences) > 1 and path.suffix == ".a3m"
        if whole:
            complex_ = pair_chains(complex_, PairingConfig(pairing, complete_pairs))
            write_complex(complex_, path)
            console.print(f"{path}: {complex_.paired_depth - 1} rows pair chains")
        for k, (chain, result) in enumerate(zip(complex_.chains, results, strict=True)):
            part = path
            if len(complex_.chains) > 1 and not whole:
                part = path.with_name(f"{path.stem}_{chain_name(k)}{path.suffix}")
            if not whole:
                result.alignment.write(part)
            end = "converged" if result.converged else f"stopped after {result.rounds} rounds"
            of = f" of chain {chain_name(k)}" if whole else ""
            console.print(f"{part}: {chain.unpaired.depth} sequences{of}, {end}")


def contacts(
    msa: Positional,
    out: Out,
    *,
    model: str = "contacts-small",
    columns: Literal["all", "query"] = "query",
    query: str | None = None,
    separation: int = 6,
) -> None:
    """Predict contacts (CB closer than 8 A) from an alignment.

    Above 700 columns they are predicted in overlapping windows of 400; pairs that are in no window
    are left out of a .tsv and NaN in an .npz.

    Args:
        msa: Alignment: A3M, FASTA, Stockholm, Clustal or one row per line, gzipped or not.
        out: .tsv (i, j from 1 and probability, best first) or .npz (probability [C, C], classes of
            CB distance [C, C, 16] as `distances`, dca [C, C]).
        model: Shipped model, or .safetensors file or folder of a model; or ESM-2 or MSA
            Transformer: fair-esm's .pt, a folder of Hugging Face's. These give contacts alone.
        columns: The query's residues, or all columns of the alignment.
        query: Name or sequence of the query, if it is not the first row.
        separation: Least distance along the chain of pairs in a .tsv [residues].
    """
    from sciml.paths import atomic_write
    from sciml.protein.contacts.calibration import FEW, few
    from sciml.protein.contacts.predictor import MAX_COLUMNS, ContactPredictor
    from sciml.protein.contacts.windows import STEP, starts
    from sciml.protein.esm.weights import is_esm
    from sciml.protein.io.alignment_files import read_alignment
    from sciml.train.log import Bar, console

    if out.suffix not in (".tsv", ".npz"):
        raise InputError(f"ends in {out.suffix!r}; .tsv or .npz is needed", where=out)
    keep_apart(out, msa, model)
    alignment = read_alignment(msa)
    if query is not None:
        alignment = alignment.with_query(query)
    if columns == "query":
        alignment = alignment.with_query(0)
    if is_esm(model):
        if columns == "all":
            raise InputError("a language model predicts the query's residues, not all columns")
        said = ContactPredictor.from_esm(model).predict(alignment)
        with atomic_write(out) as temporary:
            _write_contacts(temporary, out.suffix, said, separation, {})
        console.print(f"{out}: {len(said)} residues, {said.rows} of {alignment.depth} sequences")
        return
    wide = alignment.columns > MAX_COLUMNS
    predictor = ContactPredictor.from_pretrained(model)
    with Bar("windows", len(starts(alignment.columns)), quiet=not wide) as bar:
        predicted = predictor.predict(alignment, columns, lambda done, _: bar.update(done))
    finite = np.isfinite(predicted.probability)
    if not finite.all() and predicted.windows == 1:
        raise InputError("not written: the network's probabilities are not finite", where=model)
    arrays = {"distances": predicted.distogram.astype(np.float16), "dca": predicted.dca}
    with atomic_write(out) as temporary:
        _write_contacts(temporary, out.suffix, predicted, separation, arrays)
    console.print(
        f"{out}: {len(predicted.probability)} residues, {alignment.depth} sequences "
        f"({predicted.neff:.0f} effective)"
    )
    if predicted.neff < FEW:
        console.print(few(predicted.neff))
    if predicted.windows > 1:
        console.print(
            f"Predicted in {predicted.windows} windows along the chain, each from its own columns: "
            f"{1 - finite.mean():.0%} of the pairs, all more than {STEP} columns apart, are "
            "in no window and not predicted"
        )


def _write_contacts(
    path: Path, suffix: str, predicted: Any, separation: int, arrays: dict[str, Any]
) -> None:
    """Probabilities and further arrays as .npz, or the list of pairs as .tsv."""
    if suffix == ".npz":
        with open(path, "wb") as file:
            np.savez_compressed(file, probability=predicted.probability, **arrays)
        return
    lines = ["i\tj\tprobability\n"]
    lines += [f"{i + 1}\t{j + 1}\t{p:.4f}\n" for i, j, p in predicted.table(separation)]
    path.write_text("".join(lines), encoding="utf-8")


def score(
    model: Positional,
    truth: Positional,
    *,
    chain: str | None = None,
    truth_chain: str | None = None,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
) -> None:
    """Compare a model with a structure: lDDT, GDT, TM-score, RMSD, contact precision.

    Where both have several chains and none is named, the complexes are compared: DockQ with its
    parts and interface lDDT of every two chains that touch, and the TM-score of all chains.
    Residues are paired by their numbers where the sequences agree there, else by alignment.

    Args:
        model: Structure to score (mmCIF, PDB, gzipped or not).
        truth: Reference structure.
        chain: Chain of the model; the first if not given and the other has one chain.
        truth_chain: Chain of the reference, likewise.
        out: Also write the scores as JSON.
    """
    from sciml.paths import atomic_write
    from sciml.protein.io.structure import read_chain, read_chains
    from sciml.protein.measure.complex_score import score_complex
    from sciml.protein.measure.score import score_chains
    from sciml.train.log import console

    parts = [list(read_chains(file)) for file in (model, truth)]
    if chain is None and truth_chain is None and all(len(part) > 1 for part in parts):
        keep_apart(out, model, truth)
        whole = score_complex(*parts)
        for key in ("dockq", "tm_score"):
            print(f"{key:<24} {whole[key]:.4f}")
        for pair, values in whole["interfaces"].items():
            for key, value in values.items():
                shown = f"{value:.4f}" if isinstance(value, float) else str(value)
                print(f"{pair + ' ' + key:<24} {shown}")
        print(f"{'chains':<24} " + ", ".join(f"{a} is {b}" for a, b in whole["chains"].items()))
        if out is not None:
            with atomic_write(out) as temporary:
                temporary.write_text(dumps(whole, indent=1), encoding="utf-8")
        return
    for file, name, chains in ((model, chain, parts[0]), (truth, truth_chain, parts[1])):
        names = [part.name for part in chains]
        if name is None and len(names) > 1:
            console.print(
                f"{file}: chain {names[0]!r} of {len(names)} is scored, not the complex; others: "
                f"{', '.join(names[1:10])}",
                markup=False,
            )
    keep_apart(out, model, truth)
    scores = score_chains(read_chain(model, chain), read_chain(truth, truth_chain))
    for name, value in scores.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        print(f"{name:<24} {shown}")
    if out is not None:
        with atomic_write(out) as temporary:
            temporary.write_text(dumps(scores, indent=1), encoding="utf-8")


def fold(
    input: Positional,
    out: Out,
    *,
    params: Path | None = None,
    model: str = "contacts-small",
    db: tuple[Path, ...] = (),
    clusters: int = 0,
    extra: int = 0,
    recycles: int = 3,
    tolerance: float = 0.0,
    batch_residues: int = 600,
    truth: Path | None = None,
    templates: Path | None = None,
    hhr: Path | None = None,
    embeddings: Path | None = None,
    relax: bool = False,
    seed: int = 0,
    seeds: int = 1,
    dropout: bool = False,
    pairing: Literal["given", "species", "genome", "none"] = "given",
    complete_pairs: bool = False,
    target: Path | None = None,
    shard: str | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    dry_run: bool = False,
    launcher: Literal["ray"] | None = None,
    workers: int = 0,
) -> None:
    """Fold chains and complexes with AlphaFold or OpenFold parameters, or chains coarsely.

    Chains that OUT already holds are skipped. With `--params` each chain gives mmCIF, PDB (pLDDT in
    the B-factor column), confidences, predicted aligned error and distances; without, contacts and
    a coarse CA/CB model from predicted distances. OUT/report.html shows them.

    From an alignment alone: sciml protein fold chain.a3m -o OUT. With parameters and templates:
    sciml protein fold chain.a3m -o OUT --params params_model_1_ptm.npz --hhr chain.hhr --templates
    mmcif_files --relax. With --dry-run, only the memory and time of the run are printed.

    Args:
        input: FASTA or a table `id,sequence` (each sequence a chain), an alignment (A3M,
            Stockholm), or a folder of them. Complexes are `A:B` in FASTA and tables, ColabFold's
            A3M, AlphaFold 3's JSON, `A.a3m:B.a3m`, or in a folder a folder of A3Ms; they need
            `params`, best of AlphaFold-Multimer.
        out: Folder for the results.
        params: params_model_*.npz of AlphaFold 2, an OpenFold checkpoint (.pt), or a .safetensors
            file of `StructurePredictor.save`; or a folder of such files, such as the five models:
            each folds every chain into OUT/NAME_OF_THE_FILE, and OUT/ranking.json ranks all.
        model: Contact model to use without `params`.
        db: FASTA files to search for homologues of sequences that come without an alignment.
        clusters: Rows of the main alignment; 0 = as many as the published model takes.
        extra: Extra sequences; 0 = as many as the published model takes.
        recycles: Largest number of recycling passes.
        tolerance: Stop recycling when CA distances change by less than this [A].
        batch_residues: Short chains share a batch of up to this many padded residues [residues].
        truth: Folder with NAME.pdb or NAME.cif of chains whose structure is known.
        templates: Structure file, or folder of them, to use as templates (with `params` of a model
            that takes templates). Without `hhr` every chain in it is aligned by its sequence.
        hhr: HHsearch result (.hhr), or a folder with NAME.hhr for each chain: the templates to use
            and their alignments; their files, such as 4zey.cif, are in `templates`.
        embeddings: Folder with NAME.pt (fair-esm's extract.py) or NAME.npy [residues, channels] for
            each chain, or the file of one: what OpenFold's SoloSeq reads in place of an alignment.
        relax: Minimise the energy of the full model (needs sciml[relax]); NAME_unrelaxed.pdb keeps
            the atoms of the network, NAME_confidence.json counts violations before and after.
        seed: Seed of the choice of rows, of masking and of random starts.
        seeds: Runs of each model, by SEED, SEED + 1, ..., into OUT/seed_N; OUT/ranking.json ranks
            all.
        dropout: Keep dropout on, for more different structures.
        pairing: How rows of the chains of a complex are paired: species; genome (neighbouring
            UniProt accessions, of bacterial operons); none; given: the file's own pairs, and by
            species where it has none.
        complete_pairs: Pair only rows of all chains; otherwise of two or more.
        target: Chain or complex that every query of INPUT is folded together with, such as many
            binders of one protein; its alignment is searched for once.
        shard: I/N: fold the I-th of N equal parts into OUT/shard_I_of_N. The same command without
            it then ranks and shows all together.
        device: auto, cpu, cuda, ...
        precision: fp32, or bf16 on a GPU.
        dry_run: Print what would be done, with memory and time, and stop.
        launcher: ray: batches of chains are tasks on a Ray cluster (extra: ray) that sees the same
            files. Batches that fail are tried again, and listed at the end.
        workers: Tasks at a time, if the cluster is this machine; 0 = all processors.
    """
    from sciml.protein.batch import FoldRun, run_fold
    from sciml.protein.io.pairing import PairingConfig

    run_fold(
        FoldRun(
            input=input, out=out, params=params, model=model, db=db, clusters=clusters,
            extra=extra, recycles=recycles, tolerance=tolerance, batch_residues=batch_residues,
            truth=truth, templates=templates, hhr=hhr, embeddings=embeddings, relax=relax,
            seed=seed, seeds=seeds, dropout=dropout,
            pairing=PairingConfig(pairing, complete_pairs), target=target,
            shard=shard, device=device, precision=precision, dry_run=dry_run, launcher=launcher,
            workers=workers,
        )
    )  # fmt: skip


def explain(
    msa: Positional,
    out: Out,
    *,
    pair: tuple[int, int],
    model: str = "contacts-small",
    query: str | None = None,
) -> None:
    """Say why a contact is predicted: what each pair of columns contributes, and what is lost
    without which sequences. A page.

    Args:
        msa: Alignment, as for `contacts`.
        out: The page, .html.
        pair: The two residues of the query, from 1.
        model: As for `contacts`, but no language model.
        query: Name or sequence of the query, if it is not the first row.
    """
    from sciml.protein.contacts.explanation import explanation
    from sciml.protein.contacts.predictor import MAX_COLUMNS, ContactPredictor
    from sciml.protein.io.alignment_files import read_alignment
    from sciml.train.log import console

    if out.suffix != ".html":
        raise InputError("must end in .html", where=out)
    keep_apart(out, msa, model)
    alignment = read_alignment(msa).with_query(0 if query is None else query).deduplicate()
    if alignment.columns > MAX_COLUMNS:
        raise InputError(f"has {alignment.columns} columns, at most {MAX_COLUMNS} are explained",
                         where=msa, hint="Cut out the domain")  # fmt: skip
    explanation(ContactPredictor.from_pretrained(model), alignment, pair, model).write(out)
    console.print(str(out), soft_wrap=True)


COMMANDS: dict[str, Callable[..., Any]] = {
    "fold": fold,
    "search": search,
    "contacts": contacts,
    "explain": explain,
    "score": score,
}

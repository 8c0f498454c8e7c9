"""Templates of AlphaFold's own pipeline: HHsearch's hits and a folder of mmCIF files.

Jumper et al., Nature 596, 583 (2021), supplement 1.2.3: hits are aligned by HHsearch, those that
cover too little of the query or repeat it are left out, and the rest are ordered by the sum of
HHsearch's column probabilities.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import InputError
from sciml.files import unpack
from sciml.paths import existing_file
from sciml.protein.alphafold.templates import Template
from sciml.protein.io import residues
from sciml.protein.io.structure import Chain, read_chain

LEAST_RESIDUES, LEAST_COVERAGE = 10, 0.1
SAME = 0.9
"""Share of letters that a structure must have in common with the hit's sequence."""
_ROW = re.compile(r"^([QT]) (\S+)\s+(\d+) ([A-Za-z.\-]+)\s+(\d+) \((\d+)\)\s*$")
_NOT_SEQUENCES = {"Consensus", "ss_pred", "ss_dssp", "ss_conf"}


@dataclass
class Hit:
    """One alignment of a template to the query.

    Attributes:
        name: as in the file, such as 4ZEY_A.
        pairs: [(query residue, template residue)], both from 0, in the sequences searched.
        letters: template residue -> its letter.
        sum_probs: sum of the aligned columns' probabilities.
        query_letters: query residue -> its letter, where the file shows it.
    """

    name: str
    pairs: list[tuple[int, int]]
    letters: dict[int, str]
    sum_probs: float
    query_letters: dict[int, str] = field(default_factory=dict)


def read_hhr(path: str | Path) -> list[Hit]:
    """The alignments of an HHsearch result file (.hhr, .hhr.gz), in its order.

    Raises:
        InputError: the file is none, or an alignment in it is broken.
    """
    path = existing_file(path, "HHsearch result file")
    text = unpack.read_bytes(path).decode("utf-8", "replace")
    if not text.startswith("Query "):
        raise InputError("is no HHsearch result file (it does not begin with 'Query')", where=path)
    hits = []
    for part in re.split(r"^No \d+\s*$", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in part.splitlines() if line.strip()]
        if not lines or not lines[0].startswith(">"):
            raise InputError(f"has an alignment without a name near {part[:40]!r}", where=path)
        name = (lines[0][1:].split() or ["?"])[0]
        score = _sum_probs(part, f"{path}: {name}")
        rows: dict[str, tuple[list[str], list[int]]] = {"Q": ([], []), "T": ([], [])}
        for line in lines:
            match = _ROW.match(line)
            if match and match[2] not in _NOT_SEQUENCES:
                sequences, starts = rows[match[1]]
                start = int(match[3][:9])
                before = sum(c not in "-." for row in sequences for c in row)
                if start < 1 or (starts and start != starts[0] + before):
                    raise InputError(
                        f"numbers the row {match[4][:20]!r} from {start}", where=f"{path}: {name}"
                    )
                sequences.append(match[4])
                starts.append(start)
        query, template = ("".join(rows[side][0]) for side in "QT")
        if len(query) != len(template) or not query:
            raise InputError("has an alignment of unequal rows", where=f"{path}: {name}")
        i, j = rows["Q"][1][0] - 1, rows["T"][1][0] - 1
        pairs, letters, query_letters = [], {}, {}
        for one, other in zip(query, template, strict=True):
            if one not in "-." and other not in "-.":
                pairs.append((i, j))
            if other not in "-.":
                letters[j] = other.upper()
            if one not in "-.":
                query_letters[i] = one.upper()
            i, j = i + (one not in "-."), j + (other not in "-.")
        hits.append(Hit(name, pairs, letters, score, query_letters))
    return hits


def _sum_probs(part: str, where: object) -> float:
    """The sum of a hit's column probabilities.

    Raises:
        InputError: it is missing, or no number from 0 to what a row can have.
    """
    match = re.search(r"Sum_probs=(\S*)", part)
    try:
        value = float(match[1]) if match else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6:
        text = f"Sum_probs={match[1][:20]}" if match else "no Sum_probs"
        raise InputError(f"has {text} where a number is needed", where=where)
    return value


def template_of(hit: Hit, chain: Chain, query: str) -> Template:
    """A hit with its structure as a template of the query.

    Raises:
        InputError: the structure's sequence is not the hit's, or too little is aligned.
    """
    at = _residue_map(hit, chain)
    n = len(query)
    types = np.full(n, residues.GAP, np.int64)
    atoms, mask = np.zeros((n, 37, 3), np.float32), np.zeros((n, 37), np.float32)
    count = 0
    for i, j in hit.pairs:
        if i >= n:
            raise InputError(f"reaches residue {i + 1} of a query of {n}", where=hit.name)
        letter = hit.letters[j]
        types[i] = residues.ALPHABET.find(letter) if letter in residues.RESIDUES else 20
        if j in at:
            atoms[i], mask[i] = chain.atoms[at[j]], chain.mask[at[j]]
            count += 1
    if count < LEAST_RESIDUES:
        raise InputError(f"{count} aligned residues have coordinates", where=hit.name)
    return Template(types, atoms, mask, hit.name, weight=hit.sum_probs)


def _residue_map(hit: Hit, chain: Chain) -> dict[int, int]:
    """Template residue of the hit -> index of the chain's residue with coordinates."""
    by_label = {label - 1: k for k, label in enumerate(chain.labels) if label}
    shared = [j for j in hit.letters if j in by_label]
    same = sum(chain.sequence[by_label[j]] == hit.letters[j] for j in shared)
    if shared and same >= SAME * len(shared):
        return {j: by_label[j] for j in shared}
    # No numbers to go by, or those of another sequence: align the letters.
    from Bio.Align import PairwiseAligner

    aligner: Any = PairwiseAligner(mode="global", match_score=2, mismatch_score=-3)
    aligner.open_internal_gap_score, aligner.extend_internal_gap_score = -4, -0.1
    order = sorted(hit.letters)
    best = aligner.align("".join(hit.letters[j] for j in order), chain.sequence)[0]
    mapping, same = {}, 0
    for (start, stop), (other, _) in zip(*best.aligned, strict=True):
        for k in range(stop - start):
            mapping[order[start + k]] = other + k
            same += hit.letters[order[start + k]] == chain.sequence[other + k]
    if len(mapping) < LEAST_RESIDUES or same < SAME * len(mapping):
        raise InputError(f"chain {chain.name} has another sequence than the hit", where=hit.name)
    return mapping


def usable(hit: Hit, query: str) -> bool:
    """Whether a hit covers enough of the query and is not the query itself."""
    if len(hit.pairs) < max(LEAST_RESIDUES, LEAST_COVERAGE * len(query)):
        return False
    template = "".join(hit.letters[j] for j in sorted(hit.letters))
    return not (template in query and len(template) > 0.95 * len(query))


def _is_of_query(hit: Hit, query: str) -> bool:
    """Whether a hit is of a search with this query."""
    same = sum(query[i : i + 1] in ("X", letter) for i, letter in hit.query_letters.items())
    return same >= SAME * len(hit.query_letters)


def _file_of(name: str, files: dict[str, Path]) -> tuple[Path | None, str | None]:
    """A hit's structure file and chain: names are CODE_CHAIN, and codes may hold "_" themselves,
    such as AF-P00750-F1-model_v4_A; no chain, or ".", is a file's only or first."""
    code, _, chain = name.rpartition("_")
    if code.lower() in files:
        return files[code.lower()], None if chain in ("", ".") else chain
    return files.get(name.lower()), None


def hhsearch_templates(
    hhr: str | Path, folder: str | Path, query: str, max_templates: int = 20
) -> list[Template]:
    """Templates of `query` from HHsearch's hits, best first; hits without a file are left out.

    Args:
        hhr: HHsearch's result.
        folder: with structure files named by their PDB code, such as 4zey.cif or 4zey.cif.gz.
        query: its sequence.
        max_templates: largest number; the network takes the first four.

    Raises:
        InputError: no hit can be used.
    """
    folder = Path(folder)
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if {".cif", ".pdb", ".ent"} & {suffix.lower() for suffix in file.suffixes}:
            stem = re.sub(r"\.(cif|pdb|ent)(\.\w+)?$", "", file.name, flags=re.IGNORECASE)
            files.setdefault(stem.lower(), file)
    templates: list[Template] = []
    refused = ""
    hits = read_hhr(hhr)
    if hits and not any(_is_of_query(hit, query) for hit in hits):
        raise InputError("its query is another sequence than the one to fold", where=hhr)
    hits = [hit for hit in hits if usable(hit, query)]
    for hit in sorted(hits, key=lambda hit: -hit.sum_probs):
        source, name = _file_of(hit.name, files)
        if source is None or len(templates) == max_templates:
            continue
        try:
            chain = read_chain(source, name)
            templates.append(template_of(hit, chain, query))
        except InputError as error:
            refused = str(error)
    if not templates:
        reason = f"; the last one: {refused}" if refused else f", none has a file in {folder.name}"
        raise InputError(f"{len(hits)} hits can be used{reason}", where=hhr)
    return templates

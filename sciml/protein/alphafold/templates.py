"""Templates: known structures aligned to the residues of the query, and their features.

The template's residues are aligned to the query by their sequences (local alignment, BLOSUM62), as
one does without a profile search; AlphaFold's own pipeline takes HHsearch's alignment instead.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sciml.errors import InputError
from sciml.protein.io import residues
from sciml.protein.io.pairwise import local_alignment
from sciml.protein.io.structure import Chain, read_chains

LEAST_RESIDUES = 10


@dataclass
class Template:
    """A structure aligned to the query.

    Attributes:
        types: [N] residue types of the template at each query residue, 21 where it has a gap.
        atoms: [N, 37, 3] [A], 0 where missing.
        mask: [N, 37].
        name: for reports.
        weight: confidence of the alignment, e.g. HHsearch's sum of probabilities.
    """

    types: np.ndarray
    atoms: np.ndarray
    mask: np.ndarray
    name: str = "template"
    weight: float = 1.0

    def placed(self, start: int, n: int) -> Template:
        """The template at the residues from `start` on of a complex of `n`; gaps elsewhere."""
        here = slice(start, start + len(self.types))
        types = np.full(n, residues.GAP, np.int64)
        atoms, mask = np.zeros((n, 37, 3), np.float32), np.zeros((n, 37), np.float32)
        types[here], atoms[here], mask[here] = self.types, self.atoms, self.mask
        return Template(types, atoms, mask, self.name, self.weight)


def template_features(
    templates: list[Template], n: int, max_templates: int = 4
) -> dict[str, np.ndarray]:
    """Template features, padded to `max_templates` with masked ones; empty if that is 0."""
    if not max_templates:
        return {}
    templates = sorted(templates, key=lambda t: -t.weight)[:max_templates]
    features: dict[str, np.ndarray] = {
        "template_aatype": np.zeros((max_templates, n), np.int64),
        "template_mask": np.zeros(max_templates, np.float32),
        "template_all_atom_positions": np.zeros((max_templates, n, 37, 3), np.float32),
        "template_all_atom_masks": np.zeros((max_templates, n, 37), np.float32),
        "template_pseudo_beta": np.zeros((max_templates, n, 3), np.float32),
        "template_pseudo_beta_mask": np.zeros((max_templates, n), np.float32),
    }
    for t, template in enumerate(templates):
        if template.types.shape != (n,) or template.atoms.shape != (n, 37, 3):
            raise InputError(
                f"has {len(template.types)} residues, the query has {n}", where=template.name
            )
        glycine = template.types == residues.RESIDUES.index("G")
        beta = np.where(glycine, 1, residues.ATOM37_INDEX["CB"])
        rows = np.arange(n)
        features["template_aatype"][t] = np.minimum(template.types, residues.GAP)
        features["template_mask"][t] = 1
        features["template_all_atom_positions"][t] = template.atoms
        features["template_all_atom_masks"][t] = template.mask
        features["template_pseudo_beta"][t] = template.atoms[rows, beta]
        features["template_pseudo_beta_mask"][t] = template.mask[rows, beta]
    return features


def from_chain(chain: Chain, query: str, name: str = "") -> Template:
    """A chain as a template of `query`.

    Raises:
        InputError: fewer than ten residues can be aligned.
    """
    pairs = local_alignment(query, chain.sequence)
    if len(pairs) < LEAST_RESIDUES:
        raise InputError(
            f"{len(pairs)} residues can be aligned to the query, {LEAST_RESIDUES} are needed",
            where=name or f"chain {chain.name}",
        )
    at_query, at_template = np.array(pairs).T
    n = len(query)
    types = np.full(n, residues.GAP, np.int64)
    atoms, mask = np.zeros((n, 37, 3), np.float32), np.zeros((n, 37), np.float32)
    types[at_query], atoms[at_query] = chain.types[at_template], chain.atoms[at_template]
    mask[at_query] = chain.mask[at_template]
    same = float(np.mean([query[i] == chain.sequence[j] for i, j in pairs]))
    return Template(types, atoms, mask, name or chain.name, weight=same * len(pairs))


def read_templates(path: str | Path, query: str) -> list[Template]:
    """Templates of `query` from a structure file or a folder of them; chains that do not fit are
    left out."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
    files = [f for f in files if {".pdb", ".cif", ".ent"} & {s.lower() for s in f.suffixes}]
    if not files:
        raise InputError("holds no structure files (.pdb, .cif)", where=path)
    templates = []
    for file in files:
        for chain in read_chains(file):
            with contextlib.suppress(InputError):  # chains that do not fit
                templates.append(from_chain(chain, query, f"{file.name}:{chain.name}"))
    return templates

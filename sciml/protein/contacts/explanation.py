"""Why a contact is predicted: which pairs of columns say so, and which sequences.

`by_columns` adds up gradients of the contact's log odds on the way from an alignment without
couplings (profiles and positions stay) to the real one (integrated gradients, Sundararajan et al.
2017, arXiv:1703.01365, equation 1): what each pair of columns contributes. `by_rows` leaves out
groups of sequences, by their identity to the query, and as many random ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sciml.errors import InputError
from sciml.protein.contacts.distogram import CONTACT_CLASSES
from sciml.protein.contacts.features import ContactFeatures
from sciml.protein.contacts.training import as_example, collate

if TYPE_CHECKING:
    from sciml.protein.contacts.predictor import ContactPredictor
    from sciml.protein.io.alignment import Alignment
    from sciml.report import Page

SMALL = 1e-6
"""Probabilities are kept this far from 0 and 1."""


def log_odds(probability: float | np.ndarray) -> np.ndarray:
    """ln(p / (1 - p))."""
    p = np.clip(np.asarray(probability, np.float64), SMALL, 1 - SMALL)
    return np.asarray(np.log(p) - np.log1p(-p))


def _contact_odds(logits: Tensor, i: int, j: int) -> Tensor:
    """[B] log odds of the contact i, j, of logits [B, C, C, 16]."""
    of_pair = logits[:, i, j].double()
    near, far = of_pair[:, :CONTACT_CLASSES], of_pair[:, CONTACT_CLASSES:]
    return near.logsumexp(-1) - far.logsumexp(-1)


def by_columns(
    predictor: ContactPredictor, features: ContactFeatures, i: int, j: int, *, steps: int = 16
) -> np.ndarray:
    """[C, C] contribution of each pair of columns to the log odds of the contact i, j, symmetric.

    The mean over the predictor's networks, each read in the direction of the chain. The sum is the
    change of the log odds along the path, but for the error of the midpoint rule; the diagonal has
    what the columns themselves bring (the mean coupling of each).

    Args:
        predictor: of contacts.
        features: of an alignment, by `predictor.features`.
        i, j: columns, from 0.
        steps: of the path.

    Raises:
        InputError: columns that are not there, or the same one twice.
    """
    columns = len(features.nodes)
    if not (0 <= i < columns and 0 <= j < columns) or i == j:
        raise InputError(f"a contact has two columns of 1 to {columns}, got {i + 1} and {j + 1}")
    full = collate([as_example(features)])
    bare = collate([as_example(features.without_scores())])
    keys = ("node_profile", "pair_scores")
    way = {key: (full[key] - bare[key]).to(predictor.device) for key in keys}
    start = {key: bare[key].to(predictor.device) for key in keys}
    mask = full["mask"].to(predictor.device)
    total = {key: torch.zeros_like(way[key]) for key in keys}
    for net in predictor.nets:
        precision = next(net.parameters()).dtype
        for step in range(steps):
            share = (step + 0.5) / steps
            with torch.enable_grad():
                leaves = {key: (start[key] + share * way[key]).to(precision).requires_grad_()
                          for key in keys}  # fmt: skip
                odds = _contact_odds(net({**leaves, "mask": mask})[0], i, j).sum()
                gradients = torch.autograd.grad(odds, list(leaves.values()))
            for key, gradient in zip(keys, gradients, strict=True):
                total[key] += gradient.float() / (steps * len(predictor.nets))
    of_pairs = (total["pair_scores"] * way["pair_scores"])[0].sum(-1)
    of_columns = (total["node_profile"] * way["node_profile"])[0].sum(-1)
    both = 0.5 * (of_pairs + of_pairs.T) + torch.diag(of_columns)
    return np.asarray(both.cpu().double().numpy())


def by_rows(
    predictor: ContactPredictor, msa: Alignment, i: int, j: int, *, groups: int = 5, seed: int = 0
) -> list[dict[str, Any]]:
    """What the log odds of the contact i, j lose without each group of sequences.

    Args:
        predictor: of contacts.
        msa: alignment whose first row is the query.
        i, j: columns, from 0.
        groups: of equal numbers of sequences, by their identity to the query, the nearest first.
        seed: of the random rows.

    Returns:
        a row per group: its least and largest identity, sequences, the log odds lost without them,
        and those lost without as many random ones.

    Raises:
        InputError: fewer than two sequences for each group.
    """
    if msa.depth < 2 * groups + 1:
        raise InputError(f"{msa.depth} sequences are too few for {groups} groups", where=msa.source)

    def odds(rows: np.ndarray) -> float:
        part = msa.select(np.r_[0, np.sort(rows)])
        predicted = predictor.from_features(predictor.features(part))
        return float(log_odds(predicted.probability[i, j]))

    others = np.arange(1, msa.depth)
    identity = msa.identity_to(0)[1:]
    nearest = others[np.argsort(-identity, kind="stable")]
    shuffled = np.random.default_rng(seed).permutation(others)
    whole = odds(others)
    rows = []
    for part, random in zip(
        np.array_split(nearest, groups), np.array_split(shuffled, groups), strict=True
    ):
        rows.append({
            "identity from": float(identity[part - 1].min()),
            "identity to": float(identity[part - 1].max()), "sequences": len(part),
            "log odds lost": whole - odds(np.setdiff1d(others, part)),
            "lost, random rows": whole - odds(np.setdiff1d(others, random)),
        })  # fmt: skip
    return rows


def explanation(
    predictor: ContactPredictor, msa: Alignment, pair: tuple[int, int], model: str = "the model"
) -> Page:
    """The page of `sciml protein explain`.

    Args:
        predictor: of contacts.
        msa: alignment whose first row is the query, which has no gap.
        pair: columns of the contact, from 1.
        model: its name.
    """
    from sciml.report import Page, literal, plots

    i, j = pair[0] - 1, pair[1] - 1
    features = predictor.features(msa)
    contributions = by_columns(predictor, features, i, j)
    predicted = predictor.from_features(features, msa.row(0))
    page = Page(f"Why columns {pair[0]} and {pair[1]} are said to touch",
                lead=f"`{literal(model)}`, {msa.depth:,} sequences of {msa.columns} columns; "
                f"probability of the contact {predicted.probability[i, j]:.3f}.")  # fmt: skip
    own = 2 * contributions[i, j]
    near = np.abs(np.subtract.outer(np.arange(len(contributions)), [i, j]))
    beside = np.minimum(near[:, :1] + near[:, 1:].T, near[:, 1:] + near[:, :1].T)
    around = contributions[(beside > 0) & (beside <= 4)].sum()
    page.heading("Which pairs of columns")
    page.table([
        {"pairs": "the pair itself", "contribution": float(own)},
        {"pairs": "pairs beside it (at most 4 columns off together)",
         "contribution": float(around)},
        {"pairs": "all others, and the columns' own",
         "contribution": float(contributions.sum() - own - around)},
    ], "Contributions of couplings to the log odds of the contact, beyond what profiles and "
       "positions say.")  # fmt: skip
    figure, axis = plots.axes()
    largest = float(np.abs(contributions).max()) or 1.0
    edge = len(contributions) + 0.5
    shown = axis.imshow(contributions, cmap="coolwarm", vmin=-largest, vmax=largest,
                        extent=(0.5, edge, edge, 0.5))  # fmt: skip
    axis.grid(False)
    axis.plot(pair, pair[::-1], "k+")
    figure.colorbar(shown, ax=axis, label="contribution to the log odds")
    axis.set_xlabel("column")
    axis.set_ylabel("column")
    page.figure(figure, "What each pair of columns contributes; + is the pair itself.")
    of_column = contributions.sum(1)
    order = np.argsort(-np.abs(of_column))[:10]
    page.table([{"column": int(k + 1), "residue": msa.row(0)[k],
                 "contribution": float(of_column[k])} for k in order],
               "The ten columns whose pairs contribute most.")  # fmt: skip
    page.heading("Which sequences")
    try:
        page.table(by_rows(predictor, msa, i, j),
                   "Log odds that are lost without a fifth of the sequences, by their identity to "
                   "the query, beside a random fifth.")  # fmt: skip
    except InputError as error:
        page.text(f"Not told: {literal(error.what)}.")
    return page

"""`sciml jets explain` and `sciml jets attack`: why a tagger decided, and what fools it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from sciml.errors import InputError
from sciml.jets.measure_commands import open_model
from sciml.paths import keep_apart

Page = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def explain(
    files: tyro.conf.Positional[tuple[str, ...]],
    out: Page,
    *,
    model: str = "jets-tiny",
    jets: tuple[int, ...] = (),
    signal: str | None = None,
    background: str = "QCD",
    max_jets: int = 2000,
) -> None:
    """Say why a tagger decided as it did, of some jets: a page with what each constituent
    contributes, by three methods, and each decision on the way to the class.

    Args:
        files: Jets, as for `tag`; labelled ones also give the accuracy of the decision trees.
        out: The page, .html.
        model: As for `tag`; a tagger of classes.
        jets: Numbers of the jets, from 0, among those of the files that are good; by default the
            surest jet of each class, five at most.
        signal: Class whose log odds against the background are explained; by default each jet's
            likeliest one.
        background: The class that the others are measured against.
        max_jets: Jets that are read; the trees' accuracy is measured on them.
    """
    from sciml.jets.data.sample import JetSample
    from sciml.jets.learning.explanation import explanation
    from sciml.train.log import console

    tagger = _tagger(files, out, model)
    sample = JetSample.read(files, max_jets=max_jets)
    page = explanation(tagger, sample, jets=jets, signal=signal, background=background, model=model)
    page.write(out)
    console.print(f"{out}: of {len(sample):,} jets", soft_wrap=True)


def attack(
    files: tyro.conf.Positional[tuple[str, ...]],
    out: Page,
    *,
    model: str = "jets-tiny",
    kinds: tuple[str, ...] = ("resolution", "soft", "collinear"),
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0),
    jets: int = 300,
    steps: int = 10,
    seed: int = 0,
) -> None:
    """Change labelled jets within what a detector and QCD allow until the tagger errs: accuracy
    against the strength of the change, as a page.

    Resolution: momenta within STRENGTH resolutions, impact parameters within STRENGTH errors. Soft:
    five more photons of at most STRENGTH GeV. Collinear: five neutral constituents become pairs, at
    most 0.02 STRENGTH apart. Each by one random change, by search without gradients, and by
    gradient.

    Args:
        files: Labelled jets, as for `tag`.
        out: The page, .html.
        model: As for `tag`; a tagger of classes.
        kinds: Changes: resolution, soft, collinear.
        strengths: Of the changes, above 0.
        jets: Jets that are attacked, spread over the files.
        steps: Passes of the network that search and gradient have for each jet.
        seed: Of the random numbers.
    """
    from typing import get_args

    from sciml.errors import unknown
    from sciml.jets.data.sample import JetSample
    from sciml.jets.learning.attack_page import attack_page
    from sciml.jets.learning.attacks import Kind
    from sciml.train.log import console

    for kind in kinds:
        if kind not in get_args(Kind):
            raise unknown("kind of attack", kind, get_args(Kind))
    if not kinds or not strengths or any(not s > 0 for s in strengths):
        raise InputError("needs kinds, and strengths above 0")
    if jets < 1 or steps < 1:
        raise InputError(f"`jets` and `steps` must be at least 1, got {jets} and {steps}")
    tagger = _tagger(files, out, model)
    sample = JetSample.read(files)
    page, rows = attack_page(
        tagger, sample, model=model, kinds=kinds, strengths=tuple(sorted(strengths)), jets=jets,
        steps=steps, seed=seed,
    )  # fmt: skip
    page.write(out)
    for row in rows:
        shown = ", ".join(f"{k} {v:.3f}" for k, v in row.items() if isinstance(v, float))
        console.print(f"{row['kind']}: {shown}", soft_wrap=True)
    console.print(str(out), soft_wrap=True)


def _tagger(files: tuple[str, ...], out: Path, model: str) -> Any:
    """The tagger of classes that `model` names."""
    from sciml.jets import JetTagger

    if out.suffix != ".html":
        raise InputError("must end in .html", where=out)
    keep_apart(out, *files, model)
    tagger = open_model(model)
    if not isinstance(tagger, JetTagger):
        raise InputError("gives no probabilities of classes", where=model)
    return tagger.eval()

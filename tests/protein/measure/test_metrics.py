"""Scores against other implementations and against what they must do."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.measure import metrics

FIXTURES = Path(__file__).parents[2] / "fixtures" / "protein"


def chain(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    step = rng.normal(size=(n, 3))
    step = 0.6 * step + 0.4 * np.roll(step, 1, 0)
    return np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), 0)


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q if np.linalg.det(q) > 0 else -q


def test_moved_copies_are_perfect() -> None:
    truth = chain(60)
    model = truth @ rotation(1).T + 5
    assert metrics.rmsd(model, truth) < 1e-6
    assert metrics.lddt(model, truth) == 1
    assert metrics.superposed(model, truth).gdt_ts == 1
    assert metrics.tm_score(model, truth) == pytest.approx(1)


def test_mirror_images_are_not_perfect() -> None:
    truth = chain(60)
    model = truth * np.array([1, 1, -1])
    assert metrics.rmsd(model, truth) > 1
    assert metrics.tm_score(model, truth) < 0.9
    assert metrics.lddt(model, truth) == 1  # lDDT cannot see handedness


def test_permuted_residues_are_bad() -> None:
    truth = chain(60)
    model = truth[np.random.default_rng(0).permutation(60)]
    assert metrics.lddt(model, truth) < 0.4 and metrics.tm_score(model, truth) < 0.4


@pytest.mark.parametrize("noise", [0.5, 2.0, 5.0])
def test_tm_score_against_tmtools(noise: float) -> None:
    from tmtools import tm_align

    rng = np.random.default_rng(3)
    truth = chain(90, 4)
    model = truth @ rotation(5).T + rng.normal(0, noise, truth.shape)
    ours = metrics.tm_score(model, truth)
    theirs = tm_align(model, truth, "A" * 90, "A" * 90).tm_norm_chain2
    # TM-align may also choose the alignment: never much below, and equal where it is obvious.
    assert ours <= theirs + 0.02
    if noise <= 2:
        assert ours == pytest.approx(theirs, abs=0.01)


def test_lddt_against_the_definition() -> None:
    rng = np.random.default_rng(6)
    truth = chain(40, 7)
    model = truth + rng.normal(0, 0.8, truth.shape)
    total = kept = 0.0
    for i in range(40):
        for j in range(40):
            want = np.linalg.norm(truth[i] - truth[j])
            if i != j and want < 15:
                error = abs(want - np.linalg.norm(model[i] - model[j]))
                kept += float(np.mean([error < cut for cut in (0.5, 1, 2, 4)]))
                total += 1
    assert metrics.lddt(model, truth) == pytest.approx(kept / total)
    each = metrics.lddt(model, truth, per_residue=True)
    assert isinstance(each, np.ndarray) and each.shape == (40,)


def test_missing_atoms_count_as_wrong() -> None:
    truth = chain(50)
    model = truth.copy()
    model[:10] = np.nan
    assert 0.5 < metrics.lddt(model, truth) < 0.9
    assert metrics.superposed(model, truth).gdt_ts == pytest.approx(0.8)


def test_gdt_of_two_domains() -> None:
    truth = chain(80)
    model = truth.copy()
    model[40:] = model[40:] @ rotation(8).T + 30
    assert 0.5 <= metrics.superposed(model, truth).gdt_ts < 0.75


def test_contact_precision_counts() -> None:
    truth = np.zeros((50, 50), bool)
    pairs = [(0, 30), (1, 29), (2, 40), (3, 28)]
    for i, j in pairs:
        truth[i, j] = truth[j, i] = True
    scores = truth.astype(float) + 1e-3 * np.random.default_rng(0).random((50, 50))
    precision = metrics.contact_precision(scores, truth)
    assert precision["P@L/5"] == pytest.approx(0.4) and precision["P@L"] == pytest.approx(0.08)
    assert precision["contacts"] == 4 and precision["pairs"] == 26 * 27 / 2
    index = np.arange(50) * 2
    assert metrics.contact_precision(scores, truth, index=index)["pairs"] == 38 * 39 / 2
    with pytest.raises(InputError, match=r"must be \[N, N\]"):
        metrics.contact_precision(scores[:5], truth)


def test_against_openstructure() -> None:
    """Numbers of Debian's OpenStructure for made pairs; see fixtures/make/openstructure.py."""
    specification = importlib.util.spec_from_file_location(
        "openstructure", FIXTURES.parent / "make" / "openstructure.py"
    )
    assert specification is not None and specification.loader is not None
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    expected = json.loads((FIXTURES / "openstructure.json").read_text())["pairs"]
    pairs = made.pairs()
    assert set(pairs) == set(expected) and {"mirrored", "permuted"} <= set(pairs)
    for name, (truth, model) in pairs.items():
        owner = np.repeat(np.arange(len(truth)), truth.shape[1])
        flat = metrics.lddt(model.reshape(-1, 3), truth.reshape(-1, 3), owner=owner)
        assert flat == pytest.approx(expected[name]["lddt"], abs=2e-4), name
        ca = metrics.lddt(model[:, 1], truth[:, 1])
        assert ca == pytest.approx(expected[name]["lddt_ca"], abs=2e-4), name
        if "rmsd_ca" in expected[name]:
            rmsd = metrics.rmsd(model[:, 1], truth[:, 1])
            assert rmsd == pytest.approx(expected[name]["rmsd_ca"], abs=1e-3), name


def test_against_tmscore(fixture_file, fixture_script) -> None:
    """Zhang's TMscore on the same pairs. Both search superpositions: the search here must not miss
    more than one residue of what TMscore finds, and finds at most a little more."""
    expected = json.loads(fixture_file("protein/tmscore.json").read_text())["pairs"]
    pairs = fixture_script("openstructure").pairs()
    assert set(pairs) == set(expected)
    for name, (truth, model) in pairs.items():
        scores = metrics.superposed(model[:, 1], truth[:, 1])
        ours = {"tm_score": metrics.tm_score(model[:, 1], truth[:, 1]),
                "gdt_ts": scores.gdt_ts, "gdt_ha": scores.gdt_ha}  # fmt: skip
        for key, value in ours.items():
            assert value >= expected[name][key] - 1.01 / len(truth), (name, key)
            assert value <= expected[name][key] + 0.03, (name, key)
        if name != "residues missing":
            rmsd = metrics.rmsd(model[:, 1], truth[:, 1])
            assert rmsd == pytest.approx(expected[name]["rmsd_ca"], abs=2e-3), name


@pytest.mark.parametrize("case", ["mirrored", "permuted", "half"])
def test_tm_score_against_tmtools_on_hard_pairs(case: str) -> None:
    """TM-align may align other residues with each other, so that it is an upper bound only for
    pairs that no residue-by-residue superposition fits."""
    from tmtools import tm_align

    truth = chain(90, 4)
    model = {
        "mirrored": truth * np.array([1, 1, -1]),
        "permuted": truth[np.random.default_rng(0).permutation(90)],
        "half": np.concatenate([truth[:45], truth[45:] @ rotation(8).T + 30]),
    }[case]
    ours = metrics.tm_score(model, truth)
    theirs = tm_align(model, truth, "A" * 90, "A" * 90).tm_norm_chain2
    assert ours <= theirs + 0.02
    if case == "half":
        assert ours == pytest.approx(theirs, abs=0.02)
    # GDT-TS of what TM-score calls random stays low, that of half a chain is half.
    gdt = metrics.superposed(model, truth).gdt_ts
    assert 0.5 <= gdt < 0.7 if case == "half" else gdt < 0.4


@pytest.fixture(scope="module")
def beside():
    """benchmarks/protein_metrics.py, which measures real pairs by other programs."""
    path = Path(__file__).parents[3] / "benchmarks" / "protein_metrics.py"
    specification = importlib.util.spec_from_file_location("protein_metrics", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["protein_metrics"] = module
    specification.loader.exec_module(module)
    return module


LIMITS = {
    "tm_score": 0.01, "gdt_ts": 0.02, "gdt_ha": 0.02, "rmsd_ca": 1e-3, "lddt": 2e-3,
    "lddt_ca": 1e-6, "contact_precision_L5": 1e-9,
}  # fmt: skip
"""TM-score and GDT are searched for: this search must not find less by more than one residue."""


@pytest.mark.slow
def test_real_pairs_against_other_programs(shared: Path, beside) -> None:
    data = shared / "data/protein"
    pairs = beside.pairs(data / "openfold_tests/mmcifs", data / "pfam40", most=2)
    assert {"mirrored", "permuted"} <= {pair.name.split()[-1] for pair in pairs}
    compared = 0
    for pair in pairs:
        programs = beside.measured(pair)
        ours = programs.pop("sciml")
        for program, scores in programs.items():
            for name, value in scores.items():
                if name in ours and np.isfinite(value):
                    where = (pair.name, program, name, ours[name], value)
                    assert ours[name] == pytest.approx(value, abs=LIMITS[name]), where
                    if program == "TMscore" and name != "rmsd_ca":
                        assert ours[name] >= value - 1.01 / len(pair.truth), where
                    compared += 1
            if "tm_score_at_most" in scores:
                assert ours["tm_score"] <= scores["tm_score_at_most"] + 0.02, pair.name
    assert compared >= 2 * len(pairs)
    missing = [name for name in ("TMscore", "ost") if not shutil.which(name)]
    if missing:
        pytest.skip(
            f"compared with tmtools and Biopython only: {', '.join(missing)} not installed "
            "(Debian: apt-get install tm-align openstructure)"
        )

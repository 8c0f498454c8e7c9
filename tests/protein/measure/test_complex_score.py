"""Complexes scored from files: chains matched by sequence, residues missing, DockQ and TM-score."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein.io.alignment import encode
from sciml.protein.io.structure import read_chains
from sciml.protein.io.structure_writing import write_structure
from sciml.protein.measure.complex_score import score_complex

ONE = "MKVLAAGIVGLCWTREDNQSYFHPMKVLAAG"
TWO = "ACDWYRRGHKLIVEEQNTSPLMFACDWYRR"


def structure(
    path: Path, sequences: list[str], seed: int, noise: float = 0.0, **how: list[int]
) -> Path:
    """Helices side by side; the order of the chains, and residues that are left out, in `how`."""
    order = how.get("order", list(range(len(sequences))))
    rng = np.random.default_rng(seed)
    atoms = []
    for chain, sequence in enumerate(sequences):
        angle = np.arange(len(sequence)) * np.deg2rad(100)
        ca = np.stack(
            [2.3 * np.cos(angle), 2.3 * np.sin(angle), 1.5 * np.arange(len(sequence))], -1
        )
        offsets = np.random.default_rng(7).normal(0, 1, (37, 3))
        offsets[1] = 0
        atoms.append(ca[:, None] + offsets + [8.0 * chain, 3.0 * chain, chain])
    moved = np.concatenate([atoms[k] for k in order])
    moved = moved + rng.normal(0, noise, moved.shape)
    mask = np.zeros(moved.shape[:2])
    mask[:, :5] = 1
    mask[how.get("missing", [])] = 0
    types = encode("".join(sequences[k] for k in order)).astype(np.int64)
    numbers = np.repeat(np.arange(len(order)) + 1, [len(sequences[k]) for k in order])
    write_structure(path, types, moved, mask, chains=numbers)
    return path


def test_a_model_with_its_chains_in_another_order(tmp_path: Path) -> None:
    chains = [ONE, TWO, ONE]
    truth = structure(tmp_path / "t.cif", chains, 0, missing=[0, 1, 40, 91])
    model = structure(tmp_path / "m.pdb", chains, 1, order=[2, 0, 1])
    scores = score_complex(list(read_chains(model)), list(read_chains(truth)))
    assert scores["dockq"] == pytest.approx(1, abs=1e-3)
    assert scores["tm_score"] == pytest.approx(1, abs=1e-3)
    assert scores["chains"] == {"A": "C", "B": "A", "C": "B"}
    assert {"A-B", "B-C"} <= set(scores["interfaces"])


def test_noise_lowers_every_score_and_tm_align_agrees(tmp_path: Path) -> None:
    tmtools = pytest.importorskip("tmtools")
    truth = list(read_chains(structure(tmp_path / "t.cif", [ONE, TWO], 0)))
    found = []
    for noise in (0.3, 1.0, 2.0):
        model = list(read_chains(structure(tmp_path / "m.cif", [ONE, TWO], 1, noise)))
        scores = score_complex(model, truth)
        found.append(scores)
        ca = [np.concatenate([c.atoms[:, 1] for c in part]) for part in (model, truth)]
        other = tmtools.tm_align(*ca, *["".join(c.sequence for c in p) for p in (model, truth)])
        assert scores["tm_score"] == pytest.approx(other.tm_norm_chain2, abs=0.03)
        part = scores["interfaces"]["A-B"]
        expected = part["fnat"] + 1 / (1 + (part["irmsd"] / 1.5) ** 2)
        expected += 1 / (1 + (part["lrmsd"] / 8.5) ** 2)
        assert part["dockq"] == pytest.approx(expected / 3) and 0 <= part["lddt"] <= 1
    for key in ("dockq", "tm_score"):
        values = [scores[key] for scores in found]
        assert values == sorted(values, reverse=True) and values[-1] < values[0] - 0.1


def test_other_complexes_are_refused(tmp_path: Path) -> None:
    one = list(read_chains(structure(tmp_path / "a.cif", [ONE, TWO], 0)))
    other = list(read_chains(structure(tmp_path / "b.cif", ["G" * 30, "P" * 30], 0)))
    with pytest.raises(InputError, match="no chain in common"):
        score_complex(one, other)
    with pytest.raises(InputError, match="the truth 1"):
        score_complex([one[0], *one], one)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = structure(tmp_path / "t.cif", [ONE, TWO], 0)
    model = structure(tmp_path / "m.cif", [ONE, TWO], 1, 0.5)
    command = ["protein", "score", *map(os.fspath, (model, truth)), "-o"]
    assert main([*command, os.fspath(tmp_path / "s.json")]) == 0
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "s.json").read_text())
    assert f"dockq                    {scores['dockq']:.4f}" in shown and "A is A" in shown
    assert (
        main([*command, os.fspath(tmp_path / "one.json"), "--chain", "B", "--truth-chain", "B"])
        == 0
    )
    assert "lddt_ca" in json.loads((tmp_path / "one.json").read_text())

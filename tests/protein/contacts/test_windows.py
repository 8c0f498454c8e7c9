"""Wide alignments: windows that cover what they say, joined without a seam, and honest gaps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein import Alignment, ContactPredictor
from sciml.protein.contacts import predictor as contact_predictor
from sciml.protein.contacts import windows as contact_windows
from sciml.protein.contacts.network import ContactConfig, ContactNet
from sciml.trunks.pair_transformer import PairTransformerConfig


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> ContactPredictor:
    """A small network that takes 30 columns, in windows of 20."""
    monkeypatch.setattr(contact_predictor, "MAX_COLUMNS", 30)
    monkeypatch.setattr(contact_windows, "WINDOW", 20)
    monkeypatch.setattr(contact_windows, "STEP", 10)
    torch.manual_seed(0)
    trunk = PairTransformerConfig(
        dim=8, pair_dim=8, depth=1, heads=1, class_depth=0, pair_update="triangle", pair_hidden=4
    )
    return ContactPredictor(ContactNet(ContactConfig(8, 1, trunk)), "cpu")


def alignment(columns: int, depth: int = 12) -> Alignment:
    rng = np.random.default_rng(columns)
    rows = rng.integers(0, 20, (depth, columns)).astype(np.uint8)
    rows[1, : columns // 2] = 21
    return Alignment([f"s{i}" for i in range(depth)], rows)


@pytest.mark.parametrize("columns", [1, 399, 400, 401, 799, 1600, 4999])
def test_windows_cover_the_band(columns: int) -> None:
    begins = contact_windows.starts(columns)
    ends = [min(start + contact_windows.WINDOW, columns) for start in begins]
    assert begins[0] == 0 and ends[-1] == columns
    for i in range(columns):  # the furthest partner that must share a window
        j = min(i + contact_windows.STEP, columns - 1)
        assert any(a <= i and j < b for a, b in zip(begins, ends, strict=True))


def test_windows_are_joined(predictor: ContactPredictor) -> None:
    msa = alignment(57)
    told: list[tuple[int, int]] = []
    prediction = predictor.predict(msa, progress=lambda *now: told.append(now))
    begins = contact_windows.starts(57)
    assert prediction.windows == len(begins) == 5 and told == [(k + 1, 5) for k in range(5)]
    together = np.zeros((57, 57), bool)
    for start in begins:
        together[start : start + 20, start : start + 20] = True
    for values in (prediction.probability, prediction.dca, prediction.distogram[..., 0]):
        assert (np.isfinite(values) == together).all()
    i, j = np.nonzero(together)
    assert (abs(i - j) <= 19).all() and together[
        np.abs(np.subtract.outer(*[range(57)] * 2)) <= 10
    ].all()
    assert np.allclose(prediction.distogram[together].sum(-1), 1, atol=1e-5)
    assert np.allclose(prediction.probability, prediction.probability.T, equal_nan=True, atol=1e-6)
    assert prediction.query == msa.row(0) and prediction.neff == pytest.approx(msa.neff())
    listed = {(i, j) for i, j, _ in prediction.table(6)}
    assert listed == {(a, b) for a, b in zip(i, j, strict=True) if b - a >= 6}
    assert all(np.isfinite(p) for _, _, p in prediction.table(6))


def test_where_one_window_is_alone_it_is_its_own_prediction(predictor: ContactPredictor) -> None:
    msa = alignment(57)
    prediction = predictor.predict(msa)
    part = Alignment(list(msa.names), msa.rows[:, :20].copy())
    ends = np.stack([np.arange(20), 56 - np.arange(20)], 1)
    alone = predictor.predict_window(part.select((part.rows != 21).any(1)).deduplicate(), ends)
    assert np.allclose(prediction.distogram[:10, :10], alone.distogram[:10, :10], atol=1e-6)


def test_narrow_alignments_are_as_before(predictor: ContactPredictor) -> None:
    prediction = predictor.predict(alignment(30))
    assert prediction.windows == 1 and np.isfinite(prediction.probability).all()
    with pytest.raises(InputError, match="at most 5000"):
        predictor.predict(alignment(5001, depth=2))


@pytest.mark.parametrize("suffix", [".tsv", ".npz"])
def test_the_command_says_that_it_used_windows(
    tmp_path: Path, predictor: ContactPredictor, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    predictor.save(tmp_path / "net.safetensors")
    alignment(57).write(tmp_path / "x.a3m")
    out = tmp_path / f"out{suffix}"
    command = ["protein", "contacts", str(tmp_path / "x.a3m"), "-o", str(out)]
    assert main([*command, "--model", str(tmp_path / "net.safetensors")]) == 0
    said = " ".join(" ".join(capsys.readouterr()).split())
    assert "5 windows along the chain" in said and "not predicted" in said
    if suffix == ".tsv":
        rows = [line.split("\t") for line in out.read_text().splitlines()[1:]]
        assert (
            rows and max(int(j) - int(i) for i, j, _ in rows) < 20 and "nan" not in out.read_text()
        )
    else:
        with np.load(out) as file:
            assert np.isnan(file["probability"][0, 56]) and file["probability"].shape == (57, 57)

"""Attacks stay within what is allowed, are found where the answer is known, and never look safer
with more strength or steps."""

from typing import Any

import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.data import columns as col
from sciml.jets.data.sample import JetSample, shipped
from sciml.jets.learning.attacks import (
    APART,
    EMISSIONS,
    RADIUS,
    applied,
    attack,
    margin,
    resolution,
    robustness,
)
from sciml.jets.networks.embedder import raw_batch


@pytest.fixture(scope="module")
def tagger():
    return JetTagger.from_pretrained("jets-tiny", device="cpu")


@pytest.fixture(scope="module")
def jets(tagger):
    sample = JetSample.read(shipped("test")).subset(range(0, 2500, 125))
    labels = torch.tensor([tagger.classes.index(sample.classes[k]) for k in sample.y])
    return raw_batch(sample.dense()), labels


def box_of(kind, batch, value):
    size = batch.mask.shape[1] if kind == "resolution" else EMISSIONS
    return torch.full((len(batch.mask), size, 3), value)


def momentum(batch):
    return (batch.x[..., col.FOUR_MOMENTUM] * batch.mask[..., None]).sum(1)


def test_resolutions_are_those_of_the_detector(jets):
    from sciml.jets.simulation.detector import tower_resolution, track_resolution

    x = jets[0].x
    width = resolution(x)
    real = jets[0].mask & (torch.hypot(x[..., 0], x[..., 1]) > 0.5)
    for flag, expected in (
        (col.CHARGED_HADRON, lambda pt, eta, e: track_resolution(211, pt, eta)),
        (col.PHOTON, lambda pt, eta, e: tower_resolution(True, eta, e) / e),
        (col.NEUTRAL_HADRON, lambda pt, eta, e: tower_resolution(False, eta, e) / e),
    ):
        i, j = (real & (x[..., flag] > 0)).nonzero()[3].tolist()
        px, py, pz, e = x[i, j, :4].double().tolist()
        pt = (px * px + py * py) ** 0.5
        eta = float(torch.asinh(torch.tensor(pz / pt)))
        assert float(width[i, j]) == pytest.approx(min(expected(pt, eta, e), 0.5), rel=1e-4)


def test_momenta_change_by_their_resolution_at_most(jets):
    batch, _ = jets
    width = resolution(batch.x)
    for sign in (-1.0, 1.0):
        other = applied(batch, "resolution", 0.5, box_of("resolution", batch, sign), width)
        ratio = other.x[..., col.PX] / batch.x[..., col.PX]
        expected = 1 + 0.5 * sign * width
        torch.testing.assert_close(ratio[batch.mask], expected[batch.mask], rtol=1e-4, atol=1e-5)
        moved = other.x[..., col.D0] - batch.x[..., col.D0]
        torch.testing.assert_close(moved[batch.mask],
                                   0.5 * sign * batch.x[..., col.D0_ERROR][batch.mask])  # fmt: skip
    same = applied(batch, "resolution", 0.5, box_of("resolution", batch, 0.0), width)
    torch.testing.assert_close(same.x, batch.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same.jet, batch.jet)


def test_soft_photons_are_soft_and_in_the_cone(jets):
    batch, _ = jets
    other = applied(batch, "soft", 2.0, box_of("soft", batch, 1.0), batch.mask * 0.0)
    new = other.x[:, -EMISSIONS:]
    assert bool(other.mask[:, -EMISSIONS:].all()) and bool((new[..., col.PHOTON] == 1).all())
    pt = torch.hypot(new[..., col.PX], new[..., col.PY])
    torch.testing.assert_close(pt, torch.full_like(pt, 2.0), rtol=1e-4, atol=1e-4)
    radius = new[..., col.ANGLES].norm(dim=-1)
    assert float(radius.max()) < RADIUS + 0.05  # the axis moved a little
    # Massless, and where the angles say.
    energy = new[..., :3].norm(dim=-1)
    torch.testing.assert_close(energy, new[..., col.ENERGY], rtol=1e-4, atol=1e-4)
    axis = torch.asinh(momentum(other)[:, 2] / momentum(other)[:, :2].norm(dim=-1))
    eta = torch.asinh(new[..., col.PZ] / pt)
    sign = torch.where(axis < 0, -1.0, 1.0)[:, None]
    torch.testing.assert_close(sign * (eta - axis[:, None]), new[..., col.DETA],
                               rtol=1e-3, atol=2e-3)  # fmt: skip


def test_collinear_pairs_have_the_momentum_of_what_they_were(jets):
    batch, _ = jets
    for value in (-0.5, 1.0):
        other = applied(
            batch, "collinear", 1.0, box_of("collinear", batch, value), batch.mask * 0.0
        )
        before, after = momentum(batch), momentum(other)
        torch.testing.assert_close(after[:, :3], before[:, :3], rtol=2e-3, atol=0.5)
        added = other.mask.sum(1) - batch.mask.sum(1)
        neutral = (batch.x[..., col.PHOTON] + batch.x[..., col.NEUTRAL_HADRON] > 0) & batch.mask
        assert added.tolist() == neutral.sum(1).clamp(max=EMISSIONS).tolist()
    pt = torch.hypot(other.x[..., 0], other.x[..., 1])
    gap = other.x[0, -1, col.ANGLES] - other.x[0, : batch.mask.shape[1], col.ANGLES]
    partner = gap.norm(dim=-1).where(other.mask[0, : batch.mask.shape[1]], torch.tensor(9.0))
    assert float(partner.min()) <= APART * 1.001 and float(pt[other.mask].min()) >= 0


@pytest.mark.parametrize("kind", ["resolution", "soft", "collinear"])
def test_the_worst_is_kept_and_is_what_the_tagger_says(tagger, jets, kind):
    batch, labels = jets
    with torch.no_grad():
        plain = margin(tagger(batch), labels)
    reached = {}
    for steps in (1, 6):
        for method in ("search", "gradient"):
            other, worst = attack(tagger, batch, labels, kind, 1.0, method, steps=steps)
            with torch.no_grad():
                torch.testing.assert_close(
                    margin(tagger(other), labels), worst, rtol=1e-3, atol=1e-3
                )
            reached[method, steps] = worst
    for method in ("search", "gradient"):
        assert bool((reached[method, 6] <= reached[method, 1] + 1e-5).all())
    # The gradient finds worse than one random change does, on the mean.
    noise = attack(tagger, batch, labels, kind, 1.0, "random")[1]
    assert float(reached["gradient", 6].mean()) < float(noise.mean()) - 1e-3
    untouched, same = attack(tagger, batch, labels, kind, 0.0)
    torch.testing.assert_close(same, plain)


def test_the_gradient_reaches_the_corner_of_a_linear_answer(jets):
    """Where the answer is the jet's energy alone, every momentum goes to its bound."""
    batch, _ = jets

    class Energy(torch.nn.Module):
        def forward(self, batch):
            energy = (batch.x[..., col.ENERGY] * batch.mask).sum(1)
            return torch.stack([energy, torch.zeros_like(energy)], 1)

    labels = torch.zeros(len(batch.x), dtype=torch.int64)
    energy: Any = Energy()
    _, worst = attack(energy, batch, labels, "resolution", 0.5, "gradient", steps=12)
    width = resolution(batch.x)
    expected = (batch.x[..., col.ENERGY] * (1 - 0.5 * width) * batch.mask).sum(1)
    torch.testing.assert_close(worst, expected, rtol=1e-3, atol=1e-2)


def test_a_curve_and_bad_settings(tagger, jets):
    batch, labels = jets
    rows = robustness(tagger, batch, labels, kinds=("soft",), strengths=(1.0,), steps=2)
    assert set(rows[0]) == {"kind", "strength", "unchanged", "random", "search", "gradient"}
    assert rows[0]["gradient"] <= rows[0]["unchanged"]
    misspelt: Any = "colinear"
    with pytest.raises(InputError, match="collinear"):
        attack(tagger, batch, labels, misspelt, 1.0)
    with pytest.raises(InputError, match="strength"):
        attack(tagger, batch, labels, "soft", -1.0)


def test_the_command(tmp_path, capsys):
    out = tmp_path / "fooled.html"
    arguments = ["jets", "attack", str(shipped("test")), "-o", str(out), "--jets", "20"]
    assert main([*arguments, "--steps", "2", "--strengths", "1"]) == 0
    assert "collinear: strength 1.000, unchanged" in " ".join(capsys.readouterr().err.split())
    assert "95 % interval" in out.read_text()
    assert main([*arguments, "--kinds", "hard"]) == 2
    assert "collinear" in capsys.readouterr().err

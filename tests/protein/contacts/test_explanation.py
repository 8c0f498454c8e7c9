"""Why a contact is predicted: sums that are known, couplings that matter, faults in one line."""

import numpy as np
import pytest
import torch

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein.contacts.explanation import _contact_odds, by_columns, by_rows, log_odds
from sciml.protein.contacts.predictor import ContactPredictor
from sciml.protein.contacts.training import as_example, collate
from sciml.protein.io.alignment_files import read_alignment


@pytest.fixture(scope="module")
def predictor():
    return ContactPredictor.from_pretrained("contacts-small", device="cpu")


@pytest.fixture(scope="module")
def text():
    """Thirty columns, 120 rows; columns 5 and 22 (from 1) always change together."""
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    base = rng.choice(letters, 30)
    rows = [base]
    for _ in range(119):
        row = np.where(rng.random(30) < 0.3, rng.choice(letters, 30), base)
        row[4], row[21] = ("K", "D") if rng.random() < 0.5 else ("D", "K")
        rows.append(row)
    return "".join(f">s{k}\n{''.join(row)}\n" for k, row in enumerate(rows))


@pytest.fixture(scope="module")
def msa(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("family") / "family.fasta"
    path.write_text(text)
    return read_alignment(path)


def test_contributions_add_up_and_the_coupled_pair_leads(predictor, msa):
    features = predictor.features(msa)
    parts = by_columns(predictor, features, 4, 21, steps=12)
    np.testing.assert_allclose(parts, parts.T, atol=1e-9)
    odds = []
    with torch.no_grad():
        for one in (features, features.without_scores()):
            batch = collate([as_example(one)])
            odds.append(
                np.mean([float(_contact_odds(net(batch)[0], 4, 21)) for net in predictor.nets])
            )
    assert parts.sum() == pytest.approx(odds[0] - odds[1], rel=0.05, abs=0.1)
    upper = np.triu(parts, 1)
    assert np.unravel_index(upper.argmax(), upper.shape) == (4, 21)


def test_rows_that_carry_the_coupling_are_missed(predictor, msa):
    rows = by_rows(predictor, msa, 4, 21, groups=3)
    assert sum(row["sequences"] for row in rows) == msa.depth - 1
    assert [row["identity to"] for row in rows] == sorted(
        (row["identity to"] for row in rows), reverse=True
    )
    whole = float(log_odds(predictor.from_features(predictor.features(msa)).probability[4, 21]))
    nearest = np.argsort(-msa.identity_to(0)[1:], kind="stable")[:40] + 1
    rest = msa.select(np.setdiff1d(np.arange(msa.depth), nearest))
    left = float(log_odds(predictor.from_features(predictor.features(rest)).probability[4, 21]))
    assert rows[0]["log odds lost"] == pytest.approx(whole - left, abs=1e-6)
    with pytest.raises(InputError, match="too few"):
        by_rows(predictor, msa, 4, 21, groups=80)


def test_columns_that_are_not_there(predictor, msa):
    features = predictor.features(msa)
    for pair in ((4, 30), (-1, 3), (4, 4)):
        with pytest.raises(InputError, match="two columns of 1 to 30"):
            by_columns(predictor, features, *pair)


def test_the_command(tmp_path, capsys, text):
    (tmp_path / "family.fasta").write_text(text)
    out = tmp_path / "why.html"
    arguments = ["protein", "explain", str(tmp_path / "family.fasta"), "-o", str(out), "--pair"]
    assert main([*arguments, "5", "22"]) == 0
    page = out.read_text()
    assert "columns 5 and 22" in page and "random fifth" in page
    assert main([*arguments, "5", "31"]) == 2
    assert "1 to 30" in capsys.readouterr().err

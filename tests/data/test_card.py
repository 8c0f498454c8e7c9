"""Every card is complete, valid Croissant, and says where its data comes from."""

import json

import pytest

from sciml.cli import main
from sciml.data import card as cards
from sciml.errors import InputError

NAMES = cards.names()


def test_the_cards_of_jets_are_there():
    assert {"jetclass", "top-tagging", "quark-gluon"} <= set(NAMES)
    assert any(name.startswith("jets") for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_complete(name, capsys):
    card, prose = cards.read(name)
    assert card.name == name
    assert card.license and card.citeAs and card.splits and card.fields
    assert card.generator or card.distribution
    if card.generator:
        assert card.command.startswith("sciml data make")
    for file in card.distribution:
        embedded = "://" not in file.contentUrl
        assert not embedded or len(file.sha256) == 64
        # A digest that nobody has published cannot be checked: the prose must say so.
        assert file.sha256 or "published" in prose.casefold()
    assert main(["data", "check", name]) == 0
    assert "the card is complete" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_valid_croissant(name, tmp_path):
    croissant = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(cards.croissant(cards.read(name)[0])))
    dataset = croissant.Dataset(path)
    assert not dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.report()
    assert dataset.metadata.name == name


def test_mistakes_in_a_card_are_named(tmp_path):
    (tmp_path / "bad.md").write_text("---\nname: bad\nlicence: MIT\n---\n\n# Bad\n")
    with pytest.raises(InputError) as caught:
        cards.read(str(tmp_path / "bad.md"))
    assert "`licence`, did you mean `license`?" in str(caught.value)
    assert "`citeAs` is missing" in str(caught.value)
    (tmp_path / "none.md").write_text("# No front matter\n")
    with pytest.raises(InputError, match="front matter"):
        cards.read(str(tmp_path / "none.md"))


def test_a_card_without_its_headings_fails_the_check(tmp_path, capsys):
    source = cards.data_cards_dir() / f"{NAMES[0]}.md"
    text = source.read_text().replace("## Uses", "## Misuses")
    (tmp_path / "card.md").write_text(text)
    assert main(["data", "check", str(tmp_path / "card.md")]) == 2
    assert "lacks the headings Uses" in capsys.readouterr().err

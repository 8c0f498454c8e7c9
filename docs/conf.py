"""The documentation site: hand-written pages, the docstrings, and the cards of models and data."""

import re
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

project = "sciml"
author = "the sciml authors"
release = metadata.version("sciml")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"sciml {release}"
myst_heading_anchors = 3
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True

CARDS = {"cards/models": ROOT / "sciml" / "weights", "cards/data": ROOT / "data_cards"}


def cards(app, name, source):
    """Fill the two pages of cards from the files that the package ships, one after another."""
    if name not in CARDS:
        return
    parts = [source[0]]
    for path in sorted(CARDS[name].glob("*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        facts = yaml.safe_load(front)
        lines = body.strip().splitlines()
        if lines and lines[0].startswith("# "):
            lines = lines[1:]
        # Headings of a card are one level below the card's own.
        body = "\n".join("#" + line if line.startswith("## ") else line for line in lines)
        lead = facts.get("description") or facts.get("task") or ""
        parts.append(f"## {facts.get('name', path.stem)}\n\n*{lead}*\n\n{body}\n")
    source[0] = "\n".join(parts)


def plain(app, what, name, obj, options, lines):
    """Docstrings are plain text with Google's sections: what is drawn with bars stays as drawn."""
    if what == "module":
        lines[:] = ["::", "", *("   " + line for line in lines), ""]
        return
    drawn: list[str] = []
    for line in lines:
        bars, before = line.lstrip().startswith("|"), bool(drawn) and drawn[-1].startswith("   |")
        if bars and not before:
            drawn += ["::", ""]
        if before and not bars:
            drawn.append("")
        drawn.append("   " + line if bars else re.sub(r"[*|]", r"\\\g<0>", line))
    lines[:] = drawn


def setup(app):
    """Sphinx calls this."""
    app.connect("source-read", cards)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before Google's sections

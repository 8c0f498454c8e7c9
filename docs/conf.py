"""The documentation site: hand-written pages, the docstrings, and the cards of models and data."""

import importlib
import re
import shutil
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

project = "sciml"
author = "the sciml authors"
release = metadata.version("sciml")
extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
# Every public name of every module, in pages made from the package as it is.
apidoc_modules = [
    {
        "path": ROOT / "sciml",
        "destination": "api",
        "exclude_patterns": ["**/tasks/**", "**/__main__.py"],
        "max_depth": 1,
        "module_first": True,
        "automodule_options": {"members", "show-inheritance"},
    }
]
shutil.rmtree(ROOT / "docs" / "api", ignore_errors=True)  # modules that are no longer there
autosummary_generate = False  # its tables link to the pages of apidoc
# `name` in a docstring may be that of several fields.
suppress_warnings = ["ref.python"]
html_theme = "furo"
html_title = f"sciml {release}"
myst_heading_anchors = 3
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_inherit_docstrings = False
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


def exports(app, name, source):
    """`@sciml.jets` in a table of the reference stands for all names that the package exports."""

    def lines(match):
        package = importlib.import_module(match[1])
        return "\n".join(f"   {match[1]}.{exported}" for exported in package.__all__)

    source[0] = re.sub(r"^   @([\w.]+)$", lines, source[0], flags=re.M)


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
        drawn.append("   " + line if bars else re.sub(r"[*|]|(?<=\w)_(?!\w)", r"\\\g<0>", line))
    # In the first line of an attribute's text, a colon would end its type ("TYPE: DESCRIPTION").
    first = [""] if what in ("attribute", "data", "property") else []
    lines[:] = first + drawn


def left_out(app, what, name, obj, skip, options):
    """Methods that scikit-learn adds to every estimator have no place in the reference."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", left_out)
    app.connect("source-read", cards)
    app.connect("source-read", exports)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before Google's sections

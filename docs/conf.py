"""The documentation site: hand-written pages, the docstrings, and the cards of models and data."""

import importlib
import json
import re
import shutil
import subprocess
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


# What of a result file is followed over time: (file, keys on the way to the number, what it is).
TREND = (
    ("jets_tag", ("models", "jets-tiny", "jets_per_cpu_second"), "jets tagged per CPU second"),
    ("jets_generator", ("mean_of_rates",), "jets generated per CPU second"),
    ("equivariant_compiled", ("edges_per_second", "ours, torch.compile"),
     "edges per CPU second of an equivariant layer"),
    ("placement", ("cells", "macros fixed", "hpwl"), "HPWL of Ariane133's standard cells"),
    ("symbolic_everyday", ("ours", "right"), "everyday problems solved, of 126"),
)  # fmt: skip
RESULTS = ROOT / "benchmarks" / "results"


def history(path):
    """The contents of a result file: what git has, oldest first, and the file as it is."""
    command = ["git", "log", "--reverse", "--format=%h", "--", str(path.relative_to(ROOT))]
    try:
        log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        for commit in log.stdout.split():
            name = f"{commit}:{path.relative_to(ROOT)}"
            shown = subprocess.run(["git", "show", name], cwd=ROOT, capture_output=True, text=True)
            if shown.returncode == 0:
                yield shown.stdout
    except (OSError, subprocess.CalledProcessError):  # sources without history
        pass
    yield path.read_text(encoding="utf-8")


def benchmarks(app, name, source):
    """Fill the page of benchmarks from the result files."""
    if name != "benchmarks":
        return
    rows = ["| result | what | date | device |", "|---|---|---|---|"]
    for path in sorted(RESULTS.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        cell = facts.get("cells", {}) if path.stem == "placement" else {}
        what = facts.get("what") or facts.get("about") or facts.get("benchmark") or ""
        what = what if isinstance(what, str) else ""
        device = facts.get("device") or facts.get("processor") or facts.get("machine")
        date = facts.get("date") or cell.get("date") or ""
        device = device or cell.get("device") or ""
        text = " ".join(str(what).split())[:160].replace("|", "/")
        rows.append(f"| `{path.name}` | {text} | {date} | {device} |")
    trend = ["| number | values, oldest first |", "|---|---|"]
    for stem, keys, what in TREND:
        values = []
        for text in history(RESULTS / f"{stem}.json"):
            value = json.loads(text)
            for key in keys:
                value = value.get(key, {}) if isinstance(value, dict) else {}
            if isinstance(value, int | float) and (not values or values[-1] != value):
                values.append(value)
        trend.append(f"| {what} (`{stem}.json`) | {', '.join(f'{v:,.4g}' for v in values)} |")
    source[0] = (
        source[0].replace("@benchmarks", "\n".join(rows)).replace("@trend", "\n".join(trend))
    )


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
    app.connect("source-read", benchmarks)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before Google's sections

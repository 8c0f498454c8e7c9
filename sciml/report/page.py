"""One HTML page that opens offline: cards, text, tables, figures, formulas and what moves.

The look and the behaviour are in `templates`: Jinja escapes everything that is not this package's
own markup; a content security policy forbids the page to load anything from anywhere.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sciml import __version__
from sciml.errors import InputError
from sciml.files.jsons import dumps
from sciml.paths import atomic_write
from sciml.report.card import Card, Estimate
from sciml.report.component import Component
from sciml.report.figures import draw
from sciml.report.formulas import KINDS, Formula, mathml
from sciml.report.marks import inline, literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# An id, and the ways in which our pages refer to one.
REFERENCE = r'(\bid="|href="#|url\(#)([^")]+)'
# Around the content of a page, so that it can be read back.
BEGIN, END = "<!--content-->", "<!--end of content-->"
WIDE_TABLE = 50
"""Characters of a row above which a table takes the whole width of a large screen."""


@functools.cache
def _template(name: str) -> Any:
    """A template of this package; everything that it is given is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    made = environment.get_template(name)
    return made if name == "page.html" else made.module


@functools.cache
def _asset(name: str) -> str:
    return files("sciml.report").joinpath("templates", name).read_text(encoding="utf-8")


def embedded(data: Any) -> Markup:
    """Data as JSON that can stand in a <script> element, whatever it holds."""
    return Markup(dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def _cell(value: Any) -> dict[str, Any]:
    """How a table shows a value, and the value itself where that says more."""
    if value is None or (isinstance(value, float) and value != value):
        return {"text": "–", "value": None}
    if isinstance(value, bool):
        return {"text": "yes" if value else "no", "value": None}
    if isinstance(value, float):
        return {"text": f"{value:.4g}", "value": repr(value)}
    if isinstance(value, int):
        return {"text": f"{value:,}", "value": str(value)}
    return {"text": str(value), "value": None}


def _words(values: list[Any]) -> bool:
    """Whether a column holds text, which is aligned to the left, not numbers."""
    texts = [value for value in values if value is not None]
    return all(isinstance(v, str) for v in texts) and any(v[:1].isalpha() for v in texts)


class Page:
    """A report, built from top to bottom, then written.

    Args:
        title: as it is.
        lead: a sentence or two under it; may have marks, see `text`.
        run: the folder of the run that the numbers come from; said beside every table and figure.
        seeds: of the run.

    >>> page = Page("Two jets", lead="Their scores.")
    >>> page.table([{"model": "ours", "auc": 0.98}])
    """

    def __init__(
        self, title: str, lead: str = "", *, run: str | Path = "", seeds: Sequence[int] = ()
    ) -> None:
        self.title, self.lead = title, lead
        self.run, self.seeds = str(run), tuple(seeds)
        self.cards: list[Card] = []
        self.parts: list[Markup] = []
        self.scripts: dict[str, str] = {}

    # -- what a page consists of -----------------------------------------------------------------

    def card(self, card: Card) -> None:
        """Add a card to the head of the page."""
        self.cards.append(replace(card, source=card.source or self.source()))

    def source(self, file: str = "", seeds: Sequence[int] | None = None) -> str:
        """Where numbers come from: file, run and seeds, as far as they are known."""
        seeds = self.seeds if seeds is None else seeds
        named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        parts = (file, f"run {self.run}" if self.run else "", named if seeds else "")
        return "; ".join(part for part in parts if part)

    def heading(self, text: str, level: int = 2) -> None:
        """A heading of level 2 or 3, as it is; both are listed in the contents of a long page."""
        anchor = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
        taken = {anchor for _, anchor, _ in self.sections}
        if anchor in taken:
            anchor += f"-{len(taken)}"
        self._add("heading", level, anchor, text)

    def text(self, text: str, file: str = "") -> None:
        """Paragraphs, separated by empty lines; **bold**, *emphasis* and `code` are rendered.

        Data that goes in passes through `literal` first. `file`: of the run, where numbers in the
        text stand; a pointer on them tells it.
        """
        source = self.source(file) if file else ""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self._add("paragraph", inline(" ".join(paragraph.split())), source)

    def command(self, text: str) -> None:
        """A command to copy."""
        self._add("command", text)

    def table(
        self, rows: Sequence[Mapping[str, Any]], caption: str = "", file: str = "",
        seeds: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """Rows of equal keys, the keys being the header; missing values show as a dash.

        Keys and values are data and shown as they are; the caption may have marks, see `text`.
        Readers sort by a column, and copy the table with all digits as CSV.

        Args:
            rows: what is shown.
            caption: what the numbers are.
            file: of the run, where they stand.
            seeds: that they come from; None: those of the page.
        """
        if not rows:
            return
        keys = list(dict.fromkeys(key for row in rows for key in row))
        columns = [{"name": k, "words": _words([row.get(k) for row in rows])} for k in keys]
        cells = [[_cell(row.get(key)) for key in keys] for row in rows]
        width = sum(
            max(len(str(key)), *(min(30, len(row[place]["text"])) for row in cells)) + 2
            for place, key in enumerate(keys)
        )
        wide = width > WIDE_TABLE or len(rows) > 30
        self._add("table", columns, cells, inline(caption), self.source(file, seeds), wide)

    def figure(
        self, figure: Figure, caption: str = "", alt: str = "", file: str = "",
        seeds: Sequence[int] | None = None, wide: bool = False,
    ) -> None:  # fmt: skip
        """A matplotlib figure; it is closed afterwards.

        Curves with labels and images with a colour bar tell their values under the pointer.

        Args:
            figure: embedded as SVG (small) or PNG (large).
            caption: what it shows; may have marks.
            alt: the same for those who cannot see it; the caption if empty.
            file, seeds: as for `table`.
            wide: whether it takes the whole width of a large screen.
        """
        drawn = draw(figure, alt or str(inline(caption).striptags()), f"f{len(self.parts)}-")
        self._add(
            "figure", drawn.picture, inline(caption), self.source(file, seeds), drawn.width,
            drawn.least, wide, embedded(drawn.hover) if drawn.hover else "",
        )  # fmt: skip

    def image(self, data: bytes, kind: str, caption: str, alt: str, file: str = "") -> None:
        """A picture that exists already, `kind` being its format, such as "gif"."""
        code = base64.b64encode(data).decode()
        picture = Markup('<img src="data:image/{};base64,{}" alt="{}">').format(kind, code, alt)
        self._add("figure", picture, inline(caption), self.source(file), 640, 200, False, "")

    def formulas(self, formulas: Sequence[Formula], file: str = "") -> None:
        """Typeset formulas, one a row, each with its status and what proves it."""
        rows = [
            {"formula": mathml(formula.latex, formula.text), "kind": KINDS[formula.status],
             "status": formula.status, "facts": formula.facts} for formula in formulas
        ]  # fmt: skip
        if rows:
            self._add("formulas", rows, self.source(file))

    def component(
        self, component: Component, caption: str = "", file: str = "", wide: bool = False
    ) -> None:
        """Something that moves. Args as for `figure`."""
        self.scripts[component.name] = component.script
        self._add("component", component.name, component.label, embedded(component.data),
                  inline(caption), self.source(file), wide)  # fmt: skip

    def html(self, raw: str) -> None:
        """Raw HTML of our own; text from outside must be escaped before."""
        self.parts.append(Markup(raw))

    def _add(self, macro: str, *values: Any) -> None:
        self.parts.append(Markup(getattr(_template("blocks.html"), macro)(*values)))

    # -- several pages on one --------------------------------------------------------------------

    def extend(self, other: Page) -> None:
        """Another page as a section of this one, and its cards beside the others."""
        self.heading(other.title)
        anchor = self.sections[-1][1]
        self.cards += [
            replace(card, science=card.science or other.title, anchor=anchor)
            for card in other.cards
        ]
        self.scripts |= other.scripts
        if other.lead:
            self.text(other.lead)
        # Ids of several pages must not collide on this one.
        prefix = f"p{len(self.parts)}-"
        names = {name for part in other.parts for name in re.findall(r'\bid="([^"]+)"', part)}

        def own(match: re.Match[str]) -> str:
            return match[1] + (prefix + match[2] if match[2] in names else match[2])

        for part in other.parts:
            part = Markup(re.sub(r"<(/?)h2( id=|>)", r"<\1h3\2", part))
            self.parts.append(Markup(re.sub(REFERENCE, own, part)))

    @classmethod
    def read(cls, path: str | Path) -> Page:
        """A page that `write` wrote, to `extend` another one with.

        Raises:
            InputError: no such file, or another kind of page.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", where=path) from error
        content = re.search(rf"{BEGIN}(.*){END}", text, re.S)
        about = re.search(r'<script type="application/json" class="about">(.*?)</script>', text)
        title = re.search(r"<h1>(.*?)</h1>", text, re.S)
        if content is None or title is None:
            raise InputError("is not a page of this package", where=path)
        if about is None:  # of version 0.1
            lead = re.search(r'<p class="lead">(.*?)</p>', text, re.S)
            page = cls(
                html.unescape(title[1]), literal(Markup(lead[1]).striptags()) if lead else ""
            )
        else:
            facts = json.loads(about[1])
            page = cls(facts["title"], facts["lead"], run=facts["run"], seeds=facts["seeds"])
            page.cards = [
                Card(**card | {"estimates": tuple((name, Estimate(**number))
                                                  for name, number in card["estimates"])})
                for card in facts["cards"]
            ]  # fmt: skip
        page.scripts = dict(re.findall(r'<script data-name="([^"]+)">(.*?)</script>', text, re.S))
        page.parts.append(Markup(content[1]))
        return page

    # -- the page itself -------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Characters of the content so far."""
        return sum(map(len, self.parts))

    @property
    def sections(self) -> list[tuple[int, str, str]]:
        """Headings so far: (level, anchor, text)."""
        heads = re.findall(r'<h([23]) id="([^"]+)">(.*?)</h[23]>', "".join(self.parts), re.S)
        return [(int(level), anchor, html.unescape(text)) for level, anchor, text in heads]

    def __str__(self) -> str:
        about = {"title": self.title, "lead": self.lead, "run": self.run, "seeds": self.seeds,
                 "cards": [asdict(card) for card in self.cards]}  # fmt: skip
        sections = self.sections
        return str(_template("page.html").render(
            title=self.title, lead=inline(self.lead), version=__version__,
            style=Markup(_asset("page.css")), script=Markup(_asset("page.js")),
            cards=Markup("").join(map(_drawn_card, self.cards)),
            sections=sections if len(sections) > 2 else [],
            begin=Markup(BEGIN), content=Markup("").join(self.parts), end=Markup(END),
            about=embedded(about), scripts=[(n, Markup(s)) for n, s in self.scripts.items()],
        ))  # fmt: skip

    def write(self, path: str | Path) -> Path:
        """Write the page atomically."""
        with atomic_write(path) as temporary:
            temporary.write_text(str(self), encoding="utf-8")
        return Path(path)


def _drawn_card(card: Card) -> Markup:
    """A card as HTML, with its estimates on one scale."""
    ends = [end for _, e in card.estimates for end in (e.value, e.low, e.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    facts = {"science": card.science, "anchor": card.anchor, "question": card.question,
             "answer": inline(card.answer), "measure": card.measure, "source": card.source,
             "estimates": card.estimates}  # fmt: skip
    return Markup(_template("blocks.html").card(facts, low, high))

"""A report is one file that opens offline and cannot be broken by what it shows."""

import random
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.report import Card, Component, Estimate, Page, literal, plots

SCRIPT = "report.components.turned = () => {};"


@pytest.fixture(scope="module")
def page() -> Page:
    page = Page("Two <jets>", lead="What **was** asked & answered.")
    page.heading("Scores")
    page.table(
        [{"model": "ours", "auc": 0.98123, "n": 12345}, {"model": "a<b", "auc": float("nan")}],
        caption="Higher is better.",
    )
    page.command("sciml run x --out 'a b'")
    page.heading("Curves")
    history = [{"step": s, "loss": 1 / s, "split": "train"} for s in range(1, 20)]
    page.figure(plots.learning_curves({"ours": [history, history]}), caption="Loss.")
    figure, axis = plots.axes()
    axis.scatter(range(9000), range(9000))
    page.figure(figure, caption="Many points become a PNG.")
    page.heading("End")
    page.text("First.\n\nSecond with `code`, **bold** and *emphasis*.")
    return page


def test_nothing_is_loaded_from_anywhere(page):
    text = str(page)
    assert not re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', text)
    assert "@import" not in text and "url(http" not in text
    assert "default-src 'none'" in text
    assert "data:image/png;base64," in text and "<svg" in text


def test_text_from_outside_is_escaped(page):
    text = str(page)
    assert "Two &lt;jets&gt;" in text and "a&lt;b" in text
    assert "<strong>was</strong> asked &amp; answered" in text
    assert "<em>emphasis</em>" in text


def test_numbers_are_readable(page):
    text = str(page)
    assert '<td data-value="0.98123">0.9812</td>' in text and ">12,345</td>" in text
    assert "<td>–</td>" in text


def test_ids_of_two_figures_do_not_meet():
    page = Page("x")
    for _ in range(2):
        figure, axis = plots.axes()
        axis.plot([1, 2])
        page.figure(figure)
    ids = re.findall(r'\bid="([^"]+)"', str(page))
    assert len(ids) == len(set(ids))


def test_the_same_page_is_the_same_bytes():
    def build() -> str:
        again = Page("x")
        figure, axis = plots.axes()
        axis.plot([1, 2])
        again.figure(figure)
        return str(again)

    assert build() == build()


def test_spread():
    assert plots.spread([0.5, 0.7], 2) == "0.60 ± 0.14"
    assert plots.spread([0.5], 2) == "0.50"


def test_a_written_page_is_read_back_and_joined(tmp_path):
    """Two pages with the same ids and anchors meet on one without a clash."""
    from matplotlib.figure import Figure

    for name in ("one", "two"):
        page = Page(f"Page *{name}* & `more`", lead="What **was** asked <here>.")
        page.heading("Numbers")
        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([0, 1], label="a")
        page.figure(figure, "A line.")
        page.component(Component("turned", SCRIPT, {"a": name}, "x"))
        page.card(Card("Which?", "*One*.", "AUC", (("ours", Estimate(0.5, 0.4, 0.6)),)))
        page.write(tmp_path / f"{name}.html")
    read = Page.read(tmp_path / "one.html")
    assert read.title == "Page *one* & `more`" and read.lead == "What **was** asked <here>."
    assert str(read) == (tmp_path / "one.html").read_text()

    both = Page("Both")
    for name in ("one", "two"):
        both.extend(Page.read(tmp_path / f"{name}.html"))
    text = str(both)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 8
    for reference in re.findall(r'(?:href="#|url\(#)([^")]+)', text):
        assert reference in ids, reference
    assert text.count("<h1>") == 1 and text.count("<h2 id=") == 2
    assert text.count("report.components.turned =") == 1
    assert [card.science for card in both.cards] == [f"Page *{n}* & `more`" for n in ("one", "two")]
    assert both.cards[0].anchor in ids


def test_a_page_of_version_0_1_is_read(tmp_path):
    (tmp_path / "old.html").write_text(
        '<main><h1>A &amp; b</h1><p class="lead">What <strong>was</strong> 2*3.</p>'
        '<!--content--><h2 id="x">X</h2><!--end of content--></main>'
    )
    page = Page.read(tmp_path / "old.html")
    assert (page.title, page.lead) == ("A & b", r"What was 2\*3.")
    assert page.sections == [(2, "x", "X")]


def test_another_page_is_refused(tmp_path):
    (tmp_path / "other.html").write_text("<h1>Other</h1>")
    with pytest.raises(InputError, match="not a page"):
        Page.read(tmp_path / "other.html")
    with pytest.raises(InputError, match="cannot be read"):
        Page.read(tmp_path / "missing.html")


def test_columns_of_words_are_read_from_the_left():
    page = Page("p")
    page.table([{"a": "x", "what": "Which one?", "score": "0.5 ± 0.1", "n": 3, "none": None}])
    text = str(page)
    assert 'class="words">what</th>' in text and '<td class="words">Which one?</td>' in text
    assert "<td>0.5 ± 0.1</td>" in text and ">3</td>" in text and "<td>–</td>" in text


class _Cells(HTMLParser):
    """The text of every table cell, of headings and paragraphs, as a browser would show it."""

    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.cells: dict[str, list[str]] = {}
        self.tag = ""
        self.feed(str(page))

    def handle_starttag(self, tag, attributes):
        if tag in ("td", "th", "p", "h1", "h2", "title"):
            self.tag = tag
            self.cells.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        if tag == self.tag:
            self.tag = ""

    def handle_data(self, data):
        if self.tag:
            self.cells[self.tag][-1] += data


def _expression(rng: random.Random, depth: int = 4) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["x", "y_1", "2", "a*b", "10**-3"])
    one, other = _expression(rng, depth - 1), _expression(rng, depth - 1)
    return rng.choice([f"({one} + {other})", f"{one}*{other}", f"{one}**2", f"abs({one})",
                       f"{one}<{other}", f"-{one}**{other}*3", f"`{one}`", f"|{one}|"])  # fmt: skip


def test_cells_show_expressions_as_they_are():
    rng = random.Random(0)
    texts = ["x**2*cos(x)*3 + y**2*z", *(_expression(rng) for _ in range(1000))]
    page = Page("x")
    page.table([{"problem": text} for text in texts])
    assert _Cells(page).cells["td"] == texts


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), min_size=1)
)
def test_data_is_shown_as_it_is(texts, tmp_path):
    page = Page(texts[0], lead=literal(texts[0]))
    page.heading(texts[0])
    page.table([{text: text for text in texts}], caption=f"**{literal(texts[0])}**")
    page.text(f"of {literal(texts[0])}, **{literal(texts[0])}**")
    shown = _Cells(page).cells
    assert shown["h1"] == shown["h2"] == [texts[0]]
    assert shown["th"] == shown["td"] == list(dict.fromkeys(texts))
    line = "".join(texts[0].split())
    # the lead, the caption, the paragraph
    assert ["".join(text.split()) for text in shown["p"]] == [line, line, f"of{line},{line}"]
    again = Page.read(page.write(tmp_path / "page.html"))
    assert (again.title, literal(again.title)) == (page.title, literal(page.title))
    assert _Cells(again).cells["p"][0].split() == shown["p"][0].split()

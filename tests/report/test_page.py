"""A report is one file that opens offline and cannot be broken by what it shows."""

import re

import pytest

from sciml.report import Page, plots


@pytest.fixture
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
    loaded = re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', text)
    assert not [x for x in loaded if not x.startswith("#")]
    assert "@import" not in text and "url(http" not in text
    assert "data:image/png;base64," in text and "<svg" in text


def test_text_from_outside_is_escaped(page):
    text = str(page)
    assert "Two &lt;jets&gt;" in text and "a&lt;b" in text
    assert "<strong>was</strong> asked &amp; answered" in text
    assert "<em>emphasis</em>" in text


def test_numbers_are_readable(page):
    text = str(page)
    assert "<td>0.9812</td>" in text and "<td>12,345</td>" in text and "<td>–</td>" in text


def test_ids_of_two_figures_do_not_meet():
    page = Page("x")
    for _ in range(2):
        figure, axis = plots.axes()
        axis.plot([1, 2])
        page.figure(figure)
    ids = re.findall(r'\bid="([^"]+)"', str(page))
    assert len(ids) == len(set(ids))


def test_the_same_page_is_the_same_bytes(page):
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


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_in_a_browser_without_errors(page, tmp_path, browse, width):
    assert "Two &lt;jets&gt;" in browse(page.write(tmp_path / "report.html"), width)

"""Reports in a real browser: four widths, both themes, pointer, keyboard and paper."""

import json
import math

import numpy as np
import pytest

from sciml.placement.generate import synthetic
from sciml.placement.viewer import viewer as placement_viewer
from sciml.protein import plots as protein_plots
from sciml.report import Card, Estimate, Formula, Page, literal, plots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WIDTHS = (390, 768, 1280, 1920)
HOSTILE = '</script><img src="x" onerror="window.hacked = 1"><b>`*'
X = np.linspace(0.0, 1.0, 11)


def build(name: str) -> Page:
    """A page with every kind of block; `name` stands wherever data from outside can."""
    page = Page(f"Page of {name}", lead=f"Lead of **{literal(name)}**.", run="runs/x", seeds=(0, 1))
    estimates = (name, Estimate.of_runs([0.9, 0.92, 0.93])), ("b", Estimate.of_counts(3, 9))
    page.card(Card(f"Which {name}?", "*The first*.", "AUC; higher is better", estimates))
    page.heading(f"Curves of {name}")
    figure, axis = plots.axes()
    axis.plot(X, 100 ** (1 - X), label="ours")
    axis.plot(X, 10 ** (1 - X), label=plots.literal(name))
    axis.set(yscale="log", xlabel="efficiency", ylabel="rejection")
    axis.legend()
    page.figure(figure, f"Rejection of {literal(name)}.", file="metrics.jsonl")
    rows = ("a", 0.912345678, 1200), (name, 0.5, 9), ("c", float("nan"), 10)
    page.table([dict(zip(("method", "auc", "n"), row)) for row in rows], "AUC.")
    page.table([{f"column {i}": "0.9123 ± 0.0123" for i in range(14)}] * 40, "Many columns.")
    page.heading("Contacts")
    contacts = np.exp(-np.abs(np.subtract.outer(np.arange(30), np.arange(30))) / 6.0)
    page.figure(protein_plots.contact_figure(contacts), "Contacts.")
    trace = np.stack([np.cos(np.arange(30.0)), np.sin(np.arange(30.0)), np.arange(30.0) / 3], 1) * 6
    page.component(
        protein_plots.viewer(trace, ["#0053d6"] * 30, name, sequence="MA" * 15), "A trace."
    )
    page.heading("Placement")
    design = synthetic(0, 0.3)
    page.component(placement_viewer(design, (name,)), f"Placement {literal(name)}.", wide=True)
    page.heading("Formulas")
    page.formulas([
        Formula(r"\int \frac{x}{1+x^{2}}\,dx = \frac{1}{2}\log(1+x^2)", "x", "proved", name),
        Formula(r"\text{" + name + "}", name, "sampled"), Formula(r"\frac{", name, "not solved"),
        Formula(" + ".join(rf"\sin^{{{k}}}(x)" for k in range(40)), "sum", "sampled"),
    ])  # fmt: skip
    page.text(f"A long word {'x' * 300} and {literal(name)}.")
    page.command(f"sciml run x --out {'very-long-' * 30}")
    return page


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = build(HOSTILE).write(tmp_path_factory.mktemp("page") / "report.html")
    assert path.stat().st_size < 5e6
    return path


OUTSIDE = """() => [...document.querySelectorAll("header *, main *, footer")].filter((e) => {
  const box = e.getBoundingClientRect();
  if (!box.width || box.right <= window.innerWidth + 1) return false;
  const scroll = e.closest(".scroll");
  return !scroll || getComputedStyle(scroll).overflowX !== "auto";
}).map((e) => e.outerHTML.slice(0, 120))"""
OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("main.content > *")]
    .map((e) => e.getBoundingClientRect());
  const hit = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                     && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => hit(a, b)).map((b) => [a, b]));
}"""
EDGES = """() => [...document.querySelectorAll(".scroll")]
  .filter((e) => (e.scrollWidth > e.clientWidth + 1) !== e.classList.contains("more"))
  .map((e) => e.outerHTML.slice(0, 120))"""
TEXTS = """() => Math.min(...[...document.querySelectorAll(".drawing svg text")].map((t) => {
  const svg = t.ownerSVGElement;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const size = t.querySelector("tspan") ? 10 : parseFloat(t.style.fontSize || "10");
  return size * scale;
}))"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_clipped_or_loaded_or_said_in_the_console(visit, path, width, scheme):
    window, faults = visit(path, width, color_scheme=scheme)
    assert not faults and window.evaluate("window.hacked") is None
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    assert window.evaluate(OUTSIDE) == []
    assert window.evaluate(OVERLAPS) == []
    assert window.evaluate(EDGES) == []
    assert window.evaluate(TEXTS) >= 8.4
    columns = window.evaluate("getComputedStyle(document.querySelector('main')).columnCount")
    assert columns == ("2" if width >= 1200 else "auto")
    window.close()


def test_the_checks_can_fail(visit, path, tmp_path):
    text = path.read_text().replace('class="scroll"', 'class="cut"')
    text = text.replace("report.start();</script>", "report.start(); no.such();</script>")
    (tmp_path / "cut.html").write_text(text)
    window, faults = visit(tmp_path / "cut.html", 390)
    assert faults and window.evaluate(OUTSIDE)
    window.close()


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.getClientRects().length
    && !e.closest("svg")
  ).map((e) => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 100)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(visit, path, scheme):
    window, _ = visit(path, color_scheme=scheme)
    assert window.evaluate(CONTRAST) == []
    window.evaluate("document.body.style.color = '#777777'")
    assert window.evaluate(CONTRAST)  # the check can fail
    window.close()


def test_tables_sort_and_give_all_digits(visit, path):
    window, faults = visit(path)
    table = "document.querySelector('figure.table table')"
    first = f"[...{table}.tBodies[0].rows].map((r) => r.cells[1].textContent)"
    head = window.locator("figure.table th button").nth(1)
    head.click()
    assert window.evaluate(first) == ["0.5", "0.9123", "–"]
    head.press("Enter")  # by the keyboard, the other way round; what is missing stays last
    assert window.evaluate(first) == ["0.9123", "0.5", "–"]
    name = HOSTILE.replace('"', '""')
    assert window.evaluate(f"report.csv({table})") == (
        f'method,auc,n\r\na,0.912345678,1200\r\n"{name}",0.5,9\r\nc,,10\r\n'
    )
    window.locator("figure.table .tools button").first.click()
    window.wait_for_function("document.querySelector('.tools button').textContent !== ''")
    assert not faults
    window.close()


def test_figures_tell_their_values_to_pointer_and_keyboard(visit, path):
    window, faults = visit(path)
    drawing = window.locator(".drawing").first
    panel = json.loads(drawing.locator("script").text_content())[0]
    left, top, right, bottom = panel["box"]
    box = drawing.bounding_box()
    (low, high), (least, most) = panel["x"]["limits"], panel["y"]["limits"]

    def place(x: float) -> float:
        share = left + (x - low) / (high - low) * (right - left)
        return float(box["x"] + share * box["width"])

    window.mouse.move(place(0.5), box["y"] + (top + bottom) / 2 * box["height"])
    tip = drawing.locator(".tip")
    assert "efficiency 0.5" in tip.inner_text() and "ours: 10" in tip.inner_text()
    assert f"{HOSTILE}: 3.162" in tip.inner_text()
    # where the layer has the curve's ends, there is the line that matplotlib drew
    line = drawing.locator('path[style*="#0072b2"]').first.bounding_box()
    assert line["x"] == pytest.approx(place(0), abs=2)
    assert line["x"] + line["width"] == pytest.approx(place(1), abs=2)
    height = math.log(100 / least) / math.log(most / least)
    end = box["y"] + (bottom - height * (bottom - top)) * box["height"]
    assert line["y"] == pytest.approx(end, abs=2)
    assert drawing.locator(".point").count() == 2

    image = window.locator(".drawing").nth(1)
    image.focus()
    for _ in range(3):
        image.press("ArrowRight")
    told = image.locator(".tip").inner_text()
    assert "residue 3, residue 1" in told and "probability of a contact: 0.72" in told
    image.press("Escape")
    assert image.locator(".tip").is_hidden() and not faults
    window.close()


def test_structure_turns_and_placement_zooms_by_keyboard(visit, path):
    window, faults = visit(path)
    for name in ("structure", "placement"):
        canvas = window.locator(f"[data-component={name}] canvas")
        canvas.focus()
        seen = [canvas.evaluate("(c) => c.toDataURL()")]
        for key in ("ArrowLeft", "+"):
            canvas.press(key)
            seen.append(canvas.evaluate("(c) => c.toDataURL()"))
        assert len(set(seen)) == 3, name
    window.locator("button.theme").click()
    assert window.evaluate("document.documentElement.dataset.theme") == "dark"
    assert canvas.evaluate("(c) => c.toDataURL()") not in seen  # drawn in the colours of the theme
    search = window.locator(".placement input[type=search]")
    search.fill("nothing of this name")
    search.press("Enter")
    assert "No node is named" in window.locator(".placement .say").inner_text()
    assert not faults
    window.close()


def test_on_paper_there_is_all_of_a_table_and_nothing_to_click(visit, path):
    window, _ = visit(path, 794)
    window.emulate_media(media="print")
    assert window.locator(".tools").first.is_hidden() and window.locator(".contents").is_hidden()
    assert window.evaluate(
        "[...document.querySelectorAll('figure.table .scroll')]"
        ".every((e) => getComputedStyle(e).overflowX === 'visible')"
    )
    window.close()

"""Figures as SVG with what a pointer reads, estimates with intervals, typeset formulas."""

import base64
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from sciml.report import Estimate, Formula, Page, plots
from sciml.report.figures import LARGEST_SVG, draw
from sciml.report.formulas import mathml


def test_the_hover_layer_has_the_values_of_curves_and_where_they_are_drawn():
    figure, axis = plots.axes(4.0, 3.0)
    x = np.linspace(1, 2, 1000)
    axis.plot(x, x**2, label="a <b>")
    axis.plot(x, x**3, label="c")
    axis.axvline(1.5)
    axis.plot(x, x)  # without a label: no curve to read
    axis.set(yscale="log", xlabel="time", xlim=(1, 2), ylim=(1, 10))
    axis.legend()
    drawn = draw(figure, "alt", "f0-")
    (panel,) = drawn.hover
    assert [line["label"] for line in panel["lines"]] == ["a <b>", "c"]
    xs, ys = np.array(panel["lines"][1]["x"]), np.array(panel["lines"][1]["y"])
    assert len(xs) == 400 and (xs[0], xs[-1]) == (1, 2) and ys == pytest.approx(xs**3, rel=1e-4)
    assert panel["x"] == {"limits": [1, 2], "log": False, "label": "time"} and panel["y"]["log"]
    # the frame of the axes, as matplotlib wrote it into the SVG, is the panel's box
    svg = ElementTree.fromstring(str(drawn.picture))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    patch = next(e for e in svg.iter() if e.attrib.get("id") == "f0-patch_2")
    corners = re.findall(r"([\d.]+) ([\d.]+)", patch[0].attrib["d"])
    xs, ys = (np.array([float(c[k]) for c in corners]) for k in (0, 1))
    box = [xs.min() / width, ys.min() / height, xs.max() / width, ys.max() / height]
    assert panel["box"] == pytest.approx(box, abs=1e-4)


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_the_hover_layer_has_the_cells_of_images(origin):
    values = np.random.default_rng(0).random((5, 7))
    values[2, 3] = np.nan
    figure, axis = plots.axes(3.0, 3.0)
    shown = axis.imshow(values, origin=origin, extent=(0, 7, 0, 5))
    figure.colorbar(shown, ax=axis, label="share")
    (panel,) = draw(figure, "alt", "f0-").hover
    image = panel["image"]
    cells = np.frombuffer(base64.b64decode(image["values"]), np.uint8).reshape(5, 7)
    assert cells[2, 3] == 255 and image["label"] == "share"
    read = image["low"] + (image["high"] - image["low"]) * cells / 254
    assert np.nanmax(np.abs(np.where(cells == 255, np.nan, read) - values)) < 0.002
    # the first row lies at the upper end of the extent, or at its lower one
    assert image["extent"] == ([0, 7, 5, 0] if origin == "upper" else [0, 7, 0, 5])


def test_text_takes_the_colour_of_the_page_and_is_never_shrunk_below_legibility():
    figure, axis = plots.axes(4.0, 3.0)
    axis.plot([0, 1], color="black")
    axis.set_xlabel("10 points")
    one = draw(figure, "what it shows <", "f0-")
    assert "#000000" not in one.picture and "currentColor" in one.picture
    assert 'aria-label="what it shows &lt;"' in one.picture and "10 points</text>" in one.picture
    figure, axis = plots.axes(4.0, 3.0)
    axis.set_xlabel("small", fontsize=4)
    two = draw(figure, "", "f0-")
    assert two.least > one.least and two.least <= two.width
    assert one.least <= 358  # the width of a telephone, less the margins


def test_many_points_become_a_picture_of_the_same_size():
    figure, axis = plots.axes(4.0, 3.0)
    axis.plot(np.random.default_rng(0).random(40_000), ",")
    axis.scatter(range(4000), range(4000), s=1)
    drawn = draw(figure, "points", "f0-")
    assert drawn.picture.startswith('<img src="data:image/png;base64,')
    assert LARGEST_SVG == 300_000 and 350 < drawn.width < 520


def test_estimates_have_the_intervals_of_scipy():
    values = [0.91, 0.94, 0.92, 0.95]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    one = Estimate.of_runs(values)
    assert (one.low, one.high) == pytest.approx((low, high))
    assert one.shown == "0.930" and one.between == f"{low:.3f} to {high:.3f}"
    assert Estimate.of_runs([0.5]).between == ""
    assert high > 0.95 and Estimate.of_runs(values, at_most=0.95).high == 0.95
    for hits in (0, 3, 20):
        exact = binomtest(hits, 20).proportion_ci(0.95, "exact")
        count = Estimate.of_counts(hits, 20)
        assert (count.low, count.high) == pytest.approx((exact.low, exact.high))
        assert count.shown == f"{hits} of 20"


def test_formulas_are_typeset_and_cannot_be_markup():
    made = mathml(r"\frac{x}{\sqrt{2}} \le \int f\,dx")
    ElementTree.fromstring(str(made))
    assert "<mfrac>" in made and "<msqrt>" in made and "≤" in made and "∫" in made
    for hostile in ("<script>alert(1)</script>", "&lt;b&gt;", '" onmouseover="x'):
        for latex in (rf"\text{{{hostile}}}", hostile, rf"\operatorname{{{hostile}}}", r"\frac{"):
            tree = ElementTree.fromstring(str(mathml(latex, hostile)))
            assert {"script", "b"}.isdisjoint(e.tag for e in tree.iter())
            assert not any(key.startswith("on") for e in tree.iter() for key in e.attrib)
    assert mathml(r"\frac{", "a<b") == "<code>a&lt;b</code>"
    assert "<code>" in mathml("x + " * 2000, "long")


def test_every_table_and_figure_says_where_its_numbers_come_from():
    page = Page("x", run="runs/a<b", seeds=(0, 2))
    page.table([{"a": 1}], "One.", file="metrics.jsonl")
    page.figure(plots.axes()[0], "Two.", seeds=(2,))
    page.formulas([Formula("x", "x", "proved", "by sight")])
    page.text("Half of them.", file="scores.json")
    text = "".join(page.parts)
    whole = "run runs/a&lt;b; seeds 0, 2"
    assert f"Source: metrics.jsonl; {whole}</p>" in text
    assert f'title="Source: metrics.jsonl; {whole}"' in text
    assert "Source: run runs/a&lt;b; seed 2</p>" in text
    assert f'<p title="Source: scores.json; {whole}">' in text
    assert text.count("Source: ") == 5


def test_numbers_that_are_no_json_are_null():
    figure, axis = plots.axes()
    axis.plot([0, 1, 2], [1.0, math.nan, 3.0], label="a")
    page = Page("x")
    page.figure(figure, "A gap.")
    source = re.search(r'<script type="application/json">(.*?)</script>', page.parts[0])
    assert source is not None
    (panel,) = json.loads(source[1])
    assert panel["lines"][0]["x"] == [0, 2]

"""The interactive page of a placement, and the comparison of two."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement import compare, hpwl, place, score, write_design
from sciml.placement.tokens import Names
from sciml.placement.viewer import write_viewer


def embedded(path):
    text = path.read_text()
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)  # nothing is loaded from anywhere
    data = re.search(r'</div><script type="application/json">(.*?)</script>', text, re.S)
    assert data is not None
    return json.loads(data[1])


def numbers(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_the_page_holds_the_placement(small, tmp_path):
    hostile = [f"<b>{n}</b></script>" if k == 0 else n for k, n in enumerate(small.names)]
    design = replace(small, names=Names.of(hostile), name="<i>d</i>")
    design.x[1], design.y[1] = design.x[0], design.y[0]  # an overlap
    write_viewer(design, tmp_path / "a.html")
    assert "<i>d</i>" not in (tmp_path / "a.html").read_text()
    data = embedded(tmp_path / "a.html")
    assert data["names"]["0"] == hostile[0]
    (only,) = data["placements"]
    boxes = numbers(only["boxes"], "<f4").reshape(-1, 4)
    w, h = design.size()
    assert np.allclose(boxes[:, 2] - boxes[:, 0], w, atol=1e-3)
    assert np.allclose(boxes[:, 1], design.y - h / 2, atol=1e-3)
    start, node = numbers(data["net_start"], "<i4"), numbers(data["pin_node"], "<i4")
    pins = numbers(only["pins"], "<f4").reshape(-1, 2)
    lengths = [np.ptp(pins[a:b], axis=0).sum() for a, b in zip(start[:-1], start[1:], strict=True)]
    assert np.dot(lengths, design.net_weight) == pytest.approx(hpwl(design), rel=1e-5) or (
        sum(lengths) == pytest.approx(hpwl(design), rel=1e-5)
    )
    assert len(node) == design.pins
    assert len(numbers(only["density"], "<f4")) == only["columns"] * only["rows"] == 99
    rules = {v["rule"] for v in only["violations"]}
    assert "overlaps" in rules and all(len(v["boxes"]) for v in only["violations"])
    assert only["scores"]["proxy"] == score(design)["proxy"]


def test_two_placements_are_compared_by_name(small, tmp_path):
    after = place(small, max_moves=3000).design
    order = np.arange(small.nodes)
    same = compare(small, small)
    assert same.moved == same.turned == 0 and not same.nets
    result = compare(small, after)
    movable = ~small.fixed
    far = (np.abs(small.x - after.x) + np.abs(small.y - after.y))[movable]
    assert result.total_displacement == pytest.approx(far.sum())
    assert result.max_displacement == pytest.approx(far.max())
    assert result.farthest == small.names[int(order[movable][far.argmax()])]
    assert result.scores["difference"]["proxy"] == pytest.approx(
        score(after)["proxy"] - score(small)["proxy"]
    )
    changes = [abs(net["after"] - net["before"]) for net in result.nets]
    assert changes == sorted(changes, reverse=True) and len(changes) == 10
    write_viewer((small, after), tmp_path / "two.html", ("old", "new"))
    first, second = embedded(tmp_path / "two.html")["placements"]
    assert (first["label"], second["label"]) == ("old", "new")
    boxes = numbers(second["boxes"], "<f4").reshape(-1, 4)
    assert np.allclose((boxes[:, 0] + boxes[:, 2]) / 2, after.x, atol=1e-3)
    strangers = replace(after, names=Names.of([f"z{n}" for n in after.names]))
    with pytest.raises(InputError, match="no node of"):
        compare(small, strangers)


def test_compare_on_the_command_line(small, tmp_path, capsys):
    from sciml.cli import main

    write_design(small, tmp_path / "a.pb.txt")
    write_design(place(small, max_moves=500).design, tmp_path / "b.pb.txt")
    netlist = str(tmp_path / "a.pb.txt")
    two = ["--plc", str(tmp_path / "a.plc"), str(tmp_path / "b.plc")]
    page = tmp_path / "page.html"
    assert main(["placement", "compare", netlist, netlist, *two, "--json", "-o", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["moved"] > 0 and set(told["scores"]) == {"before", "after", "difference"}
    assert {"proxy", "robust_proxy", "hpwl", "overflow", "legal"} <= set(told["scores"]["after"])
    assert [p["label"] for p in embedded(page)["placements"]] == ["a.plc", "b.plc"]
    assert main(["placement", "compare", netlist, netlist, *two]) == 0
    assert "nodes moved" in capsys.readouterr().out
    assert main(["placement", "compare", netlist, netlist, "-o", str(tmp_path / "x.png")]) == 2

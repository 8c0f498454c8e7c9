"""Changes stay within their tolerance, and the worst ones are worse than any that is tried."""

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.design import MACRO
from sciml.placement.formats.io import write_design
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.learning import attacks


@pytest.fixture(scope="module")
def design():
    made = netlist(NetlistConfig(macros=8, clusters=12, ports=8), seed=3)
    rng = np.random.default_rng(0)
    canvas = made.canvas
    x, y = (
        rng.uniform(canvas.x0, canvas.x1, made.nodes),
        rng.uniform(canvas.y0, canvas.y1, made.nodes),
    )
    return made.at(x, y, rng.integers(0, 8, made.nodes))


def wire(design):
    return float(design.net_weight @ net_hpwl(design))


def test_weights_stay_within_the_tolerance_and_keep_their_total(design):
    change = attacks.worst_weights(design, 0.2)
    other = attacks.with_weights(design, change, 0.2)
    assert other.net_weight.sum() == pytest.approx(design.net_weight.sum())
    ratio = other.net_weight / design.net_weight
    assert ratio.max() / ratio.min() <= 1.2 / 0.8 + 1e-9 and set(change) == {-1.0, 1.0}


def test_no_other_weights_make_more_wire(design):
    rng = np.random.default_rng(1)
    best = wire(attacks.with_weights(design, attacks.worst_weights(design, 0.2), 0.2))
    assert best > wire(design)
    for _ in range(300):
        change = rng.choice((-1.0, 1.0), design.nets)
        assert wire(attacks.with_weights(design, change, 0.2)) <= best + 1e-6
    # Turning any single net over makes less.
    change = attacks.worst_weights(design, 0.2)
    for k in range(design.nets):
        one = change.copy()
        one[k] *= -1
        assert wire(attacks.with_weights(design, one, 0.2)) <= best + 1e-6


def test_pins_stay_on_their_macro(design):
    change = np.random.default_rng(2).choice((-1.0, 1.0), (design.pins, 2))
    other = attacks.with_pins(design, change, 0.3)
    node = design.pin_node
    macro = design.kind[node] == MACRO
    assert macro.any() and not macro.all()
    assert (other.pin_dx[~macro] == design.pin_dx[~macro]).all()
    assert (np.abs(other.pin_dx - design.pin_dx) <= 0.3 * design.width[node] + 1e-9).all()
    edge = np.maximum(design.height[node] / 2, np.abs(design.pin_dy))
    assert (np.abs(other.pin_dy) <= edge + 1e-9).all()
    assert not np.allclose(other.pin_dy, design.pin_dy)


def test_no_other_pins_make_more_wire_whatever_the_orientation(design):
    rng = np.random.default_rng(4)
    assert len(set(design.orientation[design.kind == MACRO])) > 3
    best = net_hpwl(attacks.with_pins(design, attacks.worst_pins(design, 0.3), 0.3))
    assert best.sum() > net_hpwl(design).sum()
    for _ in range(300):
        change = rng.choice((-1.0, 1.0), (design.pins, 2))
        tried = net_hpwl(attacks.with_pins(design, change, 0.3))
        assert (tried <= best + 1e-6 * (1 + best)).all()


def test_placers(design):
    """One that does not look at the netlist loses nothing by a wrong one; one that sorts nodes by
    the weight of their nets does. What a seed changes is told apart."""
    canvas = design.canvas
    x = canvas.x0 + canvas.width * np.linspace(0.3, 0.7, design.nodes)
    inside = design.at(x, x[::-1] * canvas.height / canvas.width, np.zeros(design.nodes, int))

    def blind(wrong, seed):
        return inside.at(inside.x, inside.y)

    def sorting(wrong, seed):
        pull = np.zeros(wrong.nodes)
        net = np.repeat(np.arange(wrong.nets), np.diff(wrong.net_start))
        np.add.at(pull, wrong.pin_node, wrong.net_weight[net])
        return wrong.at(inside.x[np.argsort(np.argsort(pull))], inside.y)

    for placer, loses in ((blind, False), (sorting, True)):
        rows = attacks.robustness(inside, placer, tolerances=(0.2,), tries=2)
        assert [row["kind"] for row in rows] == ["weights", "pins"]
        for row in rows:
            moved = loses and row["kind"] == "weights"
            assert (abs(row["anew, mean"]) > 1e-6) == moved and row["seeds"] == 0
            assert row["wire, worst"] > abs(row["wire, random"])
    with pytest.raises(InputError, match="outside"):
        attacks.robustness(design, lambda d, seed: d)
    for options, words in (
        ({"kinds": ("pin",)}, "pins"), ({"tolerances": (1.5,)}, "tolerances"),
        ({"tries": 0}, "tries"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            attacks.robustness(inside, blind, **options)


def test_the_command(tmp_path, capsys):
    made = netlist(NetlistConfig(macros=4, clusters=6, ports=4), seed=3)
    write_design(made, tmp_path / "circuit.pb.txt")
    out = tmp_path / "page.html"
    arguments = ["placement", "attack", str(tmp_path), "-o", str(out), "--tries", "1"]
    assert main([*arguments, "--tolerances", "0.1", "--cpu-seconds", "0.05"]) == 0
    assert "weights within 0.1: wire, random" in " ".join(capsys.readouterr().err.split())
    assert "seeds alone" in out.read_text()
    assert main([*arguments, "--tolerances", "2"]) == 2
    assert "within (0, 1)" in capsys.readouterr().err

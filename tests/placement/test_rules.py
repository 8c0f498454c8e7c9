"""A user's rules beside those of the files: read, kept by `place`, reported by `check`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.errors import InputError
from sciml.placement import check, place, read_design
from sciml.placement.generate import NetlistConfig, netlist
from sciml.placement.rules import apply, challenge, read_rules, without_rules

sys.path.insert(0, str(Path(__file__).parent))
from legality_cases import ask, faults, make, scatter
from legality_package import placed_or_refused, read, reported


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules")


def agrees(seed, folder):
    case = make(seed)
    ruled = apply(read(case, folder), ask(case, seed))
    scatter(case, seed)
    scattered = read(case, folder)
    fixed = [t.fixed for t in case.things]
    ruled.fixed[:] = fixed
    design = ruled.at(scattered.x, scattered.y, scattered.orientation)
    verdict = check(design)
    assert reported(verdict) == faults(case)
    boxes = {t.name: [v / 1000 for v in t.box] for t in case.things}
    violations = json.loads(json.dumps(verdict.as_dict()))["violations"]
    assert [v["rule"] for v in violations] == verdict.broken
    for violation in violations:
        expected = np.array([boxes[name] for name in violation["nodes"]])
        assert np.allclose(np.array(violation["boxes"]), expected)
    return len(verdict.problems)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_check_names_what_a_brute_force_checker_finds(seed, folder):
    agrees(seed, folder)


@pytest.mark.slow
def test_check_agrees_with_a_brute_force_checker_on_thousands(folder):
    assert sum(agrees(seed, folder) for seed in range(3000)) > 10_000


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_place_keeps_the_rules_or_refuses(seed, folder):
    case = make(seed)
    ruled = apply(read(case, folder), ask(case, seed))
    placed_or_refused(case, ruled, seed)


@pytest.mark.slow
def test_place_keeps_the_rules_of_hundreds(folder):
    ends = []
    for seed in range(300):
        case = make(seed, tight=False)
        ruled = apply(read(case, folder), ask(case, seed))
        ends.append(placed_or_refused(case, ruled, seed))
    assert ends.count("placed") > 150


def macros(seed=0, count=12):
    return netlist(NetlistConfig(macros=count, clusters=30, ports=8, nets_per_node=4), seed)


def gaps(design):
    """The larger gap, along x or along y, of every pair of hard macros."""
    i = design.where(0)
    w, h = (size[i] for size in design.size())
    dx = np.abs(design.x[i][:, None] - design.x[i]) - (w[:, None] + w) / 2
    dy = np.abs(design.y[i][:, None] - design.y[i]) - (h[:, None] + h) / 2
    return np.maximum(dx, dy)[np.triu_indices(len(i), 1)]


@pytest.mark.parametrize("start", ["zero", "electrostatic"])
def test_the_challenge_keeps_macros_apart_and_upright(start):
    design = macros()
    ruled = apply(design, challenge(0.25))
    placed = place(ruled, max_moves=20_000, start=start).design
    assert gaps(placed).min() >= 0.25 - 1e-6
    assert (placed.orientation[placed.kind == 0] < 4).all()
    assert (placed.width == design.width).all() and (placed.height == design.height).all()
    assert check(placed).legal
    assert without_rules(placed, design).constraints is None


def test_aligned_and_soft_fixed_macros_stay_so_while_others_move():
    design = macros(1)
    start = place(design, max_moves=2000).design
    names = [design.names[i] for i in range(5)]
    rules = {
        "align": [{"nodes": names[:3], "edge": "left"}],
        "soft_fixed": [{"nodes": names[3:5], "within": 2.0}],
    }
    placed = place(apply(start, rules), max_moves=20_000, start="file").design
    left = placed.x[:3] - placed.width[:3] / 2
    assert np.ptp(left) < 1e-6
    assert (np.abs(placed.x - start.x)[3:5] <= 2 + 1e-6).all()
    assert (np.abs(placed.y - start.y)[3:5] <= 2 + 1e-6).all()
    assert np.ptp(placed.y[:3]) > 1 and check(placed).legal
    # A negative control: without the rules they are not kept.
    free = place(start, max_moves=20_000, start="file").design
    verdict = check(apply(start, rules).at(free.x, free.y, free.orientation))
    assert verdict.unaligned and verdict.windows


def test_sides_with_pins_have_room(folder):
    design = macros(2)
    design.pin_dx[:], design.pin_dy[:] = design.width[design.pin_node] / 2, 0.0  # on the right
    rules = {"pin_access": 3.0}
    ruled = apply(design, rules)
    on_macros = np.isin(np.arange(design.nodes), design.pin_node[design.kind[design.pin_node] == 0])
    assert ruled.constraints is not None
    assert (ruled.constraints.halo[on_macros] == [0, 0, 3, 0]).all()
    assert check(place(ruled, max_moves=5000).design).legal


def test_searches_on_the_wire_mask_refuse_what_they_cannot_keep():
    ruled = apply(macros(), {"channel": 1.0})
    with pytest.raises(InputError, match="does not yet honour the channel between macros"):
        place(ruled, method="search", max_moves=10)


@pytest.mark.parametrize(
    "text, message",
    [
        ("channel = -1", "channel must be a length"),
        ("chanel = 1", "unknown rule 'chanel'.*channel"),
        ('orientations = ["N", "R90"]', "unknown orientation 'R90'"),
        ('[[align]]\nnodes = ["m*"]\nedge = "middle"', "unknown edge 'middle'"),
        ('[[align]]\nnodes = ["m*"]', r"\[\[align\]\] needs edge"),
        ('[[align]]\nnodes = ["zz*"]\nedge = "x"', r"unknown node 'zz\*'"),
        ('[[density]]\nmost = 0.5', "either a region or a box"),
        ('[[density]]\nregion = "r"\nmost = 0.5', "unknown region 'r'"),
        ('[[density]]\nbox = [0, 0, 1, 1]\nmost = 1.5', "must be 0 to 1"),
        ('[[blockage]]\nbox = [1, 0, 0, 1]', "x0 < x1"),
        ('[[soft_fixed]]\nnodes = ["m*"]\nwithin = "far"', "wrong type"),
        ("channel = ", "cannot be read as TOML"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept_are_one_line(text, message, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        apply(macros(), read_rules(tmp_path / "r.toml"), tmp_path / "r.toml")
    assert "\n" not in str(error.value)


def test_a_file_of_rules_binds_the_command_line(tmp_path, capsys):
    from sciml.cli import main
    from sciml.placement import write_design

    write_design(place(macros(), max_moves=500).design, tmp_path / "a.pb.txt")
    files = [str(tmp_path / "a.pb.txt"), "--plc", str(tmp_path / "a.plc")]
    (tmp_path / "r.toml").write_text("channel = 2.0\n")
    rules = ["--rules", str(tmp_path / "r.toml")]
    assert main(["placement", "check", *files]) == 0
    capsys.readouterr()
    assert main(["placement", "check", *files, *rules, "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["channels"] == len(verdict["violations"]) > 0
    assert len(verdict["violations"][0]["boxes"]) == 2
    out = str(tmp_path / "b.plc")
    moves = ["-o", out, "--max-moves", "5000", "--json"]
    assert main(["placement", "place", *files, *rules, *moves]) == 0
    again = [files[0], "--plc", out]
    assert main(["placement", "check", *again, *rules]) == 0
    assert gaps(read_design(tmp_path / "a.pb.txt", plc=out)).min() >= 2 - 1e-5
    assert main(["placement", "place", *files, "--rules", "challenge", *moves]) == 0
    assert gaps(read_design(tmp_path / "a.pb.txt", plc=out)).min() > 0.0009


def test_rules_that_the_pages_show_are_rules(tmp_path):
    import re

    from sciml.placement import rules

    root = Path(__file__).parents[2]
    pages = [root / "docs/tutorials/placement.md", root / "docs/howto/openroad.md"]
    texts = [rules.__doc__ or "", *(page.read_text() for page in pages)]
    blocks = [b for text in texts for b in re.findall(r"```toml\n(.*?)```", text, re.S)]
    assert len(blocks) == 3
    for block in blocks:
        (tmp_path / "r.toml").write_text(block)
        assert read_rules(tmp_path / "r.toml")

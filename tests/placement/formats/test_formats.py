"""Round trips between all formats, and real files where there are some."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.placement import check, convert, hpwl, proxy_cost, read_design, write_design
from sciml.placement.design import MACRO, ORIENTATIONS, ROTATION
from sciml.placement.formats.protobuf_netlist import read_netlist
from sciml.placement.generate import NetlistConfig, make, netlist
from sciml.placement.tokens import Names, Text, character_table

NAMES = {"aux": "x.aux", "pb": "x.pb.txt.gz", "def": "x.def"}


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", NAMES)
def test_half_perimeter_survives_two_conversions(first, second, small, tmp_path):
    small.pin_dx[small.pin_node < 8] *= 0.7  # offsets that are no round numbers
    exact = hpwl(small)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    write_design(small, tmp_path / "one" / NAMES[first])
    once = read_design(tmp_path / "one" / NAMES[first])
    convert(tmp_path / "one" / NAMES[first], tmp_path / "two" / NAMES[second])
    lef = [tmp_path / "one/x.lef"] if first == second == "def" else []  # what a DEF needs stays
    twice = read_design(tmp_path / "two" / NAMES[second], lef=lef)
    assert once.nets == twice.nets == small.nets and twice.pins == small.pins
    assert hpwl(once) * once.unit_um == pytest.approx(exact, rel=1e-6)
    assert hpwl(twice) * twice.unit_um == pytest.approx(exact, rel=1e-6)


def test_protobuf_keeps_everything_the_proxy_needs(small, tmp_path):
    small.net_weight[:] = np.random.default_rng(0).choice([1.0, 2.0, 3.0], small.nets)
    write_design(small, tmp_path / "n.pb.txt")
    again = read_design(tmp_path / "n.pb.txt")
    assert proxy_cost(again).proxy == pytest.approx(proxy_cost(small).proxy, abs=1e-12)
    assert np.array_equal(again.fixed, small.fixed) and list(again.names) == list(small.names)
    # a .plc alone is read with the netlist that its indices count in
    again.x[~again.fixed] *= 0.99
    write_design(again, tmp_path / "moved.plc")
    moved = read_design(tmp_path / "n.pb.txt", plc=tmp_path / "moved.plc")
    assert np.array_equal(moved.x, again.x)


def test_numbers_are_read_exactly():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(size=300) * 10.0 ** rng.integers(-30, 30, 300), rng.integers(-9, 10**9, 100)]
    )
    shown = [repr(float(v)) for v in values] + [
        "1e5",
        "+7",
        ".5",
        "5.",
        "0.1e-7",
        "123456789012345678901",
    ]
    text = Text(np.frombuffer(" ".join(shown).encode(), np.uint8), character_table())
    values = text.numbers(np.arange(len(shown)), "number")
    assert values.tolist() == [float(s) for s in shown]


def test_names_find_each_other():
    names = Names.of([f"cell_{i}" for i in range(5000)] + ["\u00e9", "a b"])
    query = Names.of(["cell_4999", "nobody", "\u00e9", "cell_0"])
    assert names.find(query).tolist() == [4999, -1, 5000, 0]
    assert Names.of(["a", "b", "a"]).first_repeated() == 2
    assert names.first_repeated() == -1 and list(names[3:5]) == ["cell_3", "cell_4"]


def test_synthetic_netlists_are_made_and_differ(tmp_path):
    make(tmp_path, count=3, seed=5, scale=0.2)
    folders = sorted(tmp_path.iterdir())
    designs = [read_design(f) for f in folders]
    assert len({d.nets for d in designs}) == 3
    make(tmp_path / "again", count=1, seed=5, scale=0.2)
    first = read_design(tmp_path / "again" / folders[0].name)
    assert np.array_equal(first.pin_node, designs[0].pin_node)


def test_wires_leave_blocks_as_rents_rule_says():
    """Wires that leave blocks of the hidden tree against the law that pins are drawn from.

    A net of level l leaves its driver's block of 2^k leaves with chance 1 - 2^(k - l); summed over
    levels with weight 2^(-(1 - p) l) that is Rent's size^p, bent down near the whole circuit.
    """
    k = np.array([1, 3, 5, 7])
    slopes, laws = [], []
    for p in (0.45, 0.8):
        config = NetlistConfig(macros=0, clusters=4096, ports=0, rent=p, degree=2.0,
                               nets_per_node=12)  # fmt: skip
        design = netlist(config, 0)
        rng = np.random.default_rng([0, 77])
        rng.uniform(0.5, 2)
        position = rng.permutation(4096)
        net_of = np.repeat(np.arange(design.nets), np.diff(design.net_start))
        wires, law = [], []
        for size in 2**k:
            block = position[design.pin_node] // size
            pairs = np.unique(np.stack([net_of, block], 1), axis=0)
            spread = np.bincount(pairs[:, 0], minlength=design.nets)
            wires.append((spread[pairs[:, 0]] > 1).sum() * size / 4096)
            level = np.arange(np.log2(size) + 1, 13)
            law.append(size * (2 ** (-(1 - p) * level) * (1 - size / 2**level)).sum())
        slopes.append(np.polyfit(np.log(2.0**k), np.log(wires), 1)[0])
        laws.append(np.polyfit(np.log(2.0**k), np.log(law), 1)[0])
    assert slopes == pytest.approx(laws, abs=0.05) and slopes[1] - slopes[0] > 0.2


def test_components_and_pins_stand_where_klayout_reads_them(fixture_file, fixture_script, tmp_path):
    """All eight orientations, and a macro whose origin is not its corner."""
    script = fixture_script("layout_files")
    expected = json.loads(fixture_file("placement/layout.json").read_text())["components"]
    script.write_layout(tmp_path)
    design = read_design(tmp_path / "layout.def", lef=[tmp_path / "layout.lef"])
    width, height = design.size()
    index = {name: i for i, name in enumerate(design.names)}
    for name, there in expected.items():
        i = index[name]
        box = [design.x[i] - width[i] / 2, design.y[i] - height[i] / 2,
               design.x[i] + width[i] / 2, design.y[i] + height[i] / 2]  # fmt: skip
        assert box == pytest.approx(there["box"], abs=1e-9), name
    pins = [[expected[c]["pins"][p] for c, p in net] for net in script.layout()[1]]
    lengths = [np.ptp(net, axis=0).sum() for net in pins]
    assert hpwl(design) == pytest.approx(sum(lengths), abs=1e-9)


def test_bookshelf_is_exact(fixture_file, fixture_script, tmp_path):
    """The half-perimeter by Coloquinte, and overlaps counted pair by pair."""
    fixture_script("layout_files").write_bookshelf(tmp_path)
    design = read_design(tmp_path / "made.aux")
    assert (
        hpwl(design)
        == json.loads(fixture_file("placement/layout.json").read_text())["bookshelf_hpwl"]
    )
    low = np.stack([design.x - design.width / 2, design.y - design.height / 2], 1)
    high = low + np.stack([design.width, design.height], 1)
    overlap = (low[:, None] < high) & (high[:, None] > low)
    verdict = check(design)
    assert verdict.overlaps == np.triu(overlap.all(-1), 1).sum() > 20
    assert verdict.off_row == verdict.off_site == verdict.outside == 0


def test_flat_netlists_have_the_half_perimeter_of_their_pins(fixture_script, tmp_path):
    """Standard cells and hard macros, all in lower case, as flat netlists have them."""
    script = fixture_script("plc_client")
    rng = np.random.default_rng(8)
    nodes = [node for node in script.design("small", 8) if node["type"] != "MACRO_PIN"]
    names = [node["name"] for node in nodes if node["type"] in ("macro_pin", "PORT")]
    places = {}
    for node in nodes:
        node["type"] = node["type"].lower()
        node["x"], node["y"] = (round(float(v), 3) for v in rng.uniform(50, 200, 2))
        node["input"] = [name for name in node["input"] if name in names]
        if node["type"] == "macro_pin":
            node["x_offset"], node["y_offset"] = (round(float(v), 3) for v in rng.uniform(-5, 5, 2))
    for k in range(20):
        x, y = (round(float(v), 3) for v in rng.uniform(50, 200, 2))
        cell = {"name": f"c{k}", "type": "stdcell", "width": 2.0, "height": 1.4, "x": x, "y": y,
                "input": list(rng.choice(names, 3, replace=False))}  # fmt: skip
        nodes.append(cell)
    at = {node["name"]: np.array([node["x"], node["y"]]) for node in nodes}
    for node in nodes:
        places[node["name"]] = at[node["name"]]
        if node["type"] == "macro_pin":
            offset = np.array([node["x_offset"], node["y_offset"]])
            places[node["name"]] = at[node["macro_name"]] + offset
    expected = sum(
        np.ptp([places[n] for n in (node["name"], *node["input"])], axis=0).sum() for node in nodes
    )
    (tmp_path / "flat.pb.txt").write_text(script.text(nodes))
    assert hpwl(read_design(tmp_path / "flat.pb.txt")) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path, expected",
    [
        ("ariane133-ng45/ariane.pb.txt.gz", 2_956_037.975),
        ("ariane136-ng45/ariane.pb.txt.gz", 2_943_841.940),
        ("mempool-tile-ng45/mempool_tile_wrap.pb.txt.gz", 3_088_441.560),
        ("ariane133-sky130/ariane.pb.txt.gz", 7_860_381.237),
    ],
)
def test_flat_files_have_the_known_half_perimeters(shared, path, expected):
    assert hpwl(read_design(shared / "data/placement" / path)) == pytest.approx(expected, abs=2e-3)


def test_real_def_files(shared):
    folder = shared / "data/placement/lefdef"
    design = read_design(folder / "ariane.def.gz", lef=[folder / "ariane.lef.gz"])
    assert design.summary().startswith("ariane: 133 macros, 82,821 cells, 1,231 ports; 85,193 nets")
    placed = read_design(
        folder / "ariane133_fp_placed_macros.def", lef=[folder / "fakeram45_256x16.lef"]
    )
    counts = np.bincount(placed.orientation[:133], minlength=4)
    assert counts.tolist() == [42, 19, 36, 36] and placed.rows and len(placed.rows) == 962


def test_every_circuit_training_file_is_read(shared):
    folder = shared / "data/placement/toy"
    files = sorted(folder.rglob("*.pb.txt*"))
    assert len(files) > 20
    for path in files:
        if path.name == "ariane_test.pb.txt.gz":  # its pins belong to macros that it does not have
            with pytest.raises(InputError, match="unknown macro"):
                read_netlist(path)
        else:  # without the .plc beside it: some list nodes of another netlist
            assert read_netlist(path).nodes > 0


def test_a_tarball_of_bookshelf_is_exact(shared, tmp_path):
    import tarfile

    archive = shared / "data/placement/ariane133-ng45/bookshelf_fixed.tar.xz"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    aux = next(tmp_path.rglob("*.aux"))
    design = read_design(aux)
    assert hpwl(design) == 295_603_687.0
    verdict = check(design)
    assert verdict.overlaps == 3491 and verdict.off_row == verdict.off_site == verdict.outside == 0


def test_a_netlist_that_was_written_says_all_that_other_readers_ask_for(small, tmp_path):
    """Orientations, pins' places and sides in the netlist itself, and numbers without exponents."""
    small.x[0] = 1.25e-7 + small.width[0] / 2
    small.pin_dx[:5] *= 1e-8
    small.pin_names = [f"other/{i}/p" for i in range(small.pins)]
    write_design(small, tmp_path / "n.pb.txt")
    text = (tmp_path / "n.pb.txt").read_text()
    values = re.findall(r"f: (\S+)", text)
    assert values and not any("e" in v for v in values)
    nodes = []
    for block in text.split("node {")[1:]:
        node = dict(re.findall(r'key: "(\w+)"\s+value \{\s+\w+: "?([^"\s]+)', block))
        nodes.append(node | {"name": re.findall(r'name: "(.*)"', block)[0]})
    placed = {n["name"]: n for n in nodes if n["type"] in ("MACRO", "macro")}
    for i, name in enumerate(small.names):
        if small.kind[i] == MACRO:
            assert placed[name]["orientation"] == ORIENTATIONS[small.orientation[i]]
    pins = [n for n in nodes if n["type"] == "MACRO_PIN"]
    for pin in pins:
        owner = placed[pin["name"].rsplit("/", 1)[0]]
        assert owner["name"] == pin["macro_name"]
        a, b, c, d = ROTATION[ORIENTATIONS.index(owner["orientation"])]
        dx, dy = float(pin["x_offset"]), float(pin["y_offset"])
        assert float(pin["x"]) == pytest.approx(float(owner["x"]) + a * dx + b * dy)
        assert float(pin["y"]) == pytest.approx(float(owner["y"]) + c * dx + d * dy)
    assert len(pins) > 10 and all("side" in n for n in nodes if n["type"] == "PORT")
    # the places of the netlist alone are scored as those of the .plc
    (tmp_path / "n.plc").rename(tmp_path / "plc")
    alone = read_design(tmp_path / "n.pb.txt")
    alone = replace(alone, canvas=small.canvas, grid=small.grid)
    assert proxy_cost(alone).proxy == pytest.approx(proxy_cost(small).proxy, abs=1e-12)


def test_a_plc_alone_whose_orientations_others_ignore_is_warned_of(small, tmp_path):
    write_design(small, tmp_path / "n.pb.txt")
    again = read_design(tmp_path / "n.pb.txt")
    again.orientation[0] ^= 1
    with pytest.warns(UserWarning, match="1 macros are oriented otherwise than in the netlist"):
        write_design(again, tmp_path / "moved.plc")


@pytest.mark.parametrize("box", ["{0 0 2353.91 2352.56}", "{0.0 0.0} {2353.91 2352.56}"])
def test_a_netlists_header_states_the_canvas(box, small, tmp_path):
    write_design(small, tmp_path / "n.pb.txt")
    (tmp_path / "n.plc").unlink()
    text = (tmp_path / "n.pb.txt").read_text()
    (tmp_path / "n.pb.txt").write_text(
        f"# User: a\n# FP bbox: {box}\n{text}# FP bbox: {{0 0 1 1}}\n"
    )
    design = read_design(tmp_path / "n.pb.txt")
    assert (design.canvas.x1, design.canvas.y1, design.canvas_from) == (2353.91, 2352.56, "file")
    (tmp_path / "n.pb.txt").write_text(f"# FP bbox: {{0 0 nan 5}}\n{text}")
    with pytest.raises(InputError, match="beyond what LEF/DEF can say|FP bbox"):
        read_design(tmp_path / "n.pb.txt")

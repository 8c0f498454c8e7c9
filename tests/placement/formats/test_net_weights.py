"""Net weights from a file: right nets, one line for what is wrong, and they pull."""

import json

import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.placement import read_design, write_design
from sciml.placement.cost.wirelength import net_hpwl
from sciml.placement.formats.net_weights import STRENGTH, read_net_weights
from sciml.placement.generate import NetlistConfig, netlist, standard_cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    write_design(
        netlist(NetlistConfig(macros=8, clusters=14, nets_per_node=4), 3), path / "n.pb.txt"
    )
    return path


def weights(folder, text):
    path = folder / "w.txt"
    path.write_text(text, encoding="utf-8")
    return read_net_weights(path, read_design(folder / "n.pb.txt"))


def test_weights_and_criticalities(folder):
    names = list(read_design(folder / "n.pb.txt").net_names or ())
    plain = weights(folder, f"# a comment\n{names[3]} 2.5\n\n{names[0]},0 # none\n")
    assert plain[3] == 2.5 and plain[0] == 0 and (np.delete(plain, [0, 3]) == 1).all()
    critical = weights(folder, f"net,criticality\n{names[3]},1\n{names[1]},0.5\n")
    assert critical[3] == 1 + STRENGTH and critical[1] == 1 + STRENGTH / 4 and critical[0] == 1
    assert (weights(folder, "") == 1).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("{0} heavy", r":1: expected a net and a number, got '\S+ heavy'"),
        ("net,criticality\n{0} 1.5", r":2: the criticality of net .* must be in 0 .. 1, got 1.5"),
        ("{0} -1", "must be in 0 .. 1e"),
        ("{0} nan", "must be in 0"),
        ("{0}x 1", "no net '.*x'.*The nearest is"),
        ("{0} 1\n{0} 2", "stands there twice"),
    ],
)
def test_what_is_wrong_is_named(folder, text, message):
    name = list(read_design(folder / "n.pb.txt").net_names or ())[3]
    with pytest.raises(InputError, match=message):
        weights(folder, text.format(name))


def test_weighted_nets_get_shorter_and_scores_are_those_of_the_netlist(tmp_path, capsys):
    write_design(standard_cells(250, seed=2), tmp_path / "cells.aux")
    design = read_design(tmp_path / "cells.aux")
    assert design.net_names is not None
    chosen = np.random.default_rng(0).choice(design.nets, 12, replace=False)
    lines = ["net,weight"] + [f"{design.net_names[int(k)]},30" for k in chosen]
    (tmp_path / "critical.csv").write_text("\n".join(lines), encoding="utf-8")
    lengths = []
    for extra in ([], ["--net-weights", str(tmp_path / "critical.csv")]):
        out = tmp_path / f"placed{len(extra)}.pl"
        arguments = ["placement", "place", str(tmp_path / "cells.aux"), "-o", str(out), "--json"]
        assert main([*arguments, "--movable", "cells", "--cpu-seconds", "5", *extra]) == 0
        scores = json.loads(capsys.readouterr().out)
        placed = read_design(tmp_path / "cells.aux", pl=out)
        assert scores["legal"] and scores["hpwl"] == pytest.approx(net_hpwl(placed).sum())
        lengths.append(net_hpwl(placed)[chosen].sum())
    assert lengths[1] < 0.8 * lengths[0]

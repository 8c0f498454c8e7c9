"""Loaders of weights: whatever a file claims, a result or one line, soon and in little memory."""

import json
import math
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sciml import trunks
from sciml.cli import main
from sciml.errors import InputError
from sciml.files import tensors
from sciml.jets.data.sample import shipped
from sciml.jets.tagger import JetTagger
from sciml.weights import arrays, loading, pickles

HERE = Path(__file__).parent
SMALL = {"name": "pair_transformer", "dim": 8, "heads": 2, "depth": 1}


def fuzz(first, last, folder):
    """Outcomes of that many damaged files, made and loaded in a process of its own."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile.py"), str(first), str(last), str(folder)],
        capture_output=True, text=True, env=env, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == last - first
    assert not [row for row in rows if row["said"].startswith("WRONG")]
    assert max(row["MB"] for row in rows) < 1024
    refused = sum(row["said"].startswith("refused") for row in rows)
    assert 0.5 * len(rows) < refused < len(rows)


def test_damaged_files_end_in_a_result_or_one_line(tmp_path):
    fuzz(0, 300, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_damaged_files_end_in_a_result_or_one_line(tmp_path):
    fuzz(300, 2300, tmp_path)


# ------------------------------------------------------------------------- absurd descriptions


@pytest.fixture
def tagger(tmp_path):
    """A tagger's file and a function that changes the description in its header."""
    path = JetTagger.build(SMALL, ["a", "b"]).save(tmp_path / "model.safetensors")
    state, header = tensors.read(path)

    def changed(settings=None, trunk=None, tensors_=None):
        described = json.loads(header["jet_tagger"])
        described |= settings or {}
        described["network"]["trunk"] |= trunk or {}
        tensors.write(path, state | (tensors_ or {}), {"jet_tagger": json.dumps(described)})
        return path

    return changed


@pytest.mark.parametrize(
    "trunk",
    [
        {"dim": 2**20}, {"dim": 10**12}, {"dim": 10**30}, {"depth": 10**9}, {"class_depth": 10**9},
        {"heads": 0}, {"heads": 3}, {"heads": -2}, {"dim": -8}, {"dim": 0}, {"dim": "8"},
        {"dim": 8.0}, {"dim": None}, {"dim": True}, {"expansion": 1e300}, {"expansion": math.inf},
        {"expansion": math.nan}, {"bias_hidden": 10**15, "pair_dim": 4}, {"pair_dim": 10**11},
        {"name": "lorentz", "heads": 2}, {"depth": [[[[[]]]]]}, {"no_such": 1}, {"name": None},
        {"pair_update": "attention", "pair_dim": 8, "pair_heads": 10**9},
        {"name": "equivariant", "heads": 2},
    ],
)  # fmt: skip
def test_settings_larger_than_the_tensors_are_refused(tagger, trunk):
    with pytest.raises(InputError, match="model.safetensors") as error:
        JetTagger.from_pretrained(tagger(trunk=trunk))
    assert "\n" not in str(error.value) and len(str(error.value)) < 2000


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": []}, {"classes": "ab"}, {"classes": ["a"]}, {"classes": ["a", "a"]},
        {"classes": ["a", 1]}, {"classes": ["x"] * 10**5}, {"limit": 0}, {"limit": 10**12},
        {"limit": "9"}, {"answer": "x"}, {"kind": "x"}, {"kind": None}, {"network": []},
        {"kind": "weaver"}, {"network": {"trunk": 3}}, {"x": 1},
    ],
)  # fmt: skip
def test_descriptions_that_fit_nothing_are_refused(tagger, settings):
    path = tagger()
    state, header = tensors.read(path)
    described = json.loads(header["jet_tagger"]) | settings
    tensors.write(path, state, {"jet_tagger": json.dumps(described)})
    with pytest.raises(InputError, match="model.safetensors") as error:
        JetTagger.from_pretrained(path)
    assert len(str(error.value)) < 1500


def test_the_command_says_it_in_one_line_and_leaves_nothing(tagger, tmp_path, capsys):
    path = tagger(trunk={"depth": 10**9})
    before = sorted(tmp_path.iterdir())
    jets, out = str(shipped("test")), str(tmp_path / "scores.parquet")
    assert main(["jets", "tag", jets, "--model", str(path), "-o", out]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "larger than the file" in errors[0]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("worse", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_named(tagger, worse):
    bad = {"network.head.bias": torch.tensor([1.0, worse])}
    with pytest.raises(InputError, match=r"'network.head.bias' holds NaN or infinity"):
        JetTagger.from_pretrained(tagger(tensors_=bad))
    cold = {"temperature": torch.tensor(-1.0)}
    with pytest.raises(InputError, match="temperature"):
        JetTagger.from_pretrained(tagger(tensors_=cold))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.int8])
def test_whole_numbers_are_no_weights(tagger, dtype):
    bad = {"network.head.bias": torch.ones(2, dtype=dtype)}
    with pytest.raises(InputError, match="wrong type: network.head.bias"):
        JetTagger.from_pretrained(tagger(tensors_=bad))


def test_a_constructor_is_stopped_before_it_asks():
    held = {"a": torch.zeros(10)}

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(1, 1) for _ in range(10**9))

    for make in (
        lambda: nn.Linear(10**7, 10**7),
        lambda: nn.Embedding(10**12, 1),
        Loop,
        lambda: nn.ParameterList([torch.ones(10**6) for _ in range(10**6)]),
        lambda: (torch.arange(10**12), nn.Linear(1, 1))[1],
        lambda: (torch.eye(10**7), nn.Linear(1, 1))[1],
        lambda: nn.Linear(1, 1 // 0),
    ):
        with pytest.raises(InputError, match="here: "):
            loading.build(make, held, where="here")
    assert isinstance(loading.build(lambda: nn.Linear(2, 5), held), nn.Linear)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["b.0.x", "b.1.x", "b.1.y", "c.7.x"], 2), ([], 0), (["b.999999999.x"], None),
        (["b.0.x", "b.2.x"], None), (["b.1.x"], None), (["b.00.x"], None), (["b.x.y"], 0),
        (["b.0.x", "b.99999999999999999999.x"], None), (["b.\u0661.x", "b.0.x"], 1),
    ],
)  # fmt: skip
def test_layers_are_counted_not_believed(names, count):
    if count is None:
        with pytest.raises(InputError, match="from 0 on"):
            loading.layers(names, "b.")
    else:
        assert loading.layers(names, "b.") == count


def test_settings_beside_a_trunk(tmp_path):
    weights = trunks.save(trunks.build("pair_transformer", dim=8, heads=2, depth=1), tmp_path)
    settings = weights.with_suffix(".yaml")
    good = settings.read_text()
    bombs = (
        good.replace("depth: 1", "depth: 1000000000"),
        good.replace("dim: 8", "dim: 1000000000"),
        good + "a: &a [x, x, x, x]\nb: &b [*a, *a, *a]\nconfig: {dim: [*b, *b]}\n",
        "trunk: pair_transformer\nconfig: {dim: " + "[" * 3000 + "]" * 3000 + "}\n",
        "trunk: pair_transformer\nconfig: 2001-13-45\n",
        "trunk: pair_transformer\nconfig: [1]\n",
        good + "#" * 10**6,
    )
    for text in bombs:
        settings.write_text(text)
        with pytest.raises(InputError, match="trunk.yaml") as error:
            trunks.load(tmp_path)
        assert len(str(error.value)) < 2000


# ------------------------------------------------------------------------------ torch's own files


def expanded(*size):
    return torch.ones(1).expand(*size)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def claimed(size, stride=(1,), numbers=4):
    """A tensor that claims a size over a few numbers."""
    storage = torch.ones(numbers).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    rebuild = torch._utils._rebuild_tensor_v2
    return Calls(rebuild, typed, 0, size, stride, False, OrderedDict())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        expanded(10**6, 10**6), expanded(3, 3), claimed((10**9,)), claimed((5,)),
        claimed((10**6, 10**6), (0, 0)), claimed((4,), (2,)), torch.eye(3).to_sparse(),
        torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta"),
        torch.ones(2).to(torch.float8_e4m3fn), np.ones(2), nn.Linear(1, 1),
        Calls(bytearray, 10**11), Calls(eval, "1"), Calls(os.system, "true"),
    ],
    ids=[
        "expanded, terabytes", "expanded", "terabytes claimed", "one number too many",
        "terabytes in one number", "stride beyond", "sparse", "complex", "meta", "float8", "numpy",
        "module", "call of bytearray", "call of eval", "call of system",
    ],
)  # fmt: skip
def test_a_checkpoint_holds_dense_tensors_and_calls_nothing_else(tmp_path, content, zipped):
    path = tmp_path / "x.pt"
    torch.save({"a": content}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="x.pt: "):
        pickles.read(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_good_checkpoint_is_read(tmp_path, zipped):
    weight = torch.randn(3, 4)
    state = {"a": weight, "tied": weight.T, "row": weight[1], "p": nn.Parameter(weight.clone()),
             "scalar": torch.tensor(3.0), "count": torch.tensor([7])}  # fmt: skip
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict()
    content = {"state_dict": state, "optimizer": optimizer, "epoch": 3, "kind": torch.float32}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    loaded = pickles.state_dict(pickles.read(tmp_path / "x.pt"), ("state_dict",), "x")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_zip_files_that_are_not_as_torch_writes_them(tmp_path):
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save({"a": torch.zeros(1000)}, good)
    raw = good.read_bytes()
    bad.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="cut off"):
        pickles.read(bad)
    middle = len(raw) // 2  # among the numbers
    bad.write_bytes(raw[:middle] + b"\x01" + raw[middle + 1 :])
    with pytest.raises(InputError, match="CRC"):
        pickles.read(bad)
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="compressed members"):
        pickles.read(bad)
    bad.write_bytes(pickle.dumps([1] * 10**6, protocol=2))
    with pytest.raises(InputError):
        pickles.read(bad)


# ------------------------------------------------------------------------------------- npz files


def npy(header, data=b""):
    text = header.encode() + b" " * 20 + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**6, 10**6), }"), "npz"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"), "claims"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"\0" * 9), "claims"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"), "npz|empty"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"), "type object"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 90), "npz"),
        (np.zeros(0, "f4"), "empty"), (np.zeros((10**9, 0), "f4"), "empty"),
        (np.ones(3, "i4"), "type int32"), (np.ones(3, "c8"), "type complex64"),
        (np.ones(3, "?"), "type bool"), (np.array(["a"]), "type <U1"), (b"", "npz"),
        (np.zeros(3, "f4,i4"), "type"), (b"\x93NUMPY", "npz"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_weights(tmp_path, array, message):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as stream:
        if isinstance(array, bytes):
            stream.write(array)
        else:
            np.save(stream, array)
    with pytest.raises(InputError, match=message):
        arrays.read_shapes(path)


def test_an_npz_file_that_unpacks_to_much_more_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            data = b"\0" * 4 * 10**6
            header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000,), }"
            archive.writestr(f"a{number}.npy", npy(header, data))
    assert path.stat().st_size < 10**6
    with pytest.raises(InputError, match="holds 16000"):
        arrays.read_shapes(path)


def test_big_endian_and_double_arrays_are_read():
    for dtype in (">f4", "<f8", "<f2"):
        assert np.array_equal(arrays.numbers("x", "a", np.arange(3, dtype=dtype)), [0, 1, 2])
    with pytest.raises(InputError, match="'a' holds NaN or infinity"):
        arrays.numbers("x", "a", np.array([1, np.nan]))


# ----------------------------------------------------------------------------------------- cases


def test_parameters_with_one_impossible_array(tmp_path, fixture_file, fixture_script):
    from sciml.protein.alphafold.predictor import StructurePredictor

    sound = fixture_file("protein/plain/params.npz")
    fixture_script("protein_files").damaged_parameters(tmp_path, sound)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    for path in files:
        with pytest.raises(InputError, match=path.name):
            StructurePredictor.from_pretrained(path, device="cpu")


def test_cases_from_the_field(shared):
    from sciml.protein.alphafold.predictor import StructurePredictor

    for name in ("0d.npz", "empty.npz", "shape.pt", "heads0.pt", "blocks_1e9.pt"):
        with pytest.raises(InputError, match=name):
            StructurePredictor.from_pretrained(shared / "cases" / "protein" / name, device="cpu")
    absurd = shared / "cases" / "jets" / "tiny_absurd_dim.safetensors"
    with pytest.raises(InputError, match="larger than the file"):
        JetTagger.from_pretrained(absurd)

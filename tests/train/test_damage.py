"""Files of a run that were damaged: the run ends as it would have, or says what it passed over."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sciml.errors import InputError
from sciml.train import TrainConfig, fit
from sciml.train.log import read_metrics
from sciml.train.state import checkpoints

CONFIG = TrainConfig(
    steps=12, batch_size=8, checkpoint_every=4, log_every=1, validate_every=3, ema=0.9, lr=0.1
)
DATA = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.noise = nn.Dropout(0.2)

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": ((self.layer(self.noise(batch)) - batch[:, :2]) ** 2).mean()}


def train(out: Path, steps_now: int | None = None, **more) -> dict[str, torch.Tensor]:
    """Weights after a run, or None after one that is stopped when `steps_now` are done."""
    torch.manual_seed(5)
    calls = []

    class Stop(Exception):
        pass

    def validate(module: Any) -> dict[str, float]:
        calls.append(1)
        weight = module.layer.weight
        return {"loss": float((weight - torch.eye(2, 3)).abs().sum())}

    def collate(items: list[torch.Tensor]) -> torch.Tensor:
        calls.append(0)
        if steps_now is not None and calls.count(0) > steps_now:
            raise Stop
        return torch.stack(items)

    module = Tiny()
    try:
        fit(module, DATA, CONFIG, out=out, validate=validate, collate=collate, quiet=True, **more)
    except Stop:
        return {}
    return module.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def records(out: Path) -> list[dict]:
    return [
        {k: v for k, v in r.items() if k != "rate"} for r in read_metrics(out / "metrics.jsonl")
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """(folder of a finished run, its weights, folder of one stopped at step 9, records)."""
    folder = tmp_path_factory.mktemp("runs")
    weights = train(folder / "done")
    assert train(folder / "half", steps_now=9) == {}
    assert [step for step, _ in checkpoints(folder / "half" / "checkpoints")] == [4, 8]
    return folder, weights, records(folder / "done")


def damage(path: Path, rng: random.Random) -> str:
    raw = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "byte", "cut", "empty"])
    at = rng.randrange(len(raw))
    if kind == "flip":
        raw[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        raw[at] = rng.randrange(256)
    else:
        del raw[at if kind == "cut" else 0 :]
    path.write_bytes(raw)
    return f"{kind} of {path.name} at {at}"


def test_damage_at_sixty_places_is_never_silent(intact, tmp_path, capsys):
    folder, weights, lines = intact
    rng = random.Random(0)
    outcomes = {"equal": 0, "warned": 0, "refused": 0}
    for k in range(60):
        source = folder / ("done" if k % 2 else "half")
        out = tmp_path / str(k)
        shutil.copytree(source, out)
        files = sorted(p for p in out.rglob("*") if p.is_file())
        what = damage(files[k // 2 % len(files)], rng)
        capsys.readouterr()
        try:
            result = train(out)
        except InputError as error:
            assert "\n" not in str(error) and "--restart" in str(error), what
            outcomes["refused"] += 1
            continue
        warned = "warning" in capsys.readouterr().err
        equal = same(result, weights) and records(out) == lines
        assert equal or warned, what
        assert same(result, weights), what  # what is gone on with gives the same weights
        outcomes["equal" if equal and not warned else "warned"] += 1
    assert all(outcomes.values()), outcomes


def test_a_resumed_run_has_the_same_files(intact, tmp_path):
    folder, weights, lines = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 9, "split": "train", "lo')  # a crash in the middle of a line
    assert same(train(tmp_path / "run"), weights)
    assert records(tmp_path / "run") == lines
    done, again = contents(folder / "done" / "checkpoints"), contents(tmp_path / "run/checkpoints")
    assert done.keys() == again.keys()
    assert all(done[k] == again[k] for k in done if k.endswith(".safetensors"))


def newest(out: Path, suffix: str) -> Path:
    return checkpoints(out / "checkpoints")[-1][1].with_suffix(suffix)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "\udcff", '{"step": 8}', '{"step": "8", "sha256": 3, "notes": []}',
     '{"step": 8, "sha256": "0", "notes": {}, "scaler": {}}', "[" * 3000],
    ids=lambda text: ascii(text)[:20],
)  # fmt: skip
def test_a_damaged_manifest_is_passed_over_with_one_warning(intact, tmp_path, capsys, content):
    folder, weights, _ = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    newest(tmp_path / "run", ".json").write_text(content, errors="surrogateescape")
    assert same(train(tmp_path / "run"), weights)
    output = capsys.readouterr().err
    assert output.count("warning") == 1 and "step-00000008" in output and "step-00000004" in output


@pytest.mark.parametrize("key", ["step", "sha256", "notes", "scaler"])
def test_a_manifest_that_lacks_a_key(intact, tmp_path, capsys, key):
    folder, weights, _ = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    path = newest(tmp_path / "run", ".json")
    values = json.loads(path.read_text())
    del values[key], values["check"]
    path.write_text(json.dumps(values))
    assert same(train(tmp_path / "run"), weights)
    assert f"`{key}`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["step-latest.x", "step-abc.safetensors", "step-.json", "step-9.txt", "step-1/x"]
)
def test_strange_names_are_left_alone(intact, tmp_path, name):
    folder, weights, _ = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    stray = tmp_path / "run" / "checkpoints" / name
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("mine")
    assert same(train(tmp_path / "run"), weights)
    assert stray.read_text() == "mine"


def test_a_run_without_a_whole_checkpoint_is_refused_unless_told(intact, tmp_path, capsys):
    folder, weights, lines = intact
    out = tmp_path / "run"
    shutil.copytree(folder / "half", out)
    for _, path in checkpoints(out / "checkpoints"):
        path.write_bytes(path.read_bytes()[:-1])
    before = contents(out)
    with pytest.raises(InputError, match=r"step-00000008.*step-00000004.*--restart"):
        train(out)
    assert contents(out) == before
    assert same(train(out, restart=True), weights)
    assert "starts again" in capsys.readouterr().err and records(out) == lines


@pytest.mark.parametrize("state", ["done", "half"])
@pytest.mark.parametrize("how", ["flip", "missing", "empty"])
def test_the_best_weights_are_the_result_and_are_checked(intact, tmp_path, state, how):
    folder, weights, _ = intact
    out = tmp_path / "run"
    shutil.copytree(folder / state, out)
    best = out / "checkpoints" / "best.safetensors"
    raw = bytearray(best.read_bytes())
    raw[-3] ^= 4
    if how == "missing":
        best.unlink()
    else:
        best.write_bytes(raw if how == "flip" else b"")
    with pytest.raises(InputError, match="best.safetensors.*--restart"):
        train(out)
    assert same(train(out, restart=True), weights)


def test_the_best_weights_of_another_run_are_no_result(intact, tmp_path):
    folder, _, _ = intact
    out = tmp_path / "run"
    shutil.copytree(folder / "done", out)
    from sciml.files import tensors

    tensors.write(out / "checkpoints" / "best.safetensors", Tiny().state_dict())
    with pytest.raises(InputError, match="is not what this training wrote"):
        train(out)


def test_a_run_of_version_0_1_goes_on(intact, tmp_path, capsys):
    """No digest of best weights, manifest or log; tensors in the library's order."""
    from safetensors.torch import load_file, save_file

    from sciml.files.kept import sha256

    folder, weights, lines = intact
    for state in ("half", "done"):
        out = tmp_path / state
        shutil.copytree(folder / state, out)
        for path in (out / "checkpoints").glob("*.safetensors"):
            save_file(load_file(path), path)
        for _, path in checkpoints(out / "checkpoints"):
            values = json.loads(path.with_suffix(".json").read_text())
            del values["check"], values["metrics"], values["notes"]["best_sha256"]
            values["sha256"] = sha256(path)
            path.with_suffix(".json").write_text(json.dumps(values))
        assert same(train(out), weights) and records(out) == lines
    assert "version 0.1" in capsys.readouterr().err


def test_other_settings_are_named_before_tensors_are_compared(intact, tmp_path):
    folder, _, _ = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    from dataclasses import replace

    config = replace(CONFIG, ema=0.0)
    with pytest.raises(InputError, match=r"ema was 0\.9, is 0\.0"):
        fit(Tiny(), DATA, config, out=tmp_path / "run", quiet=True)


def test_another_model_of_the_same_names(intact, tmp_path):
    folder, _, _ = intact
    shutil.copytree(folder / "half", tmp_path / "run")
    model = Tiny()
    model.layer = nn.Linear(3, 5)
    with pytest.raises(InputError, match="belongs to another model"):
        fit(model, DATA, CONFIG, out=tmp_path / "run", quiet=True)


def test_a_metrics_file_of_another_program_is_not_written_over(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 3, "acc": 0.5}\n')
    with pytest.raises(InputError, match="no training wrote it"):
        train(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 3, "acc": 0.5}\n'
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl"]


def test_equal_weights_are_equal_files(tmp_path):
    train(tmp_path / "a")
    train(tmp_path / "b")
    one, other = contents(tmp_path / "a" / "checkpoints"), contents(tmp_path / "b" / "checkpoints")
    assert all(one[name] == other[name] for name in one if name.endswith(".safetensors"))

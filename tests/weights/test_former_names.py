"""Weights and checkpoints of before a rename are read; nothing else is renamed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sciml import testing, trunks
from sciml.errors import InputError
from sciml.files import kept, tensors
from sciml.train import TrainConfig, fit
from sciml.train.state import BEST, checkpoints
from sciml.trunks import lora
from sciml.trunks.base import Trunk
from sciml.weights import loading
from sciml.weights.former_names import present_names

SMALL: dict[str, dict[str, Any]] = {
    "equivariant": {"dim": 4, "depth": 1, "irreps": "4x0e+2x1o", "basis": 4, "radial_hidden": 4},
    "lorentz": {"dim": 4, "depth": 2},
}


def renamings(module: nn.Module) -> dict[str, str]:
    """Former names of all parts by their present ones, full paths."""
    return {
        ".".join([*filter(None, [path]), new]): ".".join([*filter(None, [path]), old])
        for path, part in module.named_modules()
        for old, new in getattr(part, "FORMER_NAMES", {}).items()
    }


def as_before(module: nn.Module, state: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The state as a version before the renames wrote it."""
    before = dict(state)
    for new, old in renamings(module).items():
        before = {
            prefix + old + name[len(prefix + new) :]
            if name.startswith(f"{prefix}{new}.")
            else name: v
            for name, v in before.items()
        }
    return before


def built(name: str) -> Trunk:
    torch.manual_seed(0)
    return trunks.build(name, **SMALL[name])


def test_every_trunk_with_former_names_is_here() -> None:
    renamed = {name for name in trunks.names() if renamings(trunks.build(name))}
    assert renamed == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_former_names_are_of_no_part_today(name: str) -> None:
    trunk = built(name)
    parts = {path for path, _ in trunk.named_modules()}
    for new, old in renamings(trunk).items():
        assert new in parts and old not in parts


@pytest.mark.parametrize("name", SMALL)
def test_a_saved_trunk_of_before_is_read(name: str, tmp_path: Path) -> None:
    trunk = built(name)
    file = trunks.save(trunk, tmp_path)
    before = as_before(trunk, trunk.state_dict())
    assert set(before) != set(trunk.state_dict())
    tensors.write(file, before)
    again = trunks.load(tmp_path)
    assert all(torch.equal(value, trunk.state_dict()[k]) for k, value in again.state_dict().items())
    one = next(k for k in before if k not in trunk.state_dict())
    tensors.write(file, {k: v for k, v in before.items() if k != one})
    with pytest.raises(InputError, match="missing"):
        trunks.load(tmp_path)
    tensors.write(file, {**trunk.state_dict(), one: before[one]})  # both names
    with pytest.raises(InputError, match=f"surplus: {one}"):
        trunks.load(tmp_path)


def test_other_modules_keep_such_names() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hear, self.trunk = nn.Linear(2, 2), built("equivariant")

    own = Own()
    names = {"hear.weight", "trunk.hear.weight", "trunk.layers.0.hearing", "trunk.layers.1.hear.w"}
    assert set(present_names(own, dict.fromkeys(names))) == names
    assert set(present_names(own, {"trunk.layers.0.hear.w": 0})) == {
        "trunk.layers.0.linear_message.w"
    }
    loading.load_state(own, own.state_dict())
    with pytest.raises(InputError, match="missing: hear.weight"):
        loading.load_state(
            own, {k.replace("hear", "linear_message"): v for k, v in own.state_dict().items()}
        )


def test_adapters_of_before_are_read() -> None:
    trunk = lora.inject(built("lorentz"), rank=2, targets=("blocks.*.phi_m",))
    adapters = lora.state(trunk)
    before = {name: value + 1 for name, value in as_before(trunk, adapters).items()}
    assert "blocks.1.weigh_m.lora_a" in before
    expected = {name: value + 1 for name, value in adapters.items()}
    lora.load(trunk, before)
    assert all(torch.equal(lora.state(trunk)[name], value) for name, value in expected.items())


class Stop(Exception):
    """Ends a training in the middle."""


CONFIG = TrainConfig(
    steps=6, batch_size=2, checkpoint_every=3, validate_every=2, ema=0.9, lr=0.05, log_every=1
)


class Loss(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.trunk = built(name)

    def forward(self, batch: Any) -> dict[str, Any]:
        return {"loss": (self.trunk(batch).graph - 1).square().mean()}


def train(name: str, out: Path, stop: int | None = None) -> dict[str, torch.Tensor]:
    """Weights after a training that stops before step `stop`, or at its end."""
    module, count = Loss(name), [0]
    batches = [testing.batch_for(module.trunk, seed=seed) for seed in range(4)]

    def collate(items: list[torch.Tensor]) -> Any:
        count[0] += 1
        if count[0] == stop:
            raise Stop
        return batches[int(items[0]) % len(batches)]

    def validate(model: Any) -> dict[str, float]:
        return {"loss": float(model(batches[0])["loss"].detach())}

    try:
        fit(
            module, torch.arange(8), CONFIG, out=out, collate=collate, validate=validate, quiet=True
        )
    except Stop:
        return {}
    return module.state_dict()


def rewrite(out: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the tensors of a run's checkpoint and of its best weights, digests and all."""
    folder = checkpoints(out / "checkpoints")[-1][1].parent
    best, _ = tensors.read(folder / BEST)
    digest = tensors.write(folder / BEST, change(best))
    for _, path in checkpoints(folder):
        saved, _ = tensors.read(path)
        manifest = kept.read(path.with_suffix(".json"))
        manifest["sha256"] = tensors.write(path, change(saved))
        manifest["notes"]["best_sha256"] = digest
        kept.write(path.with_suffix(".json"), manifest)


@pytest.mark.parametrize("name", SMALL)
def test_a_training_of_before_resumes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = train(name, tmp_path / "whole")
    module = Loss(name)

    def before(state: dict[str, Any]) -> dict[str, Any]:
        for prefix in ("", "model.", "average.", "optimizer."):
            state = as_before(module, state, prefix)
        return state

    def resumed(folder: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
        assert train(name, tmp_path / folder, stop=5) == {}
        rewrite(tmp_path / folder, change)
        weights = train(name, tmp_path / folder)
        return all(torch.equal(whole[key], value) for key, value in weights.items())

    assert resumed("before", before)

    def without_moments(state: dict[str, Any]) -> dict[str, Any]:
        """Negative control: optimiser's state under names that nobody gave."""
        return {
            key.replace("optimizer.", "optimizer.x") if key.startswith("optimizer.") else key: v
            for key, v in before(state).items()
        }

    assert not resumed("lost", without_moments)
    with pytest.raises(InputError, match="another model"):
        resumed(
            "other",
            lambda state: {k.replace(".weights.", ".w.").replace(".weight", ".w"): v
                           for k, v in before(state).items()},
        )  # fmt: skip

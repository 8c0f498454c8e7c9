"""The pretended device refuses what a GPU refuses and counts what a GPU waits for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from sciml import testing, trunks
from sciml.device import choose
from sciml.errors import InputError


@pytest.fixture
def device():
    with testing.PretendedDevice() as opened:
        yield opened


def there(device, *values):
    return torch.full((3,), 2.0, device=device.device) if not values else device.to_device(values)


FAULTS = {
    "numpy": lambda x: x.numpy(),
    "array": lambda x: np.asarray(x),
    "two devices": lambda x: x + torch.ones(3),
    "a CPU tensor by its indices": lambda x: torch.ones(3)[x.long()],
    "a joined scalar": lambda x: torch.stack([x[0], torch.tensor(1.0)]),
    "a copy that nobody waits for": lambda x: x.to("cpu", non_blocking=True),
    "a CPU generator": lambda x: torch.rand(3, device=x.device, generator=torch.Generator()),
    "written values": lambda x: x.index_put_((torch.arange(2, device=x.device),), torch.ones(2)),
}


@pytest.mark.parametrize("act", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_raised_and_listed(device, act):
    with pytest.raises(testing.DeviceFault, match="accelerator refuses it"):
        act(there(device))
    ((_what, where),) = device.faults
    assert where.startswith("device/test_pretended_device.py:")


WAITS = {
    "item": (lambda x: x[0].item(), 1),
    "bool": (lambda x: bool(x[0] > 1), 1),
    "list": (lambda x: x.tolist(), 1),
    "host copy": (lambda x: x.cpu(), 1),
    "mask": (lambda x: x[x > 1], 1),
    "nonzero": (lambda x: x.nonzero(), 1),
    "bincount": (lambda x: x.long().bincount(), 1),
    "list of indices": (lambda x: x[[0, 1]], 1),
    "CPU indices": (lambda x: x[torch.tensor([0, 1])], 1),
    "copy there": (lambda x: torch.ones(3).to(x.device), 1),
    "number there": (lambda x: torch.tensor(1.0, device=x.device), 1),
    "repeats": (lambda x: x.repeat_interleave(x.long()), 1),
    "repeats of known size": (lambda x: x.repeat_interleave(x.long(), output_size=6), 0),
    "repeats of a number": (lambda x: x.repeat_interleave(2), 0),
    "masked fill": (lambda x: x.__setitem__(x > 1, 0.0), 0),
    "copy without waiting": (lambda x: torch.ones(3).to(x.device, non_blocking=True), 0),
    "filled": (lambda x: torch.full((), 1.0, device=x.device), 0),
    "scalar of the CPU": (lambda x: x * torch.tensor(2.0), 0),
    "arithmetic": (lambda x: (x @ x).exp() + 1, 0),
}


@pytest.mark.parametrize(("act", "expected"), WAITS.values(), ids=WAITS)
def test_waits_are_counted(device, act, expected):
    x = there(device)
    device.clear()
    act(x)
    assert device.waits.total() == expected, device.waits
    assert not device.faults


def test_operations_are_counted_without_views(device):
    x = there(device)
    device.clear()
    (x.view(3, 1).T + 1).detach()
    assert device.operations == 1


def test_modules_move_with_tied_parameters_and_their_optimiser(device):
    layers: Any = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    layers[1].weight = layers[0].weight
    tied = layers[0].weight
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    before = tied.detach().clone()
    device.to_device(layers)
    assert layers[0].weight is layers[1].weight is tied
    assert tied.device == device.device
    layers(there(device)).sum().backward()
    optimizer.step()
    first, second = copy.deepcopy(layers)
    assert first.weight is second.weight
    assert first.weight.requires_grad
    assert not torch.equal(next(layers.cpu().parameters()), before)


def test_values_are_those_of_the_cpu(device):
    torch.manual_seed(0)
    trunk = trunks.build("pair_transformer", dim=16, heads=2, depth=1).eval()
    batch = testing.batch_for(trunk, "dense")
    with torch.no_grad():
        expected = trunk(batch).graph
    answer = device.to_device(trunk)(device.to_device(batch)).graph
    torch.testing.assert_close(answer.cpu(), expected, rtol=1e-5, atol=1e-5)


def test_auto_means_it_only_inside():
    with testing.PretendedDevice() as device:
        assert choose("auto").device == device.device
        assert choose("cpu").device.type == "cpu"
        with pytest.raises(InputError, match="open already"), testing.PretendedDevice():
            pass
    assert choose("auto").device.type != device.device.type

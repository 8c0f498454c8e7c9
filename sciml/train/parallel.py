"""Data parallelism under `torchrun`, DDP or FSDP2, with the same recipe and the same losses."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from sciml.errors import InputError


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes; starts the group under `torchrun`."""
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "RANK" not in os.environ:
            return 0, 1
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        # Without it a process that ends first can abort the other one's background threads.
        atexit.register(_leave)
    return dist.get_rank(), dist.get_world_size()


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def leave(code: int = 0) -> None:
    """Exit a process of a group with `code`; a single process just goes on.

    The threads of torch's process groups can abort an interpreter that shuts down, which would turn
    a finished run into a failed one.
    """
    if dist.is_initialized() and dist.get_world_size() > 1:
        if code == 0:
            barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()


def wrap(module: nn.Module, strategy: str, device: torch.device) -> nn.Module:
    """`module` wrapped for many processes; with FSDP2 its parameters are sharded in place."""
    _, world = rank_and_world()
    if world == 1:
        return module
    for tensor in list(module.parameters()) + list(module.buffers()):
        dist.broadcast(tensor.data, src=0)
    if strategy == "ddp":
        ids = [device.index or 0] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            module, device_ids=ids, find_unused_parameters=True
        )
    if strategy == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device.type, (world,))
        # From the inside out; a list of lists is no block, and has no forward to shard by.
        for child in reversed(list(module.modules())):
            if isinstance(child, nn.ModuleList):
                for block in child:
                    if not isinstance(block, nn.ModuleList):
                        fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)
        return module
    raise InputError(f"`strategy` must be 'ddp' or 'fsdp', got {strategy!r}")


def no_sync(wrapped: nn.Module, last: bool) -> Any:
    """A context in which gradients stay local, for all micro-batches but the last."""
    if isinstance(wrapped, nn.parallel.DistributedDataParallel) and not last:
        return wrapped.no_sync()
    from torch.distributed.fsdp import FSDPModule

    if isinstance(wrapped, FSDPModule):
        wrapped.set_requires_gradient_sync(last)
    return nullcontext()


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The element-wise sum over all processes, as a new tensor."""
    values = values.clone()
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values)
    return values


def broadcast(values: torch.Tensor) -> torch.Tensor:
    """The values of rank 0 on every rank: for choices that all processes must make alike."""
    values = values.clone()
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.broadcast(values, src=0)
    return values


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A sharded tensor gathered from all ranks; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def redistribute(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`source` on the device of `target`, sharded like `target` if that is sharded."""
    if hasattr(target, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(
            source.to(target.device),
            target.device_mesh,
            target.placements,  # type: ignore[attr-defined]
        )
    return source.to(target.device)

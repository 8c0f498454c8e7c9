"""Data parallelism under `torchrun`, DDP or FSDP2, with the same recipe and the same losses."""

from __future__ import annotations

import atexit
import copy
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
        if count := torch.cuda.device_count():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % count)
        dist.init_process_group(_backend())
        # Without it a process that ends first can abort the other one's background threads.
        atexit.register(_leave)
    return dist.get_rank(), dist.get_world_size()


def _backend() -> str:
    """What moves the tensors of each kind of device here: those of the CPU in any case."""
    if torch.cuda.is_available():
        return "cpu:gloo,cuda:nccl"
    if torch.xpu.is_available() and dist.is_xccl_available():
        return "cpu:gloo,xpu:xccl"
    return "cpu:gloo"


def many() -> bool:
    """Whether this is one process of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _check_device(device: torch.device) -> None:
    """Refuse a device on which these processes cannot train, before it ends in the middle.

    Raises:
        InputError: nothing moves tensors between processes there, or two processes share one GPU.
    """
    connected = [part.split(":")[0] for part in _backend().split(",")]
    if device.type not in connected:
        raise InputError(
            f"several processes cannot train on {device.type!r}: nothing here moves its tensors "
            f"between them, only those on {' and '.join(connected)}",
            hint="Start one process, or use train.device=cpu",
        )
    if device.type == "cpu":
        return
    count = getattr(torch, device.type).device_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > count:
        raise InputError(
            f"{here} processes on this machine need as many devices, and it has {count}",
            hint=f"Start {count} with --nproc-per-node, or use train.device=cpu",
        )
    if device.index is not None:
        raise InputError(
            f"`device` {str(device)!r} names one device for all processes",
            hint=f"With several processes use train.device={device.type}: each takes its own",
        )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def leave(code: int = 0) -> None:
    """Exit a process of a group with `code`; a single process just goes on.

    The threads of torch's process groups can abort an interpreter that shuts down, which would turn
    a finished run into a failed one.
    """
    if many():
        if code == 0:
            barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if many():
        dist.barrier()


def wrap(module: nn.Module, strategy: str, device: torch.device) -> nn.Module:
    """`module` wrapped for many processes; what `inner` gives of it holds the trained parameters.

    DDP trains `module` itself. FSDP2 trains a sharded copy, and `module` waits on the CPU: it takes
    the weights over (`gather`) where they are used whole, in validation and at the end, so that
    recipes may call any part of it, in any order and on any process.

    Raises:
        InputError: an unknown strategy, or a device that several processes cannot use.
    """
    _, world = rank_and_world()
    if world == 1:
        return module
    _check_device(device)
    for tensor in list(module.parameters()) + list(module.buffers()):
        dist.broadcast(tensor.data, src=0)
    if strategy == "ddp":
        # Buffers are combined once a step, by `reduce_buffers`.
        return nn.parallel.DistributedDataParallel(
            module, find_unused_parameters=True, broadcast_buffers=False
        )
    if strategy == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device.type, (world,))
        sharded = copy.deepcopy(module)
        module.cpu()
        if getattr(module, "parts_vary", False):
            # One group: its collectives do not depend on which parts a process runs.
            fully_shard(sharded, mesh=mesh, reshard_after_forward=False)
            sharded.register_forward_hook(_use_all)
            return sharded
        # From the inside out; a list of lists is no block, and has no forward to shard by.
        for child in reversed(list(sharded.modules())):
            if isinstance(child, nn.ModuleList):
                for block in child:
                    if not isinstance(block, nn.ModuleList):
                        fully_shard(block, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        return sharded
    raise InputError(f"`strategy` must be 'ddp' or 'fsdp', got {strategy!r}")


def inner(wrapped: nn.Module) -> nn.Module:
    """The module whose parameters are trained."""
    return wrapped.module if isinstance(wrapped, nn.parallel.DistributedDataParallel) else wrapped


def _use_all(module: nn.Module, _inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    """Give every parameter a gradient, so that all processes reduce the same ones."""
    if not torch.is_grad_enabled():
        return result
    nothing = sum(p.flatten()[:1].sum() for p in module.parameters() if p.requires_grad)
    return {**result, "loss": result["loss"] + 0 * nothing}


def reshard(module: nn.Module) -> None:
    """Give up the gathered parameters that FSDP2 may still hold; nothing for other modules."""
    from torch.distributed.fsdp import FSDPModule

    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


@torch.no_grad()
def gather(trained: nn.Module, module: nn.Module, average: dict[str, torch.Tensor]) -> None:
    """Copy the weights of the sharded `trained` into `module`, whole, on every process.

    Args:
        trained: what `wrap` made of `module` under FSDP2.
        module: takes the weights.
        average: by name, these in place of the parameters.
    """
    whole = {
        name: full_tensor(average.get(name, tensor).detach())
        for name, tensor in trained.state_dict().items()
    }
    module.load_state_dict(whole)


@torch.no_grad()
def reduce_buffers(module: nn.Module) -> None:
    """Make the buffers of all processes equal: the statistics of batch normalisation are averaged
    over the processes, all other buffers are those of rank 0."""
    if rank_and_world()[1] == 1:
        return
    statistics = {
        id(buffer)
        for part in module.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
        for buffer in (part.running_mean, part.running_var)
        if buffer is not None
    }
    buffers = module.state_dict(keep_vars=True)
    for name, _ in module.named_parameters(remove_duplicate=False):
        buffers.pop(name, None)
    averaged = [b for b in buffers.values() if id(b) in statistics]
    if averaged:
        mean = sum_over_processes(torch.cat([b.flatten() for b in averaged]))
        mean /= dist.get_world_size()
        for buffer, values in zip(averaged, mean.split([b.numel() for b in averaged]), strict=True):
            buffer.copy_(values.view_as(buffer))
    for buffer in buffers.values():
        if torch.is_tensor(buffer) and id(buffer) not in statistics:
            dist.broadcast(buffer, src=0)


def stack_over_processes(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """[...] -> [processes, ...], the values of every process, on the CPU.

    Args:
        values: of the same shape on all processes.
        device: on which the processes talk to each other.
    """
    world = rank_and_world()[1]
    if world == 1:
        return values[None]
    stacked = [torch.empty_like(values, device=device) for _ in range(world)]
    dist.all_gather(stacked, values.to(device))
    return torch.stack(stacked).cpu()


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
    if many():
        dist.all_reduce(values)
    return values


def broadcast(values: torch.Tensor) -> torch.Tensor:
    """The values of rank 0 on every rank: for choices that all processes must make alike."""
    values = values.clone()
    if many():
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

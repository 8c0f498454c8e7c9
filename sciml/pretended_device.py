"""An accelerator that is not there: what a GPU refuses and waits for, found on a CPU.

    >>> from sciml import testing, trunks
    >>> with testing.PretendedDevice() as device:
    ...     trunk = device.to_device(trunks.build("pair_transformer", dim=16, heads=2, depth=1))
    ...     batch = device.to_device(testing.batch_for(trunk, "dense"))
    ...     trunk(batch).graph.sum().backward()
    >>> sum(device.faults.values())
    0

Tensors on it say `device(type="pretended")` and hold their values in an ordinary CPU tensor, so
that code whose course depends on data runs as it would, with backward pass and optimiser. While the
context is open, `device="auto"` means it.

- A *fault* is what a GPU refuses: tensors of two devices in one operation, `.numpy()` and what
  rests on it (numba, awkward), a generator of the CPU, a kernel that only the CPU has. It raises
  `DeviceFault`, as a GPU would raise, and is listed, so that one that was caught is seen too. A
  copy to the CPU with `non_blocking=True` is one, too: it may be read before it is there.
- A *wait* is what makes the CPU stand still until the GPU has done all work queued so far: reading
  a value (`.item()`, `bool()`), results whose size depends on data (`nonzero`, boolean indices),
  and copies without `non_blocking=True`.
- An *operation* starts one kernel or more; views and memory that is merely reserved start none. An
  operator that torch runs as one kernel on the CPU may be several elsewhere.

It is built on the dispatch modes of torch (`torch.utils._python_dispatch`), which see every
operation below autograd, those of the backward pass included. A module is moved while no graph of
an earlier forward pass holds its parameters.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from sciml import device as devices
from sciml.errors import InputError

NAME = "pretended"
READS = {
    "_local_scalar_dense", "_linalg_check_errors", "_unique2", "allclose", "bincount", "equal",
    "histc", "is_nonzero", "masked_select", "multinomial", "nonzero",
    "unique_consecutive", "unique_dim",
}  # fmt: skip
"""Operators of which a GPU's implementation reads a value or a size back."""
FREE = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias",
    "lift_fresh", "_local_scalar_dense", "is_pinned", "_pin_memory", "_unsafe_view",
    "_reshape_alias",
}  # fmt: skip
"""Operators that start no kernel, besides views."""
COPIES = {"copy_", "_to_copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
JOINING = {"cat", "stack"}
"""Operators that take no CPU scalars among tensors of the device, as the arithmetic ones do."""


class DeviceFault(RuntimeError):
    """Something that an accelerator refuses."""


class _Backend:
    """What torch asks of the module `torch.pretended`."""

    active: PretendedDevice | None = None

    def is_available(self) -> bool:
        return self.active is not None

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return int(self.is_available())

    def device(self, _index: Any) -> Any:
        return nullcontext()

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass  # values are drawn by the CPU's generator

    def get_rng_state(self, *_: Any) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, *_: Any) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []  # autocast is torch's own, and no business of a device without kernels


_BACKEND = _Backend()


def _register() -> torch.device:
    """The device's name in torch, which has room for one that is made in Python."""
    if not hasattr(torch, NAME):
        from torch.utils import backend_registration

        class Hook(backend_registration._DummyPrivateUse1Hook):
            def is_available(self) -> bool:
                return _BACKEND.is_available()

        backend_registration._setup_privateuseone_for_python_backend(NAME, _BACKEND, Hook())
    return torch.device(NAME, 0)


def _on_it(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


class PretendedTensor(Tensor):
    """A tensor on the pretended device; its values are in `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> PretendedTensor:
        values = values.detach()
        self = Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(),
            dtype=values.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        self.held = values
        return self

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # Operations outside the context: tensors that outlive it can still be read and freed.
        return _computed(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{self.held!r} on {NAME}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = PretendedTensor(self.held.clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return copied

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None  # makes `module.to` swap parameters in place, tied ones included

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *_: Any) -> PretendedTensor:
        return PretendedTensor(inner["held"])

    def numpy(self, *, force: bool = False) -> Any:
        return self.detach().cpu().numpy() if force else _fault(".numpy() of a tensor there")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return _fault("a tensor there as a NumPy array")

    def __dlpack__(self, *_: Any, **__: Any) -> Any:
        return _fault("a tensor there through DLPack")

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()


def _fault(what: str) -> Any:
    if _BACKEND.active is not None:
        _BACKEND.active.faults[what, _where()] += 1
    raise DeviceFault(f"{what}, at {_where()}: an accelerator refuses it")


def _where() -> str:
    """File and line of the innermost frame that is neither of a library nor of this file."""
    here, package = __file__, str(Path(__file__).parent)
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if frame.f_code.co_name == "_engine_run_backward":
            break  # what called it is not what waits
        outside = "site-packages" in name or f"{sys.version_info[0]}.{sys.version_info[1]}/" in name
        if name != here and not name.startswith("<") and (name.startswith(package) or not outside):
            path = Path(name)
            if name.startswith(package):
                return f"sciml/{path.relative_to(package)}:{frame.f_lineno}"
            return f"{path.parent.name}/{path.name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "the backward pass"


def _tensors(arguments: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_flatten(arguments)[0] if isinstance(leaf, Tensor))


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the CPU values; its results are where a real device would have them."""
    pretended = {id(t.held): t for t in _tensors((args, kwargs)) if isinstance(t, PretendedTensor)}
    target = kwargs.get("device")
    stays = _on_it(target) if target is not None else bool(pretended)
    if stays and target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    bare = tree_map(lambda x: x.held if isinstance(x, PretendedTensor) else x, (args, kwargs))
    result = func(*bare[0], **bare[1])
    others = {id(t) for t in _tensors((args, kwargs)) if not isinstance(t, PretendedTensor)}
    # In inference mode the view of an ordinary tensor is an ordinary tensor.
    ordinary = func.is_view and not all(t.is_inference() for t in _tensors((args, kwargs)))

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor) or id(x) in others:
            return x
        if id(x) in pretended:  # an operator in place, or with `out=`, returns its argument
            return pretended[id(x)]
        with torch.inference_mode(False) if ordinary else nullcontext():
            return PretendedTensor(x)

    return tree_map(wrapped, result) if stays else result


class PretendedDevice(TorchDispatchMode):
    """The context in which the device exists; see the module.

    Attributes:
        device: to move tensors to.
        faults, waits: how often, by (what, file and line).
        operations: number of operations that start a kernel.

    Raises:
        InputError: another one is open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = _register()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()
        self.operations = 0

    def __enter__(self) -> PretendedDevice:
        if _BACKEND.active is not None:
            raise InputError("a pretended device is open already", hint="Close that one first")
        _BACKEND.active, devices._pretended = self, self.device
        self._swaps = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(1.0, device=...) as a copy we see
        # Autograd has no thread for a device that was named after its first backward pass.
        self._single = torch.autograd.set_multithreading_enabled(False)
        self._single.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _BACKEND.active = devices._pretended = None
        torch.__future__.set_swap_module_params_on_conversion(self._swaps)
        torch._C._set_only_lift_cpu_tensors(False)
        self._single.__exit__(*error)

    def to_device(self, thing: Any) -> Any:
        """A module (in place), a batch, or nested containers of tensors, moved there."""
        from sciml.train.sampler import move

        return move(thing, self.device)

    def clear(self) -> None:
        """Forget what was counted."""
        self.faults.clear()
        self.waits.clear()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # where composite operators arrive whole
            super().__enter__()
            try:
                result = func.decompose(*args, **kwargs)
            finally:
                super().__exit__(None, None, None)
            if result is not NotImplemented:
                return result
        tensors = list(_tensors((args, kwargs)))
        at_home = [t for t in tensors if not isinstance(t, PretendedTensor)]
        if len(at_home) < len(tensors) or _on_it(kwargs.get("device")):
            name = func._schema.name.rpartition("::")[2]
            if name in COPIES:
                self._judge_copy(name, args, kwargs)
            else:
                self._judge(func, name, args, kwargs, at_home)
            self.operations += not (func.is_view or name in FREE)
        return _computed(func, args, kwargs)

    def _wait(self, what: str) -> None:
        self.waits[what, _where()] += 1

    def _judge_copy(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        if name == "copy_":
            to, source = (isinstance(t, PretendedTensor) for t in args[:2])
            non_blocking = bool(args[2]) if len(args) > 2 else kwargs.get("non_blocking", False)
        else:
            source = isinstance(args[0], PretendedTensor)
            target = kwargs.get("device")
            to = source if target is None else _on_it(target)
            non_blocking = kwargs.get("non_blocking", False)
        if source and not to:
            if non_blocking:
                _fault("a copy to the CPU that nobody waits for")
            self._wait("copy from the device")
        elif to and not source and not non_blocking:
            self._wait("copy to the device that waits")

    def _judge(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], at_home: list[Tensor]
    ) -> None:
        generator = kwargs.get("generator")
        if generator is not None and not _on_it(generator.device):
            _fault(f"{name} with a random generator of the CPU")
        if func.namespace not in ("aten", "prim", "prims"):
            key = torch._C.DispatchKey
            if not func.has_kernel_for_dispatch_key(key.CompositeExplicitAutograd):
                _fault(f"{func.namespace}::{name}, a kernel of the CPU")
        if name in INDEXING:
            self._judge_indices(name, args, at_home)
            return
        for tensor in at_home:
            if tensor.ndim or name in JOINING:
                _fault(f"{name} with a CPU tensor {tuple(tensor.shape)}")
        sized = kwargs.get("output_size") is not None or len(args) > 1
        if name in READS or (name == "repeat_interleave" and not sized):
            self._wait(name)

    def _judge_indices(self, name: str, args: Any, at_home: list[Tensor]) -> None:
        values, indices = args[0], [i for i in args[1] if i is not None]
        for tensor in at_home:
            # Indices may lie on the CPU: they are copied.
            is_index = any(tensor is index for index in indices)
            if not (is_index and isinstance(values, PretendedTensor)) and (tensor.ndim or is_index):
                _fault(f"{name} with a CPU tensor {tuple(tensor.shape)}")
        if any(not isinstance(index, PretendedTensor) for index in indices):
            self._wait(f"{name} by indices on the CPU")
        masks = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        filled = name != "index" and len(args) > 2 and args[2].numel() == 1  # is a masked_fill
        if masks and not filled:
            self._wait(f"{name} by a mask")

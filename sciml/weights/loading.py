"""From a file's tensors to a module, without allocating more than the file holds.

Settings come with a file and cannot be trusted: a depth of a billion takes minutes to build, a
width of a billion terabytes. So modules are built under limits: the size of every tensor is checked
before it is allocated, and so is the number of steps that a module with that many tensors takes.
Then names, shapes, types and values are compared with the file's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sciml.errors import InputError
from sciml.weights.former_names import present_names

M = TypeVar("M", bound=nn.Module)

SPARE_NUMBERS = 1 << 24
"""Numbers that a constructor may allocate beyond those of the file: tables, temporaries."""
TIMES = 4
"""Numbers that it may make for each of the file (twins that a file holds once, temporaries)."""
SPARE_TENSORS, TENSORS = 4_000, 4
"""Tensors that it may make, and those for each of the file."""
MAX_TENSORS = 50_000
"""Tensors of the largest network that is built from a file."""
SPARE_STEPS, STEPS = 80_000, 20
"""Operations that it may take (tables of tensor products take many), and those for each tensor."""
SET = torch.ops.aten.set_.source_Storage_storage_offset


class Watch(TorchDispatchMode):
    """Stops tensors beyond the limits before they are allocated.

    Args:
        numbers: limit in all.
        tensors: limit in all.
        steps: limit of operations.
    """

    def __init__(self, numbers: int, tensors: int, steps: int) -> None:
        super().__init__()
        self.numbers, self.tensors, self.steps = numbers, tensors, steps

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes two seconds, to leave it out here."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation if its result is within the limits."""
        kwargs = kwargs or {}
        self.steps -= 1
        if func is SET:
            within_storage(args[0].dtype.itemsize, *args[1:])
        elif not any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            self.tensors -= 1
            self.numbers -= _numbers_made(func, args, kwargs)
        if min(self.numbers, self.tensors, self.steps) < 0:
            raise InputError("describes a network that is larger than the file")
        return func(*args, **kwargs)


def _numbers_made(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Size of a factory function's result, without allocating it."""
    if args and isinstance(args[0], list | tuple) and all(type(n) is int for n in args[0]):
        return math.prod(args[0])  # empty, zeros, randn, ...: the first argument is the shape
    if not any(argument.name == "device" for argument in func._schema.arguments):
        return 0
    made = func(*args, **{**kwargs, "device": torch.device("meta"), "pin_memory": None})
    return made.numel() if isinstance(made, Tensor) else 0


def within_storage(
    width: int,
    storage: torch.UntypedStorage,
    offset: int,
    size: Sequence[int],
    stride: Sequence[int] = (),  # that of a single number
) -> None:
    """Check that a tensor of a file lies within its bytes and does not repeat numbers.

    Args:
        width: bytes per number.
        storage, offset, size, stride: as `Tensor.set_` takes them.

    Raises:
        InputError: it does not: torch would allocate the missing bytes.
    """
    available, count = storage.nbytes() // width, math.prod(size)
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (min(stride, default=0) < 0 or reach >= available or count > available):
        raise InputError(f"claims a tensor of {list(size)} numbers where {available} are there")


def build(make: Callable[[], M], tensors: Mapping[str, Tensor], *, where: object = None) -> M:
    """The module that settings describe, with fresh weights, if it is no larger than `tensors`.

    Args:
        make: builds it; what it raises is an error of the settings.
        tensors: what the file holds for it.
        where: the file, for messages.

    Raises:
        InputError: the settings describe no module, or one larger than the file.
    """
    held = {value.data_ptr() or name: value.numel() for name, value in tensors.items()}
    return build_within(make, sum(held.values()), len(tensors), where=where)


def build_within(
    make: Callable[[], M], numbers: int, tensors: int = MAX_TENSORS, *, where: object = None
) -> M:
    """`build` for a file with this many numbers and tensors."""
    limit = min(TENSORS * tensors + SPARE_TENSORS, MAX_TENSORS)
    watch = Watch(TIMES * numbers + SPARE_NUMBERS, limit, STEPS * tensors + SPARE_STEPS)
    try:
        with watch:
            return make()
    except InputError as error:
        if error.where is not None:
            raise
        raise InputError(error.what, where=where, hint=error.hint) from error
    except Exception as error:  # whatever a constructor raises for settings that make no sense
        message = (str(error).splitlines() or [""])[0][:120]
        raise InputError(
            f"describes no network that can be built ({type(error).__name__}: {message})",
            where=where,
        ) from error


def layers(state: Iterable[str], prefix: str) -> int:
    """The number of layers in names such as `prefix0.weight`, `prefix1.weight`.

    Raises:
        InputError: their numbers have gaps: one large number must not build as many.
    """
    numbers = set()
    for name in state:
        if name.startswith(prefix):
            number = name[len(prefix) :].partition(".")[0]
            if number.isascii() and number.isdigit():
                numbers.add(number if len(number) < 9 else "")
    if numbers != {str(number) for number in range(len(numbers))}:
        raise InputError(
            f"numbers the {len(numbers)} layers of {prefix + '*'!r} otherwise than from 0 on"
        )
    return len(numbers)


def once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in which shared tensors appear under their first name only."""
    first_names: dict[Any, str] = {}
    for name, value in state.items():
        identity = (value.data_ptr(), tuple(value.shape), value.stride()) if value.numel() else name
        first_names.setdefault(identity, name)
    return {name: state[name] for name in first_names.values()}


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], *, where: object = None) -> None:
    """`load_state_dict` with an error that the user can act on; shared tensors may be left out.

    Names that a former version gave are read, too (`former_names`).

    Raises:
        InputError: names that are missing or too many, shapes or types that differ, NaN.
    """
    tensors = present_names(module, tensors)
    expected = module.state_dict()
    twins: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, value in expected.items():
        if value.numel():
            twins.setdefault((value.data_ptr(), tuple(value.shape)), []).append(name)
    saved_by_twin = {n for group in twins.values() if set(group) & set(tensors) for n in group}
    required = {n: v for n, v in expected.items() if n in tensors or n not in saved_by_twin}
    check_fit(required, tensors, where=where)
    check_numbers(tensors, where=where)
    with torch.no_grad():
        module.load_state_dict(dict(tensors), strict=False)


def restore(make: Callable[[], M], tensors: Mapping[str, Tensor], *, where: object = None) -> M:
    """`build`, then `load_state`: the module with the file's weights, in evaluation mode.

    Raises:
        InputError: as those two.
    """
    module = build(make, tensors, where=where)
    load_state(module, tensors, where=where)
    return module.eval()


def check_fit(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, where: object = None
) -> None:
    """Check that both hold the same names with the same shapes and kinds of numbers.

    Raises:
        InputError: they do not; names the missing, surplus and mismatched ones.
    """
    differing, mistyped = [], []
    for name, value in expected.items():
        if name not in tensors:
            continue
        tensor = tensors[name]
        if tensor.shape != value.shape:
            differing.append(f"{name} {list(tensor.shape)} instead of {list(value.shape)}")
        elif tensor.is_floating_point() != value.is_floating_point() or tensor.is_complex():
            mistyped.append(f"{name} {_type(tensor)} instead of {_type(value)}")
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "surplus": [name for name in tensors if name not in expected],
        "wrong shape": differing,
        "wrong type": mistyped,
    }
    problems = [
        f"{kind}: {', '.join(n[:120] for n in names[:4])}{', ...' if len(names) > 4 else ''}"
        for kind, names in faults.items()
        if names
    ]
    if problems:
        raise InputError("the weights do not fit the settings; " + "; ".join(problems), where=where)


def check_numbers(tensors: Mapping[str, Tensor], *, where: object = None) -> None:
    """Check that all numbers are finite.

    Raises:
        InputError: names the first tensor that holds NaN or infinity.
    """
    for name, value in tensors.items():
        if not value.is_floating_point():
            continue
        # A sum runs at the speed of memory; only one that overflows needs a closer look.
        if not bool(value.sum().isfinite()) and not bool(value.isfinite().all()):
            raise InputError(f"{name[:120]!r} holds NaN or infinity", where=where)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")

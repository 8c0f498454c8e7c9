"""`Pretrained`: what every model of every science has in common on disk and in memory.

model = Model.from_pretrained("name")          # shipped with the package
model = Model.from_pretrained("model.safetensors")
model = Model.from_pretrained("folder", device="cuda")
model.save("model.safetensors")                # one file
model.save("folder")                           # config.json, model.safetensors, README.md
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sciml.weights import files

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


class Pretrained(ABC):
    """Mixin of a model that is saved to and restored from a file or folder.

    A class says with `ENTRY` which entry of a file's header describes it and with `KIND` what it is
    in words ("jet tagger"), and defines `describe` and `restore`.
    """

    ENTRY: ClassVar[str]
    KIND: ClassVar[str]
    HINT: ClassVar[str] = ""
    """What to do with a file that holds another kind of model."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The settings that rebuild the model, as plain values."""

    def weights(self) -> dict[str, Tensor]:
        """The tensors that are saved; shared memory is copied apart, as safetensors demands."""
        return {name: value.clone() for name, value in self.state_dict().items()}  # type: ignore[attr-defined]

    @classmethod
    @abstractmethod
    def restore(cls, *parts: Any, **options: Any) -> Self:
        """`restore(description, tensors, path)`: the model in evaluation mode on the CPU.

        Args:
            parts: what `describe` gave, which is not to be trusted (build with
                `weights.loading.build`); what `weights` gave, floats in single precision; the file,
                for error messages.
            options: those of `from_pretrained`, where a model has more than a device.

        Raises:
            InputError: the description and the tensors do not fit each other.
        """

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], *, device: str = "auto", **options: Any
    ) -> Self:
        """A model by name (`sciml models list`), or what `save` wrote, by path; no network.

        Args:
            name_or_path: a shipped model, a .safetensors file, or a folder with one.
            device: where it computes: "auto" (the accelerator, if there is one), "cpu", "cuda", ...
            options: of this kind of model; see `restore`.

        Raises:
            InputError: no such model or file, a file of something else, damaged, or larger in its
                description than in its tensors; a device that is not there.
        """
        from sciml.device import choose

        target = choose(device, "fp32").device
        description, tensors, path = files.read(name_or_path, cls.ENTRY, cls.KIND, cls.HINT)
        model = cls.restore(description, tensors, path, **options)
        model.to(target)  # type: ignore[attr-defined]
        return model

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, str] | None = None,
        half: bool = False,
    ) -> Path:
        """Write weights and settings, whole or not at all.

        Args:
            path: a file ending in .safetensors, or a folder, which gets model.safetensors with
                config.json and a model card, README.md (a card that is there stays).
            notes: further text for the header of the file (seed, data, command).
            half: store floats as bfloat16, half the size.

        Returns:
            the file of the weights.

        Raises:
            InputError: a file of another suffix, or a folder that cannot be written.
        """
        return files.save(
            path, self.weights(), self.ENTRY, self.describe(),
            kind=self.KIND, model=type(self).__name__, half=half, notes=notes,
        )  # fmt: skip

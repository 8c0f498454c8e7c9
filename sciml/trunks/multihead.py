"""MultiHead: one trunk that serves several domains, each with its own embedder and head.

A mixed batch is a mapping from domain to that domain's raw batch. How often a domain is drawn
follows p_i ~ n_i^(1/T) over its number of examples n_i: T = 1 in proportion, large T equally often
(Arivazhagan et al. 2019, arXiv:1907.05019, multilingual translation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from sciml.errors import InputError, unknown
from sciml.train.parallel import many
from sciml.trunks.base import Encoded, Trunk

Loss = Callable[[Any, Any], Mapping[str, Tensor]]


class MultiHead(nn.Module):
    """One trunk, several embedders and heads by domain.

    Args:
        trunk: shared by all.
        embedders: raw batch of a domain -> batch of the trunk.
        heads: `Encoded` -> the domain's answer.
        losses: (answer, raw batch) -> mapping with "loss" (mean over "count" terms) and maybe
            metrics; needed to train by calling the module.
        weights: of each domain's loss in the sum; 1 if not given.

    Raises:
        InputError: domains that differ between the parts.
    """

    def __init__(
        self,
        trunk: Trunk,
        embedders: Mapping[str, nn.Module],
        heads: Mapping[str, nn.Module],
        losses: Mapping[str, Loss] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        domains = set(embedders)
        for what, parts in (("heads", heads), ("losses", losses), ("weights", weights)):
            if parts is not None and (set(parts) != domains):
                raise InputError(
                    f"embedders are for {sorted(domains)}, but {what} for {sorted(parts)}"
                )
        self.trunk = trunk
        self.embedders = nn.ModuleDict(embedders)
        self.heads = nn.ModuleDict(heads)
        self.losses = dict(losses or {})
        self.weights = dict(weights or {})

    @property
    def domains(self) -> list[str]:
        """Names of the domains."""
        return list(self.embedders)

    def encode(self, domain: str, batch: Any) -> Encoded:
        """A domain's raw batch through its embedder and the trunk.

        Raises:
            InputError: unknown domain.
        """
        if domain not in self.embedders:
            raise unknown("domain", domain, self.domains)
        return self.trunk(self.embedders[domain](batch))

    def predict(self, domain: str, batch: Any) -> Any:
        """The domain's answer for its raw batch."""
        return self.heads[domain](self.encode(domain, batch))

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Train on a mixed batch.

        Args:
            batch: domain -> raw batch; domains may be absent.

        Returns:
            "loss", the mean over all domains' terms, weighted; "count"; "DOMAIN/..." for each
            domain's own loss and metrics.

        Raises:
            InputError: no losses were given, or a domain is unknown.
        """
        if not self.losses:
            raise InputError("MultiHead was built without losses", hint="Call predict(domain, ...)")
        losses = {}
        for domain, part in batch.items():
            answer = self.predict(domain, part)
            losses[domain] = self.losses[domain](answer, part)
        return combine(losses, self.weights)


class _Collective(InputError):
    of_all_processes = True


class Mixture(nn.Module):
    """Several modules that return losses (objectives on one trunk, say), trained as one.

    Args:
        parts: by domain; each is called with its domain's batch and returns a mapping with
            "loss". Parameters that parts share are trained once.
        weights: of each loss in the sum; 1 if not given.

    Raises:
        InputError: a part is `collective`, its forward pass waiting for that of other processes,
            and there are several: one whose share of a batch lacks the domain would never come.
    """

    parts_vary = True
    """A process's share of a batch may lack a domain: FSDP gathers the module at once."""

    def __init__(
        self, parts: Mapping[str, nn.Module], weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.weights = dict(weights or {})
        collective = [type(p).__name__ for p in parts.values() if getattr(p, "collective", False)]
        if len(parts) > 1 and collective and many():
            raise _Collective(
                f"{collective[0]} compares the examples of all processes in every batch, and of "
                f"{len(parts)} domains a process's share may lack one",
                hint="Train in one process, on one domain, or with 'moco', whose queue does it",
            )

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """As `MultiHead.forward`."""
        for domain in batch:
            if domain not in self.parts:
                raise unknown("domain", domain, self.parts)
        result = combine({d: self.parts[d](part) for d, part in batch.items()}, self.weights)
        if many():
            # Processes report the same metrics, and a share of a batch may lack a domain.
            return {name: result[name] for name in ("loss", "count")}
        return result

    def after_step(self, step: int) -> None:
        """Call `after_step` of every part that has it (moving averages, queues)."""
        for part in self.parts.values():
            after_step = getattr(part, "after_step", None)
            if callable(after_step):
                after_step(step)


def combine(
    losses: Mapping[str, Mapping[str, Tensor]], weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """Losses by domain -> one: the mean over the terms of all domains, each domain weighted."""
    if not losses:
        raise InputError("a mixed batch holds no domain")
    out: dict[str, Tensor] = {}
    total, count = [], []
    for domain, result in losses.items():
        terms = result.get("count", torch.ones((), device=result["loss"].device))
        total.append(result["loss"] * terms * weights.get(domain, 1.0))
        count.append(terms.to(result["loss"].dtype))
        out.update({f"{domain}/{name}": v.detach() for name, v in result.items()})
    terms = torch.stack(count).sum()
    return {"loss": torch.stack(total).sum() / terms.clamp(min=1e-9), "count": terms, **out}


def temperature_weights(sizes: Sequence[int], temperature: float) -> Float[Tensor, " K"]:
    """p_i ~ n_i^(1/T), float64, adding up to 1.

    Args:
        sizes: examples of each domain; a domain without any is never drawn.
        temperature: > 0; 1 = in proportion, infinity = equally often.

    Raises:
        InputError: no examples, or a temperature that is not positive.
    """
    if not temperature > 0:
        raise InputError(f"`temperature` must be > 0, got {temperature}")
    n = torch.tensor(list(sizes), dtype=torch.float64)
    if not (len(n) and n.sum() > 0):
        raise InputError("no domain has an example")
    # Relative to the largest, so that no power overflows.
    weight = torch.where(n > 0, (n / n.max()) ** (1.0 / temperature), n)
    return weight / weight.sum()


class MixedDataset(Dataset):
    """Several domains' data sets as one, mixed by temperature.

    Item i belongs to a fixed domain, so that batches of indices have the right mixture on
    average. A domain drawn more often than it has examples repeats all of them equally often; one
    drawn less often gives a random example each time (torch's global generator), so that over
    epochs all are seen.

    Args:
        parts: domain -> map-style data set.
        temperature: see `temperature_weights`.
        length: items an epoch; by default as many as there are examples.
    """

    def __init__(
        self, parts: Mapping[str, Any], temperature: float = 1.0, length: int | None = None
    ) -> None:
        self.parts = dict(parts)
        sizes = [len(part) for part in self.parts.values()]
        self.length = sum(sizes) if length is None else length
        share = temperature_weights(sizes, temperature) * self.length
        counts = share.floor().long()
        # What rounding down left over goes to the largest remainders.
        left = int(self.length - counts.sum())
        counts[(share - counts).argsort(descending=True, stable=True)[:left]] += 1
        self.counts = dict(zip(self.parts, counts.tolist()))

    def __len__(self) -> int:
        """Items an epoch."""
        return self.length

    def __getitem__(self, index: int) -> tuple[str, Any]:
        """(domain, example)."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        for domain, count in self.counts.items():
            if index < count:
                part = self.parts[domain]
                fewer = count < len(part)
                row = int(torch.randint(len(part), ())) if fewer else index % len(part)
                return domain, part[row]
            index -= count
        raise IndexError(index)


class MixedCollate:
    """Examples with their domain -> domain -> batch (a class, so that worker processes get it)."""

    def __init__(self, collates: Mapping[str, Callable[[list], Any]]) -> None:
        self.collates = dict(collates)

    def __call__(self, items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Group by domain, then collate each group."""
        groups: dict[str, list] = {}
        for domain, item in items:
            groups.setdefault(domain, []).append(item)
        return {domain: self.collates[domain](group) for domain, group in groups.items()}

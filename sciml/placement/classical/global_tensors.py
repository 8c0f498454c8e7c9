"""The forces of global placement on tensors, for a GPU: the same numbers as the compiled code.

The overlap of rectangles and bins is separable, so depositing and gathering charge are matrix
products of overlap lengths, which is what a GPU does best; the field of Poisson's equation is four
products with cosine and sine matrices; wires are scatters over nets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class TensorForces:
    """Wire and density gradients of a global placer on a torch device, single precision.

    Args:
        placer: a `GlobalPlacer`, for its nets, sizes and bins.
        device: where to compute.
        chunk: nodes in one product; bounds the memory at 2 x chunk x bins numbers.
    """

    def __init__(self, placer: Any, device: str, chunk: int = 16384) -> None:
        self.device, self.chunk, self.count = torch.device(device), chunk, placer.count
        self.bins, self.target, self.aspect = placer.bins, placer.target, placer.aspect
        self.half_w, self.half_h = self._tensor(placer.half_w), self._tensor(placer.half_h)
        self.charge = self._tensor(placer.charge)
        self.area = float(max(placer.mass[: placer.count].sum(), 1e-12))
        self.fixed = self._tensor(placer.fixed_density)
        degree = np.diff(placer.start)
        self.nets = len(degree)
        self.pin_net = self._tensor(np.repeat(np.arange(self.nets), degree))
        self.pin_node = self._tensor(placer.pin_node.astype(np.int64))
        self.pin_dx, self.pin_dy = self._tensor(placer.pin_dx), self._tensor(placer.pin_dy)
        pulls = degree <= placer.config.max_pins
        self.weight = self._tensor((placer.weight * pulls).astype(np.float32))
        self.still = self._tensor(np.stack([placer.still_x, placer.still_y]))
        n = self.bins
        k, phase = np.arange(n), np.pi * (2 * np.arange(n) + 1) / (2 * n)
        cosine = np.cos(np.outer(phase, k))
        self.forward = self._tensor((2 * cosine.T).astype(np.float32))
        self.cosine = self._tensor((cosine / np.where(k == 0, 2 * n, n)).astype(np.float32))
        self.sine = self._tensor((np.sin(np.outer(phase, k)) / n).astype(np.float32))
        self.to_x, self.to_y = self._tensor(placer.field.to_x), self._tensor(placer.field.to_y)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def wire(self, x: np.ndarray, y: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
        """(half-perimeter in bins, gradient [2, count]) of the weighted-average wire length."""
        moving = self._tensor(np.stack([x[: self.count], y[: self.count]]).astype(np.float32))
        positions = torch.cat([moving, self.still], 1)
        total, rows = 0.0, []
        for axis, offset in enumerate((self.pin_dx, self.pin_dy)):
            position = positions[axis][self.pin_node] + offset
            zero = position.new_zeros(self.nets)
            high = zero.scatter_reduce(0, self.pin_net, position, "amax", include_self=False)
            low = zero.scatter_reduce(0, self.pin_net, position, "amin", include_self=False)
            total += float((high - low).double().sum())
            pull = torch.zeros_like(position)
            for sign, end in ((1.0, high), (-1.0, low)):
                e = torch.exp(sign * (position - end[self.pin_net]) / gamma)
                total_weight = zero.index_add(0, self.pin_net, e)
                mean = zero.index_add(0, self.pin_net, position * e) / total_weight
                offset_scaled = sign * (position - mean[self.pin_net]) / gamma
                pull += sign * e * (1 + offset_scaled) / total_weight[self.pin_net]
            force = positions.new_zeros(positions.shape[1])
            force.index_add_(0, self.pin_node, pull * self.weight[self.pin_net])
            rows.append(force[: self.count])
        rows[1] = rows[1] * self.aspect
        return total, torch.stack(rows).cpu().numpy()

    def _overlap(self, centre: Tensor, half: Tensor) -> Tensor:
        """[n, bins] lengths that intervals share with bins."""
        edge = torch.arange(self.bins, device=self.device, dtype=centre.dtype)
        low, high = (centre - half)[:, None], (centre + half)[:, None]
        return (torch.minimum(high, edge + 1) - torch.maximum(low, edge)).clamp(min=0)

    def crowd(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """(overflow, gradient of the density energy [2, nodes and fillers])."""
        tx, ty = self._tensor(x.astype(np.float32)), self._tensor(y.astype(np.float32))
        density = self.fixed * self.target
        over = 0.0
        for part in (slice(0, self.count), slice(self.count, len(tx))):
            for index in torch.arange(len(tx), device=self.device)[part].split(self.chunk):
                overlap_x = self._overlap(tx[index], self.half_w[index])
                overlap_y = self._overlap(ty[index], self.half_h[index])
                density = density + overlap_y.T @ (overlap_x * self.charge[index][:, None])
            if part.start == 0:  # fillers may crowd
                over = float((density - self.target).clamp(min=0).sum()) / self.area
        a = self.forward @ density @ self.forward.T
        field_x = self.cosine @ (a * self.to_x) @ self.sine.T
        field_y = self.sine @ (a * self.to_y) @ self.cosine.T
        out = torch.empty(2, len(tx), device=self.device)
        for index in torch.arange(len(tx), device=self.device).split(self.chunk):
            overlap_x = self._overlap(tx[index], self.half_w[index])
            overlap_y = self._overlap(ty[index], self.half_h[index])
            for axis, field in enumerate((field_x, field_y)):
                out[axis, index] = ((overlap_y @ field) * overlap_x).sum(1) * self.charge[index]
        return over, -out.cpu().numpy()

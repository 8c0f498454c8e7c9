"""Forces of electrostatic placement: smooth wire length, charge density, its field.

Wires: the weighted-average model of half-perimeter (Hsu et al. 2011). Density: nodes are charges;
the potential solves Poisson's equation with reflecting walls, by cosine transforms (Lu et al.,
"ePlace", ACM TODAES 2015); its field pushes nodes from crowded to empty places. Coordinates are in
bins, in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numba import njit

_FAST: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy",
    "fastmath": {"contract", "nsz", "reassoc", "nnan", "arcp", "afn"},
}  # fmt: skip


@njit(**_FAST)
def wire_gradient(
    start: Any, pin_node: Any, pin_dx: Any, pin_dy: Any, weight: Any, x: Any, y: Any,
    inverse_gamma: float, max_pins: int, gx: Any, gy: Any, buffer: Any,
) -> float:  # fmt: skip
    """Weighted-average wire length; its gradient is added to gx, gy. Returns the exact HPWL."""
    total = 0.0
    for n in range(start.shape[0] - 1):
        a = start[n]
        b = start[n + 1]
        if b - a < 2:
            continue
        for axis in range(2):
            c = x if axis == 0 else y
            offset = pin_dx if axis == 0 else pin_dy
            g = gx if axis == 0 else gy
            low = np.float32(1e30)
            high = np.float32(-1e30)
            for i in range(a, b):
                v = c[pin_node[i]] + offset[i]
                buffer[0, i - a] = v
                low = min(low, v)
                high = max(high, v)
            total += float(high - low)
            if b - a > max_pins:
                continue
            w = weight[n]
            if b - a == 2:
                # Two pins: the smooth length is d tanh(d / 2 gamma).
                d = buffer[0, 0] - buffer[0, 1]
                t = np.exp(-abs(d) * inverse_gamma)
                th = (1 - t) / (1 + t)
                slope = w * (th + abs(d) * inverse_gamma * np.float32(2) * t / ((1 + t) * (1 + t)))
                if d < 0:
                    slope = -slope
                g[pin_node[a]] += slope
                g[pin_node[a + 1]] -= slope
                continue
            s_high = np.float32(0)
            s_low = np.float32(0)
            m_high = np.float32(0)
            m_low = np.float32(0)
            for i in range(b - a):
                v = buffer[0, i]
                e = np.exp((v - high) * inverse_gamma)
                f = np.exp((low - v) * inverse_gamma)
                buffer[1, i] = e
                buffer[2, i] = f
                s_high += e
                m_high += v * e
                s_low += f
                m_low += v * f
            mean_high = m_high / s_high
            mean_low = m_low / s_low
            for i in range(b - a):
                v = buffer[0, i]
                up = buffer[1, i] * (1 + (v - mean_high) * inverse_gamma) / s_high
                down = buffer[2, i] * (1 - (v - mean_low) * inverse_gamma) / s_low
                g[pin_node[a + i]] += w * (up - down)
    return total


@njit(**_FAST)
def deposit(x: Any, y: Any, half_w: Any, half_h: Any, charge: Any, density: Any) -> None:
    """Spread the charge of every node evenly over its (already widened) rectangle [bins]."""
    R, C = density.shape
    for i in range(x.shape[0]):
        x0 = max(x[i] - half_w[i], np.float32(0))
        x1 = min(x[i] + half_w[i], np.float32(C))
        y0 = max(y[i] - half_h[i], np.float32(0))
        y1 = min(y[i] + half_h[i], np.float32(R))
        if not (x0 < x1 and y0 < y1):  # outside the bins, or NaN
            continue
        for r in range(int(y0), min(int(y1), R - 1) + 1):
            dy = (min(y1, np.float32(r + 1)) - max(y0, np.float32(r))) * charge[i]
            for c in range(int(x0), min(int(x1), C - 1) + 1):
                density[r, c] += dy * (min(x1, np.float32(c + 1)) - max(x0, np.float32(c)))


@njit(**_FAST)
def gather(
    x: Any, y: Any, half_w: Any, half_h: Any, charge: Any, field_x: Any, field_y: Any,
    gx: Any, gy: Any,
) -> None:  # fmt: skip
    """The force of the field on every node, over the same rectangle."""
    R, C = field_x.shape
    for i in range(x.shape[0]):
        x0 = max(x[i] - half_w[i], np.float32(0))
        x1 = min(x[i] + half_w[i], np.float32(C))
        y0 = max(y[i] - half_h[i], np.float32(0))
        y1 = min(y[i] + half_h[i], np.float32(R))
        fx = np.float32(0)
        fy = np.float32(0)
        if not (x0 < x1 and y0 < y1):
            gx[i] = fx
            gy[i] = fy
            continue
        for r in range(int(y0), min(int(y1), R - 1) + 1):
            dy = min(y1, np.float32(r + 1)) - max(y0, np.float32(r))
            for c in range(int(x0), min(int(x1), C - 1) + 1):
                share = dy * (min(x1, np.float32(c + 1)) - max(x0, np.float32(c)))
                fx += share * field_x[r, c]
                fy += share * field_y[r, c]
        gx[i] = fx * charge[i]
        gy[i] = fy * charge[i]


class Field:
    """Poisson's equation on R x C bins with reflecting walls."""

    def __init__(self, rows: int, columns: int) -> None:
        wy = (np.pi * np.arange(rows) / rows).astype(np.float32)
        wx = (np.pi * np.arange(columns) / columns).astype(np.float32)
        square = wy[:, None] ** 2 + wx[None] ** 2
        square[0, 0] = 1.0
        self.to_x = wx[None] / square
        self.to_y = wy[:, None] / square
        self.to_x[0, 0] = self.to_y[0, 0] = 0.0

    def __call__(self, density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Field (x, y) that pushes charges away from where they crowd."""
        a = scipy.fft.dctn(density, type=2, overwrite_x=False)
        return self._sine(a * self.to_x, 1), self._sine(a * self.to_y, 0)

    @staticmethod
    def _sine(a: np.ndarray, axis: int) -> np.ndarray:
        """Inverse transform: sines along `axis`, cosines along the other."""
        shifted = np.zeros_like(a)
        if axis == 1:
            shifted[:, :-1] = a[:, 1:]
        else:
            shifted[:-1] = a[1:]
        out = scipy.fft.idst(shifted, type=2, axis=axis, overwrite_x=True)
        return scipy.fft.idct(out, type=2, axis=1 - axis, overwrite_x=True)

"""The exact proxy of many placements at once, as tensors on any device.

The same definition as `kernels`, written with scatters and prefix sums; values agree to rounding.
Gradients flow through the wirelength and the density.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.placement.cost.proxy import Evaluator
from sciml.placement.design import ROTATION, Design


class BatchedProxy:
    """Call it with x, y [B, nodes] and turned [B, nodes] in the design's own order of nodes.

    Args:
        design: netlist, canvas and grid. device, dtype: of all tensors; float64 agrees with the
            compiled cost to 1e-12, float32 to about 1e-5.
    """

    def __init__(
        self,
        design: Design,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
        robust: bool = False,
    ) -> None:
        evaluator = Evaluator(design, robust)
        p = self.problem = evaluator.problem
        self.device, self.dtype, self.canvas = device, dtype, design.canvas

        def real(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=dtype, device=device)

        def whole(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.int64, device=device)

        self.order = whole(evaluator.order)
        self.width, self.height = real(p.width[: p.macros]), real(p.height[: p.macros])
        self.pin_node, self.pin_net = whole(p.pin_node), whole(p.pin_net)
        self.dx, self.dy = real(p.pin_dx), real(p.pin_dy)
        self.driver = whole(p.net_start[:-1])
        self.weight, self.demand = real(p.net_weight), real(p.net_demand)
        self.turn = real(ROTATION)

    def __call__(self, x: Tensor, y: Tensor, turned: Tensor) -> dict[str, Tensor]:
        """wirelength, density, congestion and proxy, [B] each; NaN congestion if undefined."""
        p = self.problem
        x = x.to(self.device, self.dtype)[:, self.order] - self.canvas.x0
        y = y.to(self.device, self.dtype)[:, self.order] - self.canvas.y0
        turn = self.turn[turned.to(self.device).long()[:, self.order][:, self.pin_node]]
        a, b, c, d = turn.unbind(-1)
        px = x[:, self.pin_node] + a * self.dx + b * self.dy
        py = y[:, self.pin_node] + c * self.dx + d * self.dy
        wire = (self._extent(px) + self._extent(py)) @ self.weight / p.norm
        density = self._density(x, y)
        congestion = self._congestion(x, y, px, py)
        total = wire + p.weight_density * density + p.weight_congestion * congestion
        return {"wirelength": wire, "density": density, "congestion": congestion, "proxy": total}

    def _extent(self, at: Tensor) -> Tensor:
        index = self.pin_net.expand(len(at), -1)
        shape = (len(at), len(self.weight))
        high = at.new_full(shape, -torch.inf).scatter_reduce(1, index, at, "amax")
        low = at.new_full(shape, torch.inf).scatter_reduce(1, index, at, "amin")
        return high - low

    def _overlap(self, centre: Tensor, size: Tensor, cells: int, step: float) -> Tensor:
        """[B, macros, cells] overlap lengths along one axis (negative: none)."""
        edge = torch.arange(cells, device=centre.device, dtype=centre.dtype) * step
        low, high = (centre - size / 2)[..., None], (centre + size / 2)[..., None]
        return torch.minimum(high, edge + step) - torch.maximum(low, edge)

    def _density(self, x: Tensor, y: Tensor) -> Tensor:
        p, m = self.problem, self.problem.macros
        ox = self._overlap(x[:, :m], self.width, p.columns, p.cell_width).clamp(min=0)
        oy = self._overlap(y[:, :m], self.height, p.rows, p.cell_height).clamp(min=0)
        cells = (oy.mT @ ox).flatten(1) / (p.cell_width * p.cell_height)
        if p.top_density:
            return 0.5 * cells.topk(p.top_density, 1).values.mean(1)
        some = cells > 1e-12
        return 0.5 * (cells * some).sum(1) / some.sum(1).clamp(min=1)

    def _blockage(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(horizontal, vertical) [B, rows, columns] routes that hard macros take."""
        p, n = self.problem, self.problem.hard
        gw, gh = p.cell_width, p.cell_height
        dx = self._overlap(x[:, :n], self.width[:n], p.columns, gw)
        dy = self._overlap(y[:, :n], self.height[:n], p.rows, gh)
        v, h = p.block_v * p.scale_v, p.block_h * p.scale_h
        if p.robust:
            ox, oy = dx.clamp(min=0), dy.clamp(min=0)
            area = oy.mT @ ox
            return area * h / gw, area * v / gh

        def edges(centre: Tensor, size: Tensor, cells: int, step: float) -> tuple[Tensor, Tensor]:
            first = torch.floor((centre - size / 2) / step).long()
            last = torch.floor((centre + size / 2) / step).long()
            return first.clamp(min=0), last.clamp(max=cells - 1)

        c0, c1 = edges(x[:, :n], self.width[:n], p.columns, gw)
        r0, r1 = edges(y[:, :n], self.height[:n], p.rows, gh)
        ox, oy = dx.clamp(min=0), dy.clamp(min=0)

        def partly(o: Tensor, first: Tensor, last: Tensor, step: float) -> Tensor:
            top = o.shape[-1] - 1
            a = o.gather(-1, first.clamp(0, top)[..., None])[..., 0]
            b = o.gather(-1, last.clamp(0, top)[..., None])[..., 0]
            return ((a - step).abs() > 1e-5) | ((b - step).abs() > 1e-5)

        def touched(o: Tensor, first: Tensor, last: Tensor) -> Tensor:
            """Does every cell from first to last have an overlap?"""
            return (o > 0).sum(-1) == last - first + 1

        rows_partly = (partly(oy, r0, r1, gh) | ~touched(ox, c0, c1)) & (r0 != r1)
        columns_partly = (partly(ox, c0, c1, gw) | ~touched(oy, r0, r1)) & (c0 != c1)
        row, column = (
            torch.arange(p.rows, device=x.device),
            torch.arange(p.columns, device=x.device),
        )
        keep_row = ~(rows_partly[..., None] & (row == r1[..., None]))
        keep_column = ~(columns_partly[..., None] & (column == c1[..., None]))
        in_x, in_y = (ox > 0).to(ox.dtype), (oy > 0).to(oy.dtype)
        vertical = (in_y * keep_row).mT @ ox * v
        horizontal = oy.mT @ (in_x * keep_column) * h
        return horizontal, vertical

    @torch.no_grad()
    def _congestion(self, x: Tensor, y: Tensor, px: Tensor, py: Tensor) -> Tensor:
        p = self.problem
        C, R, B = p.columns, p.rows, len(x)
        column, row = torch.floor(px / p.cell_width).long(), torch.floor(py / p.cell_height).long()
        outside = ((column < 0) | (row < 0) | (column >= C) | (row >= R)).any(1)
        column, row = column.clamp(0, C - 1), row.clamp(0, R - 1)
        cell = row * C + column
        # Distinct cells of every net, sorted by (column, row) as the rule for three wants them.
        key = self.pin_net * (C * R) + column * R + row
        order = key.argsort(1)
        sorted_key = key.gather(1, order)
        fresh = torch.ones_like(sorted_key, dtype=torch.bool)
        fresh[:, 1:] = sorted_key[:, 1:] != sorted_key[:, :-1]
        net = self.pin_net.expand(B, -1).gather(1, order)
        count = torch.zeros(B, len(self.weight), dtype=torch.int64, device=x.device)
        count.scatter_add_(1, net, fresh.long())
        source = cell[:, self.driver]  # [B, nets]
        diff_h = px.new_zeros(B, (C + 1) * R)
        diff_v = px.new_zeros(B, (R + 1) * C)
        batch = torch.arange(B, device=x.device)[:, None]

        def horizontal(a: Tensor, b: Tensor, at: Tensor, w: Tensor, of: Tensor) -> None:
            low, high = torch.minimum(a, b), torch.maximum(a, b)
            diff_h.index_put_((of, low * R + at), w, accumulate=True)
            diff_h.index_put_((of, high * R + at), -w, accumulate=True)

        def vertical(a: Tensor, b: Tensor, at: Tensor, w: Tensor, of: Tensor) -> None:
            low, high = torch.minimum(a, b), torch.maximum(a, b)
            diff_v.index_put_((of, low * C + at), w, accumulate=True)
            diff_v.index_put_((of, high * C + at), -w, accumulate=True)

        cells = count.gather(1, net)
        cell_sorted = cell.gather(1, order)
        star = fresh & (cells != 3) & (cells > 1) & (cell_sorted != source.gather(1, net))
        of = batch.expand_as(net)[star]
        s, t, w = source.gather(1, net)[star], cell_sorted[star], self.demand[net[star]]
        horizontal(s % C, t % C, s // C, w, of)
        vertical(s // C, t // C, t % C, w, of)

        three = fresh & (cells == 3)
        of = batch.expand_as(net)[three].reshape(-1, 3)[:, 0]
        w = self.demand[net[three].reshape(-1, 3)[:, 0]]
        points = cell_sorted[three].reshape(-1, 3)
        (x1, x2, x3), (y1, y2, y3) = (points % C).unbind(1), (points // C).unbind(1)
        one = (x1 < x2) & (x2 < x3) & (torch.minimum(y1, y3) < y2) & (y2 < torch.maximum(y1, y3))
        two = ~one & (x2 == x3) & (x1 < x2) & (y1 < torch.minimum(y2, y3))
        flat = ~one & ~two & (y2 == y3)
        rest = ~one & ~two & ~flat
        for chosen, parts in (
            (one, [("h", x1, x2, y1), ("h", x2, x3, y2), ("v", y1, y2, x2), ("v", y2, y3, x3)]),
            (two, [("h", x1, x2, y1), ("v", y1, torch.maximum(y2, y3), x2)]),
            (flat, [("h", x1, x2, y1), ("h", x2, x3, y2), ("v", y1, y2, x2)]),
        ):
            for kind, a, b, at in parts:
                draw = horizontal if kind == "h" else vertical
                draw(a[chosen], b[chosen], at[chosen], w[chosen], of[chosen])
        by_row = points[rest].sort(1).values  # cell = row * C + column: by (row, column)
        if len(by_row):
            (c1, _, c3), (r1, r2, r3) = (by_row % C).unbind(1), (by_row // C).unbind(1)
            w, of = w[rest], of[rest]
            columns = by_row % C
            horizontal(columns.amin(1), columns.amax(1), r2, w, of)
            vertical(r1, r2, c1, w, of)
            vertical(r2, r3, c3, w, of)

        use_h = diff_h.view(B, C + 1, R).cumsum(1)[:, :C].mT * p.scale_h  # [B, R, C]
        use_v = diff_v.view(B, R + 1, C).cumsum(1)[:, :R] * p.scale_v
        if p.smooth:
            use_h = self._smooth(R, x) @ use_h
            use_v = use_v @ self._smooth(C, x).mT
        block_h, block_v = self._blockage(x, y)
        values = torch.cat([(use_h + block_h).flatten(1), (use_v + block_v).flatten(1)], 1)
        top = values.topk(p.top_congestion, 1).values.mean(1)
        return torch.where(outside, torch.nan, top)

    def _smooth(self, n: int, like: Tensor) -> Tensor:
        """[n, n]: column j spreads evenly over j - S .. j + S inside the grid."""
        index = torch.arange(n, device=like.device)
        near = ((index[:, None] - index).abs() <= self.problem.smooth).to(like.dtype)
        return near / near.sum(0)

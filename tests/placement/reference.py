"""The proxy cost in plain Python, straight from its definition; slow, for tests only."""

from __future__ import annotations

import math

from sciml.placement.design import CELL, MACRO, PORT, SOFT, Design

TURN = {
    0: lambda x, y: (x, y), 1: lambda x, y: (-x, -y), 2: lambda x, y: (-x, y),
    3: lambda x, y: (x, -y), 4: lambda x, y: (y, -x), 5: lambda x, y: (-y, x),
    6: lambda x, y: (-y, -x), 7: lambda x, y: (y, x),
}  # fmt: skip


def proxy(design: Design) -> tuple[float, float, float]:
    """(wirelength, density, congestion) of a design whose canvas starts at 0, 0."""
    W, H, g = design.canvas.x1, design.canvas.y1, design.grid
    C, R = g.columns, g.rows
    gw, gh = W / C, H / R

    def pin(p: int) -> tuple[float, float]:
        n = design.pin_node[p]
        dx, dy = 0.0, 0.0
        if design.kind[n] in (MACRO, CELL):
            dx, dy = TURN[int(design.orientation[n])](design.pin_dx[p], design.pin_dy[p])
        return design.x[n] + dx, design.y[n] + dy

    length = total = 0.0
    hn = [[0.0] * C for _ in range(R)]
    vn = [[0.0] * C for _ in range(R)]

    def h(a: int, b: int, row: int, q: float) -> None:
        for c in range(min(a, b), max(a, b)):
            hn[row][c] += q

    def v(a: int, b: int, column: int, q: float) -> None:
        for r in range(min(a, b), max(a, b)):
            vn[r][column] += q

    for n in range(design.nets):
        a, b = design.net_start[n], design.net_start[n + 1]
        if b - a < 2:
            continue
        w = 1.0 if design.kind[design.pin_node[a]] == PORT else design.net_weight[n]
        q = w if w > 1 else 1.0
        at = [pin(p) for p in range(a, b)]
        xs, ys = [x for x, _ in at], [y for _, y in at]
        length += w * (max(xs) - min(xs) + max(ys) - min(ys))
        total += w
        cells = [(math.floor(x / gw), math.floor(y / gh)) for x, y in at]
        s, group = cells[0], sorted(set(cells))
        if len(group) == 2 or len(group) > 3:
            for t in group:
                if t != s:
                    h(s[0], t[0], s[1], q)
                    v(s[1], t[1], t[0], q)
        if len(group) == 3:
            (x1, y1), (x2, y2), (x3, y3) = group
            if x1 < x2 < x3 and min(y1, y3) < y2 < max(y1, y3):
                h(x1, x2, y1, q)
                h(x2, x3, y2, q)
                v(y1, y2, x2, q)
                v(y2, y3, x3, q)
            elif x2 == x3 and x1 < x2 and y1 < min(y2, y3):
                h(x1, x2, y1, q)
                v(y1, max(y2, y3), x2, q)
            elif y2 == y3:
                h(x1, x2, y1, q)
                h(x2, x3, y2, q)
                v(y1, y2, x2, q)
            else:
                low, middle, high = sorted(group, key=lambda p: (p[1], p[0]))
                across = [p[0] for p in group]
                h(min(across), max(across), middle[1], q)
                v(low[1], middle[1], low[0], q)
                v(middle[1], high[1], high[0], q)
    wirelength = length / ((W + H) * (total or 1.0))

    density = [[0.0] * C for _ in range(R)]
    hm = [[0.0] * C for _ in range(R)]
    vm = [[0.0] * C for _ in range(R)]
    for i in range(design.nodes):
        if design.kind[i] not in (MACRO, SOFT):
            continue
        x0, x1 = design.x[i] - design.width[i] / 2, design.x[i] + design.width[i] / 2
        y0, y1 = design.y[i] - design.height[i] / 2, design.y[i] + design.height[i] / 2
        over = {}
        for r in range(R):
            for c in range(C):
                dx = min(x1, (c + 1) * gw) - max(x0, c * gw)
                dy = min(y1, (r + 1) * gh) - max(y0, r * gh)
                over[r, c] = (dx, dy) if dx > 0 and dy > 0 else (0.0, 0.0)
                density[r][c] += over[r, c][0] * over[r, c][1] / (gw * gh)
        if design.kind[i] == SOFT:
            continue
        c0, c1, r0, r1 = (math.floor(z) for z in (x0 / gw, x1 / gw, y0 / gh, y1 / gh))
        if c1 < 0 or r1 < 0 or c0 >= C or r0 >= R:
            continue
        c0, r0, c1, r1 = max(c0, 0), max(r0, 0), min(c1, C - 1), min(r1, R - 1)
        columns, rows = range(c0, c1 + 1), range(r0, r1 + 1)
        for r in rows:
            for c in columns:
                vm[r][c] += over[r, c][0] * g.macro_routes_vertical
                hm[r][c] += over[r, c][1] * g.macro_routes_horizontal
        if r0 != r1 and any(abs(over[r, c][1] - gh) > 1e-5 for r in (r0, r1) for c in columns):
            for c in columns:
                vm[r1][c] -= over[r1, c][0] * g.macro_routes_vertical
        if c0 != c1 and any(abs(over[r, c][0] - gw) > 1e-5 for r in rows for c in (c0, c1)):
            for r in rows:
                hm[r][c1] -= over[r, c1][1] * g.macro_routes_horizontal

    k = int(0.1 * C * R)
    flat = sorted((z for row in density for z in row), reverse=True)
    if C * R < 10:
        some = [z for z in flat if z]
        d = 0.5 * sum(some) / len(some) if some else 0.0
    else:
        d = 0.5 * sum(flat[:k]) / k

    values = []
    S = g.smooth
    for r in range(R):
        for c in range(C):
            near_c = [x for x in range(C) if max(x - S, 0) <= c <= min(x + S, C - 1)]
            near_r = [y for y in range(R) if max(y - S, 0) <= r <= min(y + S, R - 1)]
            sv = sum(vn[r][x] / (min(x + S, C - 1) - max(x - S, 0) + 1) for x in near_c)
            sh = sum(hn[y][c] / (min(y + S, R - 1) - max(y - S, 0) + 1) for y in near_r)
            values.append((sv + vm[r][c]) / (gw * g.routes_vertical))
            values.append((sh + hm[r][c]) / (gh * g.routes_horizontal))
    k = max(int(0.05 * 2 * C * R), 1)
    return wirelength, d, sum(sorted(values, reverse=True)[:k]) / k

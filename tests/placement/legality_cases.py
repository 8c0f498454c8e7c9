"""Random small LEF/DEF designs with placement rules, and what a brute-force checker says of them.

Everything is whole database units (1000 to the micrometre) in plain Python; nothing of the package
is used. `Case` writes itself as LEF and DEF; `faults` goes through all objects, pairs and unit
boxes.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

SITE, ROW = 200, 2000
TURNS = ("N", "S", "FN", "FS", "E", "W", "FE", "FW")
Box = tuple[int, int, int, int]


@dataclass
class Thing:
    """A component: its size as N, what LEF and DEF say of it, and where it stands."""

    name: str
    width: int
    height: int
    symmetry: str
    block: bool
    x: int = 0
    y: int = 0
    turn: str = "N"
    fixed: bool = False
    halo: tuple[int, ...] = (0, 0, 0, 0)
    region: str = ""
    late: bool = False
    power_below: bool = False
    upright: bool = False
    window: Box | None = None

    @property
    def box(self) -> Box:
        w, h = self.width, self.height
        if self.turn in ("E", "W", "FE", "FW"):
            w, h = h, w
        return (self.x, self.y, self.x + w, self.y + h)


@dataclass
class Case:
    die: list[Box]
    corners: list[tuple[int, int]]
    rows: list[tuple[int, int, int, str]]  # x, y, sites, turn
    things: list[Thing] = field(default_factory=list)
    blockages: list[tuple[str, Box, int]] = field(default_factory=list)  # "", SOFT, PARTIAL
    regions: dict[str, tuple[str, list[Box]]] = field(default_factory=dict)
    channel: int = 0
    aligned: list[tuple[str, list[str]]] = field(default_factory=list)

    def lef(self) -> str:
        lines = ["VERSION 5.8 ;", "UNITS", "  DATABASE MICRONS 1000 ;", "END UNITS",
                 "SITE core", "  CLASS CORE ;", "  SIZE 0.2 BY 2 ;", "END core"]  # fmt: skip
        # One cell that is never used says X, so that its absence elsewhere means something.
        unused = Thing("unused", SITE, ROW, "X Y", False)
        for t in [unused, *self.things]:
            lines += [f"MACRO M_{t.name}", f"  CLASS {'BLOCK' if t.block else 'CORE'} ;",
                      f"  SIZE {t.width / 1000} BY {t.height / 1000} ;"]  # fmt: skip
            if t.symmetry:
                lines.append(f"  SYMMETRY {t.symmetry} ;")
            pins = [("A", "INPUT", "SIGNAL", 0.1), ("Z", "OUTPUT", "SIGNAL", 0.3)]
            if not t.block:
                lines.append("  SITE core ;")
                low, high = ("POWER", "GROUND") if t.power_below else ("GROUND", "POWER")
                pins += [("L", "INOUT", low, -0.1), ("H", "INOUT", high, 1.9)]
            for pin, direction, use, y in pins:
                lines += [f"  PIN {pin}", f"    DIRECTION {direction} ;", f"    USE {use} ;",
                          "    PORT", "      LAYER m1 ;", f"      RECT 0 {y} 0.1 {y + 0.2:.1f} ;",
                          "    END", f"  END {pin}"]  # fmt: skip
            lines.append(f"END M_{t.name}")
        return "\n".join([*lines, "END LIBRARY", ""])

    def def_(self) -> str:
        def points(box: Box) -> str:
            return f"( {box[0]} {box[1]} ) ( {box[2]} {box[3]} )"

        lines = ["VERSION 5.8 ;", "DESIGN rules ;", "UNITS DISTANCE MICRONS 1000 ;",
                 "DIEAREA " + " ".join(f"( {x} {y} )" for x, y in self.corners) + " ;"]  # fmt: skip
        for k, (x, y, sites, turn) in enumerate(self.rows):
            lines.append(f"ROW r{k} core {x} {y} {turn} DO {sites} BY 1 STEP {SITE} 0 ;")
        if self.regions:
            lines.append(f"REGIONS {len(self.regions)} ;")
            for name, (kind, boxes) in self.regions.items():
                kind = f" + TYPE {kind}" if kind else ""
                lines.append(f"- {name} {' '.join(map(points, boxes))}{kind} ;")
            lines.append("END REGIONS")
        lines.append(f"COMPONENTS {len(self.things)} ;")
        for t in self.things:
            line = f"- {t.name} M_{t.name}"
            line += " + SOURCE TIMING" if t.late else ""
            line += f" + {'FIXED' if t.fixed else 'PLACED'} ( {t.x} {t.y} ) {t.turn}"
            line += f" + HALO {' '.join(map(str, t.halo))}" if any(t.halo) else ""
            lines.append(line + " ;")
        lines += ["END COMPONENTS", f"BLOCKAGES {len(self.blockages)} ;"]
        for kind, box, percent in self.blockages:
            kind = f"+ {kind} " if kind == "SOFT" else f"+ PARTIAL {percent} " if kind else ""
            lines.append(f"- PLACEMENT {kind}RECT {points(box)} ;")
        lines += ["END BLOCKAGES", f"NETS {len(self.things) - 1} ;"]
        for k, (a, b) in enumerate(itertools.pairwise(self.things)):
            lines.append(f"- n{k} ( {a.name} Z ) ( {b.name} A ) ;")
        lines.append("END NETS")
        if self.regions:
            lines.append(f"GROUPS {len(self.regions)} ;")
            for name in self.regions:
                members = " ".join(t.name for t in self.things if t.region == name)
                lines.append(f"- g_{name} {members} + REGION {name} ;")
            lines.append("END GROUPS")
        return "\n".join([*lines, "END DESIGN", ""])


def make(seed: int, tight: bool = True) -> Case:
    """A random case; tight: so small that some cases have no legal placement."""
    r = random.Random(seed)
    width, n_rows = r.choice([12000, 16000, 20000]), r.choice([6, 8, 10])
    high = n_rows * ROW + r.choice([0, 1000])
    die, corners = [(0, 0, width, high)], [(0, 0), (width, high)]
    if r.random() < 0.4:  # an L: the upper right is missing
        a, b = r.randrange(width // 2, width, 100), r.randrange(high // 2, high, 500)
        die = [(0, 0, width, b), (0, b, a, high)]
        corners = [(0, 0), (0, high), (a, high), (a, b), (width, b), (width, 0)]
        if r.random() < 0.5:
            corners.reverse()
    rows = []
    y, flip = r.choice([0, 500]), r.randrange(2)
    past = r.random() < 0.3  # rows reach past the die
    alternate = r.random() < 0.85
    while y + ROW <= high + (ROW if past else 0):
        turn = "FS" if alternate and flip else "N"
        begin = r.choice([0, 0, 400, -600 if past else 0])
        end = width + (1000 if past else 0)
        if r.random() < 0.2:  # a gap inside
            middle = r.randrange(begin + SITE, end - SITE, SITE)
            rows.append((begin, y, (middle - begin) // SITE, turn))
            begin = middle + r.choice([0, SITE, 1000])
        if end - begin >= SITE:
            rows.append((begin, y, (end - begin) // SITE, turn))
        y += ROW
        flip ^= 1
        if r.random() < 0.1:
            y += 700
    case = Case(die, corners, rows)
    choices = ["", "X", "Y", "X Y", "X Y", "X Y"]
    for k in range(r.choice([0, 0, 1, 2, 3])):
        halo = tuple(r.choice([0, 400, 700]) for _ in range(4)) if r.random() < 0.6 else (0,) * 4
        symmetry = r.choice([*choices, "R90", "X Y R90"])
        case.things.append(
            Thing(
                f"m{k}",
                3000 + 100 * r.randrange(20),
                2500 + 100 * r.randrange(20),
                symmetry,
                True,
                halo=halo,
                fixed=r.random() < 0.3,
            )  # fmt: skip
        )
    for k in range(r.randrange(3, 30 if tight else 12)):
        case.things.append(
            Thing(
                f"c{k}",
                SITE * r.randrange(1, 6),
                ROW,
                r.choice(choices),
                False,
                late=r.random() < 0.1,
            )  # fmt: skip
        )
    for k in range(r.choice([0, 0, 1, 3])):
        levels = r.choice([2, 2, 3])
        case.things.append(
            Thing(
                f"d{k}",
                SITE * r.randrange(2, 5),
                levels * ROW,
                r.choice(choices),
                False,
                power_below=levels == 2 and r.random() < 0.4,
            )  # fmt: skip
        )
    for _ in range(r.choice([0, 0, 1, 2])):
        x, y = r.randrange(0, width - 1000, 100), r.randrange(0, high - 1000, 100)
        box = (x, y, x + r.randrange(500, width // 2, 100), y + r.randrange(500, high // 2, 100))
        case.blockages.append((r.choice(["", "", "SOFT", "PARTIAL"]), box, r.choice([0, 30, 60])))
    if r.random() < 0.5:
        kind = r.choice(["FENCE", "FENCE", "GUIDE", ""])
        x, y = r.randrange(0, width // 2, 100), r.randrange(0, high // 2, 100)
        boxes = [(x, y, x + r.randrange(3000, width // 2, 100), y + r.randrange(4000, 9000, 100))]
        if r.random() < 0.4:
            x1, y1 = boxes[0][2], boxes[0][1]
            boxes.append((x1, y1, x1 + 2000, boxes[0][3]))
        case.regions["reg"] = (kind, boxes)
        for t in r.sample(case.things, max(1, len(case.things) // 5)):
            t.region = "reg"
    if r.random() < 0.3:
        for t in case.things:
            t.fixed |= not t.block and r.random() < 0.2
    for t in case.things:
        if t.fixed:  # somewhere low, turned as it may be
            t.x, t.y = r.randrange(0, width // 2, 100), r.randrange(0, high // 2, 100)
    return case


def ask(case: Case, seed: int) -> dict[str, object]:
    """Rules of a user for the case, as a file of rules says them; the case knows them, too."""
    r = random.Random(seed)
    rules: dict[str, object] = {}
    blocks = [t for t in case.things if t.block]
    if r.random() < 0.4:
        case.channel = r.choice([300, 500, 1000])
        rules["channel"] = case.channel / 1000
    if r.random() < 0.4:
        rules["orientations"] = ["N", "S", "FN", "FS"]
        for t in blocks:
            t.upright = not t.fixed
    if blocks and r.random() < 0.4:
        t, within = r.choice(blocks), r.choice([0, 1000, 4000])
        box = t.box
        t.window = (box[0] - within, box[1] - within, box[2] + within, box[3] + within)
        rules["soft_fixed"] = [{"nodes": [t.name], "within": within / 1000}]
    if len(blocks) > 1 and r.random() < 0.5:
        edge = r.choice(["left", "bottom", "right", "top", "x", "y"])
        members = r.sample([t.name for t in blocks], 2)
        case.aligned.append((edge, sorted(members)))
        rules["align"] = [{"nodes": members, "edge": edge}]
    if r.random() < 0.3:
        box, percent = (1000, 1000, 8000, 6000), r.choice([20, 50])
        case.blockages.append(("PARTIAL", box, percent))
        rules["density"] = [{"box": [v / 1000 for v in box], "most": percent / 100}]
    if r.random() < 0.3:
        box = (9000, 0, 11000, 3000)
        case.blockages.append(("", box, 0))
        rules["blockage"] = [{"box": [v / 1000 for v in box]}]
    return rules


def scatter(case: Case, seed: int) -> None:
    """Places that are mostly wrong: on rows and sites or off them, any turn, outside too."""
    r = random.Random(seed)
    for t in case.things:
        x, y, sites, turn = r.choice(case.rows)
        t.x, t.y, t.turn = x + SITE * r.randrange(sites), y, turn
        t.x += r.choice([0, 0, 0, 100])
        t.y += r.choice([0, 0, 0, 100, ROW // 2])
        if r.random() < 0.3:
            t.turn = r.choice(TURNS)
        if r.random() < 0.1:
            t.x -= 5000
        t.fixed = r.random() < 0.1


# -- the checker ---------------------------------------------------------------------------
def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(box: Box, union: list[Box]) -> bool:
    """Every cell of the grid that all edges make, inside the box, is in the union."""
    xs = sorted({box[0], box[2], *(v for u in union for v in (u[0], u[2]))})
    ys = sorted({box[1], box[3], *(v for u in union for v in (u[1], u[3]))})
    for x0, x1 in itertools.pairwise(xs):
        for y0, y1 in itertools.pairwise(ys):
            cell = (x0, y0, x1, y1)
            if _overlap(cell, box) and not any(_overlap(cell, u) for u in union):
                return False
    return True


def _turns(symmetry: str) -> set[str]:
    """All that mirrors and quarter turns make of N."""
    x, y, r = ("X" in symmetry.split(), "Y" in symmetry.split(), "R90" in symmetry.split())
    turns = {"N"} | ({"FS"} if x else set()) | ({"FN"} if y else set()) | ({"S"} if x and y else
                                                                          set())  # fmt: skip
    if r:
        turns |= {"S", "E", "W"} if not (x or y) else set(TURNS)
    return turns


def _with_halo(t: Thing) -> Box:
    left, bottom, right, top = t.halo
    placed = {
        "N": (left, bottom, right, top), "S": (right, top, left, bottom),
        "FN": (right, bottom, left, top), "FS": (left, top, right, bottom),
        "W": (top, left, bottom, right), "E": (bottom, right, top, left),
        "FW": (bottom, left, top, right), "FE": (top, right, bottom, left),
    }[t.turn]  # fmt: skip
    b = t.box
    return (b[0] - placed[0], b[1] - placed[1], b[2] + placed[2], b[3] + placed[3])


def _row_at(case: Case, box: Box, y: int) -> str | None:
    for x, row_y, sites, turn in case.rows:
        if row_y == y and x <= box[0] and box[2] <= x + sites * SITE:
            return turn
    return None


def faults(case: Case) -> set[tuple[str, ...]]:
    """(rule, names...) of all that is wrong."""
    out: set[tuple[str, ...]] = set()
    mirrored = len({row[3] for row in case.rows}) > 1
    for a, b in itertools.combinations(case.things, 2):
        if _overlap(a.box, b.box):
            out.add(("overlaps", *sorted((a.name, b.name))))
    for t in case.things:
        box = t.box
        if not _within(box, case.die):
            out.add(("outside", t.name))
        if t.turn not in _turns(t.symmetry):
            out.add(("turned", t.name))
        if not t.block:
            out |= _row_faults(case, t, mirrored)
        for kind, block, _ in case.blockages:
            excused = t.fixed or (kind == "SOFT" and t.late)
            if kind != "PARTIAL" and _overlap(box, block) and not excused:
                out.add(("blocked", t.name))
        for other in case.things:
            if other is not t and any(other.halo) and _overlap(box, _with_halo(other)):
                out.add(("halos", *sorted((t.name, other.name))))
        for name, (kind, boxes) in case.regions.items():
            if kind == "GUIDE":
                continue
            if t.region == name and not _within(box, boxes):
                out.add(("regions", t.name))
            if t.region != name and kind == "FENCE" and any(_overlap(box, b) for b in boxes):
                out.add(("regions", t.name))
    for kind, block, percent in case.blockages:
        if kind != "PARTIAL":
            continue
        full = sum(
            (min(t.box[2], block[2]) - max(t.box[0], block[0]))
            * (min(t.box[3], block[3]) - max(t.box[1], block[1]))
            for t in case.things
            if not t.block and not t.late and _overlap(t.box, block)
        )
        if 100 * full > percent * (block[2] - block[0]) * (block[3] - block[1]):
            out.add(("partial", str(block)))
    return out | _asked_faults(case)


def _asked_faults(case: Case) -> set[tuple[str, ...]]:
    """What is wrong by the rules of `ask`."""
    out: set[tuple[str, ...]] = set()
    blocks = [t for t in case.things if t.block]
    for a, b in itertools.combinations(blocks, 2):
        c, box = case.channel, a.box
        wider = (box[0] - c, box[1] - c, box[2] + c, box[3] + c)
        if c and _overlap(wider, b.box) and not (a.fixed and b.fixed):
            out.add(("channels", *sorted((a.name, b.name))))
    for t in blocks:
        if t.upright and t.turn not in ("N", "S", "FN", "FS"):
            out.add(("turned", t.name))
        if t.window and not _within(t.box, [t.window]):
            out.add(("windows", t.name))
    for edge, members in case.aligned:
        names = [name for name in members if any(t.name == name for t in blocks)]
        values = {}
        for t in blocks:
            x0, y0, x1, y1 = t.box
            values[t.name] = {"left": 2 * x0, "bottom": 2 * y0, "right": 2 * x1, "top": 2 * y1,
                              "x": x0 + x1, "y": y0 + y1}[edge]  # fmt: skip
        out |= {
            ("unaligned", *sorted((n, names[0]))) for n in names if values[n] != values[names[0]]
        }
    return out


def _row_faults(case: Case, t: Thing, mirrored: bool) -> set[tuple[str, ...]]:
    out: set[tuple[str, ...]] = set()
    box = t.box
    row = _row_at(case, box, box[1])
    if row is None:
        return out if t.fixed else {("off_row", t.name)}
    high = box[3] - box[1]
    levels = max(round(high / ROW), 1)
    complete = high == levels * ROW or high < ROW
    supply = False
    for k in range(1, levels if complete else 1):
        above = _row_at(case, box, box[1] + k * ROW)
        if above is None:
            complete = False
        supply |= mirrored and (above or "N") != (row if k % 2 == 0 else
                                                  ("N" if row == "FS" else "FS"))  # fmt: skip
    if not complete and not t.fixed:
        out.add(("off_row", t.name))
    fits = any(
        y == box[1] and x <= box[0] and box[2] <= x + n * SITE and (box[0] - x) % SITE == 0
        for x, y, n, _ in case.rows
    )
    if not fits and not t.fixed:
        out.add(("off_site", t.name))
    if not complete:
        return out
    if levels % 2 == 0:
        wrong = t.turn in ("E", "W", "FE", "FW") or (row == "FS") != t.power_below
    else:
        wrong = t.turn not in (("N", "FN") if row == "N" else ("FS", "S"))
    if wrong or supply:
        out.add(("turned", t.name))
    return out

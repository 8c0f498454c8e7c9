"""LEF libraries: the sizes, classes and pins of cells and macros, and sites.

Lengths are micrometres. A pin is at the centre of the bounding box of its PORT shapes. Only
what a placer needs is read; the rest is skipped. Format: LEF/DEF 5.8 language reference.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

from sciml.errors import InputError
from sciml.placement.tokens import LARGEST, Text, character_table, too_large

_TABLE = character_table(singles=";", long_quote='"')  # SIZE 1 BY 2; is written, too


@dataclass
class LefPin:
    """Offset from the macro's lower-left corner [um] and whether the pin drives its net.

    bottom is the lower end of its shapes, use its USE ("POWER", "GROUND", ...).
    """

    x: float
    y: float
    output: bool
    bottom: float = 0.0
    use: str = "SIGNAL"


@dataclass
class LefMacro:
    """A library cell: its LEF class, size [um], pins, SYMMETRY and SITE."""

    name: str
    kind: str = "CORE"
    width: float = 0.0
    height: float = 0.0
    pins: dict[str, LefPin] = field(default_factory=dict)
    symmetry: set[str] = field(default_factory=set)
    site: str = ""

    def lowest_supply(self) -> str:
        """ "POWER" or "GROUND": the rail at the bottom; "" where the pins do not state it."""
        supplies = [p for p in self.pins.values() if p.use in ("POWER", "GROUND")]
        low = min((p.bottom for p in supplies), default=math.inf)
        uses = {p.use for p in supplies if p.bottom == low}
        return uses.pop() if len(uses) == 1 and len({p.use for p in supplies}) == 2 else ""


@dataclass
class Library:
    """Macros and sites (width, height) of all LEF files that were read."""

    macros: dict[str, LefMacro] = field(default_factory=dict)
    sites: dict[str, tuple[float, float]] = field(default_factory=dict)
    grid: float = 0.0
    """MANUFACTURINGGRID [um], 0 where none is stated."""
    widths: dict[str, float] = field(default_factory=dict)
    """The default WIDTH of routing layers [um]."""
    pitches: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """Routing layers, from the lowest up: (is it horizontal, the pitch of its tracks [um])."""

    def tracks(self) -> tuple[float, float] | None:
        """Horizontal and vertical tracks per micrometre above the lowest layer, which pins fill.

        None where a direction has no layer.
        """
        supply = [0.0, 0.0]
        for horizontal, pitch in list(self.pitches.values())[1:]:
            supply[0 if horizontal else 1] += 1 / pitch
        return (supply[0], supply[1]) if min(supply) > 0 else None


def read_lef(paths: Iterable[str | os.PathLike[str]]) -> Library:
    """Read LEF files, later ones adding to earlier ones.

    Raises:
        InputError: a file is cut off, a value is not a number or a macro's size is negative.
    """
    library = Library()
    for path in paths:
        _Reader(Text.open(path, _TABLE), library).read()
    return library


class _Reader:
    def __init__(self, text: Text, library: Library) -> None:
        self.text, self.library = text, library
        self.words = [text[i] for i in range(len(text))]
        self.at = 0
        self.units = 100.0  # of a micrometre, where the file states none

    def error(self, what: str) -> InputError:
        return self.text.error(what, min(self.at, len(self.words)))

    def word(self) -> str:
        if self.at >= len(self.words):
            raise self.error("the file ends inside a block")
        self.at += 1
        return self.words[self.at - 1]

    def length(self) -> float:
        """A coordinate or size [um] that fits 32-bit database units."""
        value = self.number()
        if abs(value) * self.units > LARGEST:
            self.at -= 1
            where = f"{self.text.where}, line {self.text.line(self.at)}"
            raise too_large("the coordinate", self.words[self.at], where)
        return value

    def number(self) -> float:
        word = self.word()
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.at -= 1
            raise self.error(f"expected a finite number, got {word!r}")
        return value

    def skip_statement(self) -> None:
        while self.word() != ";":
            pass

    def read(self) -> None:
        while self.at < len(self.words):
            word = self.word()
            if word == "MACRO":
                self.macro()
            elif word == "SITE":
                self.site()
            elif word == "LAYER":
                self.layer()
            elif word == "MANUFACTURINGGRID":
                self.library.grid = self.length()
                if self.library.grid <= 0:
                    raise self.error("MANUFACTURINGGRID must be > 0")
            elif word == "UNITS":
                self.database_units()
            elif word == "PROPERTYDEFINITIONS":
                while self.word() != "END":
                    pass
                self.word()
            elif word == "BEGINEXT":
                while self.word() != "ENDEXT":
                    pass
            elif word == "END" and self.at < len(self.words) and self.words[self.at] == "LIBRARY":
                return

    def database_units(self) -> None:
        """UNITS ... END UNITS: database units per micrometre."""
        while (word := self.word()) != "END":
            if word == "DATABASE":
                self.word()
                self.units = self.number()
                if not 1 <= self.units <= 1e6:
                    raise self.error(f"DATABASE MICRONS must be 1 to 1e6, got {self.units:g}")
            self.skip_statement()
        self.word()

    def layer(self) -> None:
        """LAYER ... END: default WIDTH, PITCH along its DIRECTION.

        Within other statements LAYER only names one.
        """
        name = self.word()
        if self.at >= len(self.words) or self.words[self.at] != "TYPE":
            return
        direction, pitches = "", []
        while True:
            word = self.word()
            if word == "END" and self.at < len(self.words) and self.words[self.at] == name:
                self.at += 1
                break
            if self.words[self.at - 2] not in (";", name):
                continue
            if word == "WIDTH":
                self.library.widths.setdefault(name, self.length())
            elif word == "DIRECTION":
                direction = self.word()
            elif word == "PITCH":  # one for both directions, or x and y
                pitches.append(self.length())
                if self.words[self.at] != ";":
                    pitches.append(self.length())
        if pitches and direction in ("HORIZONTAL", "VERTICAL"):
            horizontal = direction == "HORIZONTAL"
            pitch = pitches[-1] if horizontal else pitches[0]
            if pitch > 0:
                self.library.pitches.setdefault(name, (horizontal, pitch))

    def site(self) -> None:
        name = self.word()
        if self.word() == ";":
            return  # a reference to a site, not its definition
        self.at -= 1
        while (word := self.word()) != "END":
            if word == "SIZE":
                width = self.length()
                self.word()
                self.library.sites[name] = (width, self.length())
                if min(self.library.sites[name]) < 0:
                    raise self.error(f"the size of site {name!r} must be >= 0")
            self.skip_statement()
        self.word()

    def macro(self) -> None:
        macro = LefMacro(self.word())
        origin = [0.0, 0.0]
        while True:
            word = self.word()
            if word == "END":
                if self.word() != macro.name:
                    self.at -= 1
                    raise self.error(f"expected END {macro.name}, got END {self.words[self.at]}")
                break
            if word == "CLASS":
                kind = []
                while (part := self.word()) != ";":
                    kind.append(part)
                macro.kind = " ".join(kind)
            elif word == "SIZE":
                macro.width = self.length()
                self.word()
                macro.height = self.length()
                if macro.width < 0 or macro.height < 0:
                    raise self.error(f"the size of macro {macro.name!r} must be >= 0")
            elif word == "ORIGIN":
                origin = [self.length(), self.length()]
            elif word == "SYMMETRY":
                while (part := self.word()) != ";":
                    macro.symmetry.add(part)
            elif word == "SITE":
                macro.site = self.word()
                self.skip_statement()
            elif word == "PIN":
                self.pin(macro)
            elif word == "OBS":
                while self.word() != "END":
                    pass
            elif word == "DENSITY":
                while self.word() != "END":
                    pass
            elif word == "TIMING":  # of LEF before 5.4
                while self.word() != "END":
                    pass
                self.word()
            elif word != ";":
                self.skip_statement()
        for pin in macro.pins.values():
            pin.x, pin.y = pin.x + origin[0], pin.y + origin[1]
            pin.bottom += origin[1]
        earlier = self.library.macros.setdefault(macro.name, macro)
        if earlier is not macro:
            differs = "alike" if earlier == macro else "otherwise"
            warnings.warn(
                f"{self.text.where}: MACRO {macro.name} is defined again, {differs}: the first "
                "definition counts", stacklevel=2,
            )  # fmt: skip

    def pin(self, macro: LefMacro) -> None:
        name = self.word()
        output, use = False, "SIGNAL"
        box = [math.inf, math.inf, -math.inf, -math.inf]
        while True:
            word = self.word()
            if word == "END":
                end = self.word()
                if end != name:
                    self.at -= 1
                    raise self.error(f"expected END {name}, got END {end}")
                break
            if word == "DIRECTION":
                output = self.word() == "OUTPUT"
            elif word == "USE":
                use = self.word()
            elif word == "PORT":
                self.shapes(box)
        x = (box[0] + box[2]) / 2 if box[0] <= box[2] else macro.width / 2
        y = (box[1] + box[3]) / 2 if box[1] <= box[3] else macro.height / 2
        macro.pins[name] = LefPin(x, y, output, box[1] if box[1] <= box[3] else y, use)

    def shapes(self, box: list[float]) -> None:
        """Widen `box` by the RECT, POLYGON and PATH shapes of a PORT; vias are left out.

        The word ITERATE repeats a shape: DO n BY m STEP dx dy.
        """
        width = 0.0
        while (word := self.word()) != "END":
            if word == "LAYER":
                width = self.library.widths.get(self.word(), 0.0)
                self.skip_statement()
            elif word == "WIDTH":
                width = self.length()
            elif word in ("RECT", "POLYGON", "PATH"):
                self.shape(word, width if word == "PATH" else 0.0, box)

    def shape(self, kind: str, width: float, box: list[float]) -> None:
        values: list[float] = []
        farthest = (0.0, 0.0)
        while (part := self.word()) != ";":
            if part == "MASK":
                self.word()
            elif part == "DO":  # n BY m STEP dx dy
                counts = [self.number()]
                self.word()
                counts.append(self.number())
                self.word()
                farthest = ((counts[0] - 1) * self.length(), (counts[1] - 1) * self.length())
            elif part not in ("ITERATE", "(", ")"):
                self.at -= 1
                values.append(self.length())
        if len(values) < (2 if kind == "PATH" else 4) or len(values) % 2:
            raise self.error(f"{kind} needs pairs of numbers")
        for axis in (0, 1):
            low, high = min(values[axis::2]) - width / 2, max(values[axis::2]) + width / 2
            box[axis] = min(box[axis], low, low + farthest[axis])
            box[axis + 2] = max(box[axis + 2], high, high + farthest[axis])

"""Things on a page that move: a structure that turns, a placement that is panned and zoomed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Component:
    """What `Page.component` shows.

    Attributes:
        name: of its kind; a page holds the script of a kind once.
        script: JavaScript of this package: `report.components.NAME = (place, data) => ...` fills
            the element `place`.
        data: what it shows, as JSON.
        label: what it is, for those who cannot see it.
    """

    name: str
    script: str
    data: Any
    label: str

"""Formulas as MathML, which browsers typeset by themselves, one a row with status and proof."""

from __future__ import annotations

import html
from dataclasses import dataclass

from markupsafe import Markup

KINDS = {"proved": "good", "sampled": "unsure", "not solved": "bad"}
"""What stands beside a formula -> how it is coloured."""
MAX_LATEX = 4_000
"""Characters: a longer formula is shown as text."""


@dataclass(frozen=True)
class Formula:
    """A row: the formula, and how far it holds.

    Attributes:
        latex: in LaTeX.
        text: the same as text, shown where LaTeX cannot be typeset.
        status: a key of `KINDS`.
        facts: the proof, the method, the time: a sentence or two, without marks.
    """

    latex: str
    text: str
    status: str
    facts: str = ""


def mathml(latex: str, text: str = "") -> Markup:
    """LaTeX as a <math> element; `text` as code where it cannot be typeset or is too long."""
    from xml.etree.ElementTree import tostring

    from latex2mathml.converter import convert_to_element

    text = text or latex
    if not latex or len(latex) > MAX_LATEX:
        return Markup("<code>{}</code>").format(text)
    try:
        made = convert_to_element(latex, display="block")
    except Exception:  # its errors have no common class; the formula is shown as text
        return Markup("<code>{}</code>").format(text)
    # Its texts hold entities, which become characters and are escaped once, whatever they are.
    for element in made.iter():
        element.text = html.unescape(element.text or "")
        element.attrib = {key: html.unescape(value) for key, value in element.attrib.items()}
    made.attrib.pop("xmlns", None)
    made.set("alttext", text)
    return Markup(tostring(made, encoding="unicode"))

"""The pictures of the landing page and of the README, taken from a finished demonstration.

    sciml demo --out runs/demo && python docs/pictures.py runs/demo

The figures are those of the reports; the formulas are typeset anew from answers.json.
"""

import json
import re
import sys
from pathlib import Path

from sciml.symbolic import parse
from sciml.symbolic.expr.printing import latex

TARGET = Path(__file__).parent / "pictures"
FIGURES = {"jets": 0, "contacts": 0, "circuit": 0}
"""Part of the demonstration -> which of its figures."""
FORMULAS = ("1/(x**4 + 1)", "1/(2 + cos(x))", "ln(x)/(x + 1)**2", "x*exp(x)*sin(x)")


def main(run: Path) -> None:
    """Write a picture for each science."""
    TARGET.mkdir(exist_ok=True)
    for part, number in FIGURES.items():
        text = (run / part / "report.html").read_text(encoding="utf-8")
        picture = re.findall(r"<figure.*?(<svg.*?</svg>)", text, re.S)[number]
        if "xmlns=" not in picture[:400]:
            picture = picture.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        (TARGET / f"{part}.svg").write_text(picture + "\n", encoding="utf-8")
    answers = json.loads((run / "integrals" / "answers.json").read_text())["answers"]
    chosen = [parse(text) for text in FORMULAS]
    write_formulas([r for r in answers if parse(r["integrand"]) in chosen and r["answer"]])


def write_formulas(rows: list[dict[str, str]]) -> None:
    """Integrands and their antiderivatives, one a line."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "sciml", "mathtext.fontset": "cm"}):
        figure = Figure(figsize=(6, 0.9 * len(rows)))
        for number, row in enumerate(rows):
            integrand, answer = (latex(parse(row[key])) for key in ("integrand", "answer"))
            figure.text(
                0.02, 1 - (number + 0.6) / len(rows), rf"$\int {integrand}\,dx = {answer}$",
                fontsize=13,
            )  # fmt: skip
        figure.savefig(TARGET / "integrals.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

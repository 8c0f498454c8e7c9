"""False antiderivatives, texts that were misread, differential equations: cases of our own, and
those of ../shared/cases/symbolic where that folder is at hand."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.symbolic import dsolve
from sciml.symbolic.expr import expression as ex
from sciml.symbolic.expr.latex_integral import whole_integral
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.expr.symbols import check_symbols
from sciml.symbolic.verification.checking import check


def _cases(shared: Path, first: str) -> dict[str, str]:
    file = shared / "cases" / "symbolic" / "cases.md"
    if not file.is_file():
        pytest.skip("the cases of symbolic mathematics are not beside this checkout")
    lines = [line.split(" ", 1) for line in file.read_text("utf-8").splitlines()]
    return {line[0]: line[1] for line in lines if re.fullmatch(first + r"\d\w?", line[0])}


def _pairs(text: str) -> list[tuple[str, str, list[str]]]:
    """(integrand, false antiderivative, constants) of one case."""
    out = []
    for call in re.findall(r"verify(\(.*?\))(?= verified)", text):
        tree = ast.parse("f" + call, mode="eval").body
        assert isinstance(tree, ast.Call)
        f, big = (ast.literal_eval(a) for a in tree.args[:2])
        out.append((f, big, ast.literal_eval(tree.keywords[0].value) if tree.keywords else []))
    out += [(f, big, []) for big, f in re.findall(r"([^\s;]+) for ([^\s;.]+)", text)]
    out += [(f, big, []) for f, big in re.findall(r"([^\s;]+) -> ([^\s;]+)", text)]
    return out


@pytest.mark.parametrize(
    ("f", "wrong", "constants"),
    [
        ("sqrt(a*b)*x**2", "sqrt(a)*sqrt(b)*x**3/3", ["a", "b"]),  # wrong where both are negative
        ("log(a*b*x)", "x*(log(a)+log(b)+log(x))-x", ["a", "b"]),
        ("abs(a-2000)*x", "(2000-a)*x**2/2", ["a"]),  # wrong for large constants
        ("x**3", "x**4/4+exp(-(x-250)**2)", []),  # a bump between points of a grid
        ("1", "x+tanh(10**4*(x-2/7))", []),
        ("sqrt((x+10**6)**2)", "x**2/2+10**6*x", []),  # wrong far away
        ("sign(x**4-10**(-20))", "x", []),  # wrong in a tiny window
        ("1", "x+x/10**50", []),
    ],
)
def test_our_false_antiderivatives_are_refuted(f: str, wrong: str, constants: list[str]) -> None:
    e, answer = parse(f), parse(wrong)
    check_symbols(e + answer, "x", constants)
    verdict = check(e, answer, "x", symbolic=True)
    assert not verdict.verified and verdict.refuted, verdict


def test_our_problems_without_an_answer_print_none(capsys: pytest.CaptureFixture[str]) -> None:
    for problem in ("x^x*sin(x^x)", "1/sqrt(x**5-x+3)", "x*exp(2*x)"):
        code = main(["symbolic", "integrate", problem, "--json", "--timeout", "4"])
        printed = json.loads(capsys.readouterr().out)
        assert (code == 0) == (printed["status"] in ("verified", "sampled"))
        assert (printed["answer"] is None) == (code == 1)
    assert code == 0


def test_our_integrals_in_latex_are_read_and_misread_texts_refused() -> None:
    read = whole_integral(r"\int \frac{dx}{x^2+4}")
    assert read is not None and parse(read[0]) is parse("1/(x^2 + 4)")
    assert whole_integral(r"\int \frac{\cos x\,dx}{x}. ") is not None
    for text in (r"\frac{d}{dt}\left(t^3\right)", "0x1f*x"):
        with pytest.raises(InputError):
            parse(text)


@pytest.mark.parametrize(
    ("ode", "constants"),
    [("y'' + w**2*y = 0", ["w"]), ("y' = log(y**2)", []), ("y' = sin(y)", []),
     ("y*y' = -x", []), ("y'' + k*y = a", ["k", "a"])],
)  # fmt: skip
def test_our_equations_hold_no_number_of_a_sample_point(ode: str, constants: list[str]) -> None:
    result = dsolve(ode, constants=constants, timeout=10, sympy=False)
    assert result.expression is None or result.proof
    if result.expression is not None:
        numbers = {n for n in ex.subtrees(result.expression) if not n.free}
        assert not numbers & {parse(t) for t in ("sin(1)", "log(3)", "log(7)")}


def test_false_antiderivatives_are_refuted(shared: Path) -> None:
    tried = 0
    for name, text in _cases(shared, "V").items():
        for f, big, constants in _pairs(text):
            try:
                e, answer = parse(f), parse(big)
                check_symbols(e + answer, "x", constants)
            except InputError:
                continue  # a piece of prose, or F for "the right one"
            verdict = check(e, answer, "x", symbolic=True)
            assert not verdict.verified and verdict.refuted, (name, f, big, verdict)
            tried += 1
    assert tried >= 5


def test_no_refuted_guess_is_printed(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in _cases(shared, "N").values():
        for problem in re.findall(r'integrate "([^"]+)"', text):
            code = main(["symbolic", "integrate", problem, "--json"])
            printed = json.loads(capsys.readouterr().out)
            assert (code == 0) == (printed["status"] in ("verified", "sampled"))
            assert (printed["answer"] is None) == (code == 1)


def test_integrals_in_latex_are_read(shared: Path) -> None:
    first = _cases(shared, "L")["L1"]
    (whole,) = re.findall(r'integrate\(r"([^"]+)"\)', first)
    integral = whole_integral(whole)
    assert integral is not None and parse(integral[0]) is parse("1/(x^2 + 1)")
    assert whole_integral(r"\int \frac{x\,dx}{x}. ") is not None


def test_what_was_misread_is_refused(shared: Path) -> None:
    texts = re.findall(r'integrate\(r?"([^"]+)"', _cases(shared, "L")["L2"])
    texts += re.findall(r'integrate\("([^"]+)"', _cases(shared, "P")["P1"])
    assert len(texts) == 2
    for text in texts:
        with pytest.raises(InputError):
            parse(text)


def test_differential_equations(shared: Path) -> None:
    """Every equation of the cases that can be read ends in an answer or in none; what is proved
    holds no number of a sample point."""
    for name, text in _cases(shared, "O").items():
        for ode in re.findall(r"`(?:dsolve\(\")?([^`\"]*y'[^`\"]*)", text):
            constants = [c for c in "wkmbaABLCRV" if re.search(rf"\b{c}\b", ode)]
            try:
                solution = dsolve(ode, constants=constants, timeout=6, sympy=False)
            except InputError:
                continue
            assert solution.expression is None or solution.proof, (name, ode)
            if solution.expression is not None:
                numbers = {n for n in ex.subtrees(solution.expression) if not n.free}
                assert not numbers & {parse(t) for t in ("sin(1)", "log(3)", "log(7)")}, ode

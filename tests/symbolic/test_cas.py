"""Other computer algebra systems, where they are installed: their answers hold, no file is left."""

import pytest

from sciml.symbolic import cas
from sciml.symbolic.expr.parser import parse
from sciml.symbolic.verification.checking import check

PROBLEMS = ("x*exp(x)", "1/(x^2 + 1)", "sin(x)*cos(x)")


@pytest.mark.parametrize("name", list(cas.SYSTEMS))
def test_its_antiderivatives_verify_and_it_leaves_no_files(name, tmp_path, monkeypatch):
    if name not in cas.installed():
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    for problem in PROBLEMS:
        integrand = parse(problem)
        answer = cas.SYSTEMS[name](integrand, 20.0, 60.0)
        assert answer is not None, problem
        assert check(integrand, answer, "x").agrees, problem
    assert not list(tmp_path.iterdir())


def test_a_command_that_takes_too_long_gives_nothing():
    assert cas._run(["sleep", "30"], "", 1.0, 0.2) == ""


def test_the_integrand_is_written_with_the_names_of_a_system():
    assert cas._with_names(parse("asin(x) + sin(x)"), asin="arcsin") == "arcsin(x) + sin(x)"

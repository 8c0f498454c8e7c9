"""Integrals in the file format of Lample and Charton: SymPy's, and published ones if at hand."""

import gzip
from collections.abc import Callable

import pytest

PUBLISHED = {"bwd": "prim_bwd.test.first3000.gz", "fwd": "prim_fwd.valid.gz"}


@pytest.fixture(scope="session")
def integral_rows(
    origin: str, request: pytest.FixtureRequest, fixture_file: Callable
) -> Callable[[str], list[tuple[str, str]]]:
    """Integrand and antiderivative of each line of a file, in prefix tokens."""

    def rows(kind: str) -> list[tuple[str, str]]:
        if origin == "ours":
            path = fixture_file(f"symbolic/{kind}.txt.gz")
        else:
            path = request.getfixturevalue("shared") / "data" / "symbolic" / PUBLISHED[kind]
        out = []
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            problem, answer = line.split("|")[1].split("\t")
            out.append((problem.removeprefix("sub Y' "), answer))
        return out

    return rows

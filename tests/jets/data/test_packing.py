"""Packing: numpy and compiled code agree bit for bit, and small inputs load no compiler."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.jets.data import packing, packing_kernel

VALUES = (0.0, -0.0, 1.0, -999.0, 2.5, np.nan, np.inf, -np.inf, 1e19, 1e-30)
FAULTS = (2, 4, 8)


@st.composite
def jets(draw):
    """Counts per jet, and columns of momenta from few values, so that all kinds of rows occur."""
    dense = draw(st.booleans())
    number = draw(st.integers(1, 4))
    length = draw(st.integers(1, 5))
    lengths = [length] * number if dense else draw(
        st.lists(st.integers(0, 6), min_size=number, max_size=number)
    )  # fmt: skip
    counts = np.array(lengths, np.int64)
    rows = [draw(st.sampled_from(VALUES)) for _ in range(4 * int(counts.sum()))]
    columns = np.array(rows, np.float32).reshape(4, -1)
    for row in range(columns.shape[1]):  # rows of one value: padding of all kinds
        if draw(st.booleans()):
            columns[:, row] = draw(st.sampled_from((0.0, -999.0, np.nan)))
    return counts, columns, dense


@settings(max_examples=60, deadline=None)
@given(jets())
def test_kinds_are_those_of_the_compiled_code(case):
    counts, (px, py, pz, energy), dense = case
    plain, compiled = (
        code.kinds_of(px, py, pz, energy, counts, dense) for code in (packing, packing_kernel)
    )
    assert plain.tolist() == compiled.tolist()


@settings(max_examples=60, deadline=None)
@given(jets(), st.integers(1, 7))
def test_packed_jets_are_those_of_the_compiled_code(case, limit):
    counts, momenta, _ = case
    nothing = np.zeros(0, np.float32)
    columns = [nothing] * 16
    columns[:4] = list(momenta)
    columns[7] = momenta[0] * 2
    for column in columns:
        column.flags.writeable = False
    shuffled = np.random.default_rng(0).permutation
    order = [shuffled(n) if n > limit else np.arange(n) for n in counts]
    ranks = np.concatenate(order) if (counts > limit).any() else np.zeros(0, np.int64)
    results = []
    for code in (packing, packing_kernel):
        out = np.full((int(np.minimum(counts, limit).sum()), 16), 7, np.float32)
        flags = np.zeros(len(counts), np.int64)
        code.pack(tuple(columns), counts, ranks, limit, FAULTS, out, flags)
        used = np.minimum(counts, limit)
        padded = np.full((len(counts), limit, 16), 7, np.float32)
        code.gather(out, np.cumsum(used) - used, used, padded)
        results.append((out, flags, padded))
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("many", [0, 1 << 18])
def test_the_size_chooses(monkeypatch, many):
    monkeypatch.setattr(packing, "MANY", many)
    assert (packing._compiled(1000) is packing_kernel) == (many == 0)


def test_a_small_file_is_tagged_without_compilers(tmp_path):
    """Loading numba, torch's compiler, torch_geometric or pandas costs a second each."""
    code = (
        "import sys\nfrom sciml.cli import main\nfrom sciml.jets.data.sample import shipped\n"
        f"assert main(['jets', 'tag', str(shipped('test')), '-o', {str(tmp_path / 'o.parquet')!r}])"
        " == 0\n"
        "print([n for n in ('numba', 'torch._dynamo', 'torch_geometric', 'pandas', 'sympy') if n in"
        " sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip().splitlines()[-1] == "[]", result.stdout + result.stderr

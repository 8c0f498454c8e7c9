"""Recipes at their tiny size with "auto" choosing the pretended device."""

from __future__ import annotations

import pytest

from sciml import recipes, testing
from sciml.cli import main


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", recipes.names())
def test_a_tiny_run_has_no_faults(name, tmp_path):
    with testing.PretendedDevice() as device:
        assert main(["run", name, "--tiny", "--out", str(tmp_path / "run")]) == 0
        assert device.operations > 0
        assert not device.faults

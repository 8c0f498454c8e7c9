"""Recipes at their tiny size with "auto" choosing the pretended device."""

from __future__ import annotations

import pytest

from sciml import recipes, testing
from sciml.cli import main

ON_THE_PROCESSOR = {"placement_agents"}
"""Recipes that compare CPU times, and so leave an accelerator alone."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", recipes.names())
def test_a_tiny_run_has_no_faults(name, tmp_path):
    with testing.PretendedDevice() as device:
        assert main(["run", name, "--tiny", "--out", str(tmp_path / "run")]) == 0
        assert (device.operations == 0) == (name in ON_THE_PROCESSOR)
        assert not device.faults

"""Fixtures for all tests."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real files beside the checkout; tests that use it skip without it."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("the folder ../shared with real files is not beside this checkout")
    return path


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)

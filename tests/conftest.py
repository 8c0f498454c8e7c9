"""Fixtures for all tests."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

# torch gives some of its warnings once a process; here they are errors in every test, in any order
torch.set_warn_always(True)


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


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., str]:
    """Opens a page in headless Chromium, offline; gives what the browser made of it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]

    def opened(page: Path, width: int = 1280) -> str:
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--no-first-run",
             *(f"--disable-{what}" for what in quiet), f"--user-data-dir={tmp_path / 'profile'}",
             f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom",
             page.as_uri()],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0 and "Uncaught" not in done.stderr, done.stderr[-2000:]
        return done.stdout

    return opened

"""Fixtures for all tests."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

# torch gives some of its warnings once a process; here they are errors in every test, in any order
torch.set_warn_always(True)

FIXTURES = Path(__file__).resolve().parent / "fixtures"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real files beside the checkout: further cases, skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("further cases: the folder ../shared with real files is not here")
    return SHARED


@pytest.fixture(scope="session", params=["ours", *(["shared"] if SHARED.is_dir() else [])])
def origin(request: pytest.FixtureRequest) -> str:
    """Where reference data come from: tests/fixtures always, ../shared too where it is."""
    return request.param


@pytest.fixture(scope="session")
def fixture_file() -> Callable[[str], Path]:
    """Gives the path of a file of tests/fixtures; where it is missing, CI fails, others skip."""

    def path(name: str) -> Path:
        if (FIXTURES / name).exists():
            return FIXTURES / name
        message = f"the file tests/fixtures/{name} is missing; `make fixtures` makes it"
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)

    return path


@pytest.fixture(scope="session")
def fixture_script() -> Callable[[str], ModuleType]:
    """Imports a script of tests/fixtures/make, for what it draws from seeds."""

    def module(name: str) -> ModuleType:
        path = FIXTURES / "make" / f"{name}.py"
        specification = importlib.util.spec_from_file_location(f"fixtures_{name}", path)
        assert specification is not None and specification.loader is not None
        loaded = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = loaded
        specification.loader.exec_module(loaded)
        return loaded

    return module


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

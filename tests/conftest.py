"""Fixtures for all tests."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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


Visit = Callable[..., tuple[Any, list[str]]]


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """Opens a page in headless Chromium -> its window, and what is wrong: errors and requests."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])

        def opened(path: Path, width: int = 1280, **context: Any) -> tuple[Any, list[str]]:
            window = browser.new_page(viewport={"width": width, "height": 900}, **context)
            own, faults = ("data:", "blob:", path.as_uri()), []
            window.on("pageerror", lambda e: faults.append(f"error: {e}"))
            window.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
            window.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
            window.goto(path.as_uri())
            return window, faults

        yield opened
        browser.close()

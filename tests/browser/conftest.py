"""A headless Chromium, and the miniature runs of tests/reports as the pages' input."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

REPORTS = Path(__file__).parents[1] / "reports"
NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(f"browser_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_runs, _policy = _module(REPORTS / "conftest.py"), _module(REPORTS / "policy/test_policy_page.py")
_results = _module(REPORTS.parent / "results/conftest.py")
comparison, store = _results.comparison, _results.store
folder, layout, environment, run = _runs.folder, _runs.layout, _runs.environment, _policy.run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium from PATH, with a profile of its own."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.fail(
            f"none of {', '.join(NAMES)} is on PATH; on Debian: apt-get install --no-install-recommends chromium"
        )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield chromium
        chromium.close()

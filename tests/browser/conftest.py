"""The dashboard as a new user starts it (`make app`), in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
MILLISECONDS_TO_WAIT = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        message = "no chromium on this machine: `make browser` installs it where apt-get can"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def dashboard(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `make app` prints on a machine that never ran it."""
    home = tmp_path_factory.mktemp("home")
    log = (home / "serve.log").open("w+")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TWIN_")}
    server = subprocess.Popen(
        ["make", "--no-print-directory", "app", f"PORT={port}"],
        cwd=ROOT,
        env={**environment, "TWIN_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        yield _address(server, log.name)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)
        assert server.stdout is not None
        server.stdout.close()
        log.close()


def _address(server: subprocess.Popen[str], log: str) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        found = re.search(r"http://\S+:\d+", line)
        if found:
            return found.group()
    raise AssertionError(f"make app ended without an address:\n{Path(log).read_text()}")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS_TO_WAIT)
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield instance
        instance.close()


@pytest.fixture
def page(browser: Browser, dashboard: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh visitor at 1440 x 900; a screenshot is kept under build/screenshots."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=dashboard)
    visitor = context.new_page()
    visitor.set_default_timeout(MILLISECONDS_TO_WAIT)
    yield visitor
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    visitor.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
    context.close()

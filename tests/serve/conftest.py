"""A try-out server, and a browser to look at it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from components.registry.contents import Validation
from components.registry.registry import Registry, Release
from components.shared.storage import files_of, sha256_of_directory
from tests.browser import open_browser
from tests.conftest import ROOT

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def published(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose champion is the session's model, not to be written to."""
    destination = tmp_path_factory.mktemp("published") / "registry"
    saved_model = model / "saved_model"
    release = Release(
        run_id="run-1",
        model_sha256=sha256_of_directory(saved_model),
        precision_at_1=0.9,
        validation=Validation(samples=0, largest_difference=0, latency_ms={}, size_bytes=0),
        files=files_of(saved_model),
    )
    registry = Registry.open(str(destination), "digits")
    registry.advance(registry.publish(release))
    return destination


@pytest.fixture(scope="session")
def server(published: Path) -> Iterator[str]:
    """The address of a try-out server of that registry."""
    options = ["--destination", str(published), "--port", "0", "--max-request-kib", "256"]
    with subprocess.Popen(
        [sys.executable, "-m", "components.serve", *options, "--refresh-seconds", "0.2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("Serving digits"))
            yield next(word for word in line.split() if word.startswith("http://")).rstrip("/")
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def ask(server: str) -> Ask:
    """Sends a request and returns status and content; data that is no bytes goes as JSON."""

    def send(path: str, data: object = None) -> tuple[int, dict[str, Any]]:
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(server + path, body)) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return send


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with nothing in it."""
    with open_browser(tmp_path / "profile") as opened:
        opened.driver.set_window_size(900, 800)
        yield opened.driver

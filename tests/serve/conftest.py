"""A try-out server, and a browser to look at it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium import webdriver

from tests.browser import open_browser
from tests.conftest import ROOT

Ask = Callable[..., tuple[int, dict[str, Any]]]


class Running(NamedTuple):
    """A try-out server."""

    address: str
    process: subprocess.Popen[str]
    log: Path


@contextmanager
def running(destination: Path, log: Path, *options: str) -> Iterator[Running]:
    """Starts a server of a registry and checks in the end that it has told no traceback."""
    given = ["--destination", str(destination), "--port", "0", "--refresh-seconds", "0.2", *options]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "components.serve", *given],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("Serving digits"))
            address = next(word for word in line.split() if word.startswith("http://"))
            yield Running(address.rstrip("/"), process, log)
        finally:
            process.terminate()
    assert b"Traceback" not in log.read_bytes()


@pytest.fixture(scope="session")
def running_server(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of that registry that takes requests of 256 KiB."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running(published, log, "--max-request-kib", "256", "--allowed-hosts", "digits") as server:
        yield server


@pytest.fixture(scope="session")
def server(running_server: Running) -> str:
    """Its address."""
    return running_server.address


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

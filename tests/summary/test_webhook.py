"""A webhook told over HTTP how the run ended."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from components.summary.webhook import notify


class Webhook(HTTPServer):
    """A webhook that gives the answers it is told to, the last one again and again."""

    answers: tuple[int, ...] = (200,)

    def __init__(self) -> None:
        self.received: list[dict] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/services/secret"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.received.append(json.loads(body))
        count = len(self.server.received)
        status = self.server.answers[min(count, len(self.server.answers)) - 1]
        if status:  # 0 hangs up without an answer
            self.send_response(status)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook on a free port."""
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_message_is_what_slack_takes(webhook: Webhook) -> None:
    assert notify(webhook.address, "Run succeeded") == "Told the webhook"
    assert webhook.received == [{"text": "Run succeeded"}]


@pytest.mark.parametrize("passing", [500, 503, 429, 0])
def test_a_passing_trouble_is_tried_again(webhook: Webhook, passing: int) -> None:
    webhook.answers = (passing, passing, 200)
    assert notify(webhook.address, "Run failed", pause=0.001) == "Told the webhook"
    assert len(webhook.received) == 3


def test_a_refusal_is_not(webhook: Webhook) -> None:
    webhook.answers = (403,)
    told = notify(webhook.address, "Run failed", pause=0.001)
    assert told == "warning: the webhook was not told: it answered 403"
    assert len(webhook.received) == 1


def test_trying_has_an_end(webhook: Webhook) -> None:
    webhook.answers = (500,)
    told = notify(webhook.address, "Run failed", attempts=3, pause=0.001)
    assert told.startswith("warning: ") and len(webhook.received) == 3


def test_nobody_there_is_a_warning_without_the_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/services/secret"
        told = notify(address, "Run failed", attempts=2, pause=0.001)
    assert told.startswith("warning: the webhook was not told: ") and "secret" not in told


@pytest.mark.parametrize("address", ["http://", "http://[", "no address"])
def test_no_address_at_all_is_a_warning(address: str) -> None:
    assert notify(address, "Run failed", pause=0.001).startswith("warning: ")


def test_the_pauses_are_bounded(webhook: Webhook) -> None:
    webhook.answers = (500,)
    start = time.monotonic()
    notify(webhook.address, "Run failed", attempts=4, pause=0.05)
    assert time.monotonic() - start >= 0.05 + 0.1 + 0.2

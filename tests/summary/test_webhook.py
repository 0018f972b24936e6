"""A webhook told over HTTP how the run ended."""

import contextlib
import socket
import threading
import time

import pytest

from components.summary import servers
from components.summary.servers import notify
from tests.summary.conftest import Webhook


def test_the_message_is_what_slack_takes(webhook: Webhook) -> None:
    assert notify(webhook.address, "Run succeeded") == "Told the webhook"
    assert webhook.received == [{"text": "Run succeeded"}]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses between two attempts."""
    monkeypatch.setattr(servers, "PAUSE", 0.001)


@pytest.mark.parametrize("passing", [500, 503, 429, 0])
def test_a_passing_trouble_is_tried_again(webhook: Webhook, passing: int) -> None:
    webhook.answers = (passing, passing, 200)
    assert notify(webhook.address, "Run failed") == "Told the webhook"
    assert len(webhook.received) == 3


def test_a_refusal_is_not(webhook: Webhook) -> None:
    webhook.answers = (403,)
    told = notify(webhook.address, "Run failed")
    assert told == "warning: the webhook was not told: it answered 403"
    assert len(webhook.received) == 1


def test_trying_has_an_end(webhook: Webhook) -> None:
    webhook.answers = (500,)
    told = notify(webhook.address, "Run failed")
    assert told.startswith("warning: ") and len(webhook.received) == 4


def test_nobody_there_is_a_warning_without_the_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/services/secret"
        told = notify(address, "Run failed")
    assert told.startswith("warning: the webhook was not told: ") and "secret" not in told


def test_a_drip_of_headers_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.02):
                connection.sendall(b"x")

    over = threading.Event()
    monkeypatch.setattr(servers, "LIMIT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/services/secret"
            told = notify(address, "Run failed")
        finally:
            over.set()
            thread.join()
    assert told == "warning: the webhook was not told: no whole answer within 0.3 s"


@pytest.mark.parametrize("address", ["http://", "http://[", "no address"])
def test_no_address_at_all_is_a_warning(address: str) -> None:
    assert notify(address, "Run failed").startswith("warning: ")


def test_a_pause_that_the_server_asks_for_is_bounded_too(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "LIMIT", 0.3)
    webhook.answers, webhook.headers = (503,), {"Retry-After": "3600"}
    told = notify(webhook.address, "Run failed")
    assert told == "warning: the webhook was not told: no whole answer within 0.3 s"


def test_it_waits_before_it_tries_again(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PAUSE", 0.05)
    webhook.answers = (500,)
    start = time.monotonic()
    notify(webhook.address, "Run failed")
    assert time.monotonic() - start >= 0.1 + 0.2

"""No client keeps others out, takes the memory, fills the log, or asks in another site's name."""

import gzip
import http.client
import json
import re
import socket
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.serve.conftest import Running
from tests.serve.test_app import BLANK, PREDICT

LINUX = pytest.mark.skipif(not Path("/proc").exists(), reason="reads memory from /proc")


def send(server: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


def connect(server: str) -> socket.socket:
    address = urlsplit(server)
    assert address.hostname is not None
    assert address.port is not None
    return socket.create_connection((address.hostname, address.port), timeout=30)


def resident_mib(process: subprocess.Popen[str], peak: bool = False) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"Vm{'HWM' if peak else 'RSS'}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 400),
        ("evil.example:80", 400),
        ("127.0.0.1@evil.example", 400),
        ("localhost.evil.example", 400),
        ("", 400),
        ("localhost", 200),
        ("localhost:8501", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8501", 200),
        ("digits", 200),
        ("digits:80", 200),
        (socket.gethostname(), 200),
    ],
)
def test_a_name_that_somebody_points_here_is_refused(server: str, host: str, status: int) -> None:
    assert send(server, "GET", "/v1/models/digits", Host=host)[0] == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "file://", "http://127.0.0.1:1", "http://[", "*"]
)
@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_pages_of_other_sites_get_no_answer(server: str, origin: str, kind: str) -> None:
    body = json.dumps({"instances": [BLANK]}).encode()
    headers = {"Content-Type": kind, "Origin": origin}
    status, said = send(server, "POST", PREDICT, body, **headers)
    assert (status, "another site" in said) == (403, True)
    assert send(server, "POST", PREDICT, body, **(headers | {"Origin": server}))[0] == 200


def test_more_clients_than_there_is_room_for_keep_nobody_out(running_server: Running) -> None:
    begun = []
    try:
        for _ in range(400):
            client = connect(running_server.address)
            client.sendall(b"GET / HTTP/1.1\r\nX: ")
            begun.append(client)
        assert send(running_server.address, "GET", "/v1/models/digits")[0] == 200
    finally:
        for client in begun:
            client.close()


def test_a_body_that_does_not_come_keeps_nobody_out(running_server: Running) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    begun = []
    try:
        for _ in range(300):
            client = connect(running_server.address)
            client.sendall(head.encode() + b"{")
            begun.append(client)
        body = json.dumps({"instances": [BLANK]}).encode()
        assert send(running_server.address, "POST", PREDICT, body)[0] == 200
    finally:
        for client in begun:
            client.close()


IMPATIENT = """
import sys
from components.serve import limits
limits.HEAD_SECONDS, limits.REQUEST_SECONDS, limits.BODY_SECONDS = 0.5, 3.0, 1.0
from components.serve.__main__ import main
main(sys.argv[1:])
"""


def test_a_client_that_is_slow_is_given_up(published: Path) -> None:
    command = [sys.executable, "-u", "-c", IMPATIENT, "--destination", str(published)]
    with subprocess.Popen(
        [*command, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+:\d+", process.stdout.readline())
            assert found is not None
            for begun in (b"", b"GET / HT", b"GET /v1/models/digits HTTP/1.1\r\nX: "):
                client = connect(found[0])
                client.sendall(begun)
                assert client.recv(1_000) == b""  # closed: what was sent is no request
            client = connect(found[0])
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
            client.sendall(head.encode())
            assert b" 408 " in client.recv(1_000).splitlines()[0]
        finally:
            process.terminate()


def test_who_leaves_is_not_logged(running_server: Running) -> None:
    before = running_server.log.stat().st_size
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    for begun in (head + "{", "GET / HT", "GET /v1/models/digits HTTP/1.1\r\n", "\0\r\n\r\n", head):
        for _ in range(20):
            client = connect(running_server.address)
            client.sendall(begun.encode())
            client.close()
    assert send(running_server.address, "GET", "/v1/models/digits")[0] == 200
    assert running_server.log.stat().st_size == before


def packed(server: str, body: bytes, encoding: str = "gzip") -> tuple[int, str]:
    return send(server, "POST", PREDICT, body, **{"Content-Encoding": encoding})


def test_a_packed_request_is_answered_as_one_that_is_not(server: str) -> None:
    body = json.dumps({"instances": [BLANK] * 40}).encode()  # comes in several chunks
    expected = send(server, "POST", PREDICT, body)
    assert expected[0] == 200
    for encoding in ("gzip", "GZIP", "x-gzip"):
        assert packed(server, gzip.compress(body), encoding) == expected
    assert packed(server, body, "identity") == expected


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b" " * 262_145), "gzip", 413),
        (gzip.compress(bytes(1 << 28)), "gzip", 413),  # 256 MiB out of 256 KiB
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (gzip.compress(b"{}") + b"{}", "gzip", 400),
        (gzip.compress(b"{}") * 2, "gzip", 400),
        (b'{"instances": []}', "gzip", 400),
        (b"", "gzip", 400),
        (zlib.compress(b"{}"), "deflate", 415),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
    ids=["too large", "bomb", "cut", "more", "two", "plain", "empty", "deflate", "br", "twice"],
)
def test_what_cannot_be_unpacked_is_refused(
    running_server: Running, body: bytes, encoding: str, status: int
) -> None:
    before = resident_mib(running_server.process)
    found, answer = packed(running_server.address, body, encoding)
    assert (found, list(json.loads(answer))) == (status, ["error"])
    assert resident_mib(running_server.process) < before + 20


def fill(part: bytes, start: bytes = b'{"instances": [', end: bytes = b"]}") -> bytes:
    """Makes a body of nearly 256 KiB."""
    return start + b",".join([part] * ((250_000 - len(start)) // (len(part) + 1))) + end


@LINUX
@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [["' + b"a" * 150_000 + b'"' + b",1" * 600 + b"]]}",
        fill(b"[]"),
        fill(b"{}"),
        fill(b'{"a":{}}'),
        fill(b'"\\u1234"'),
        fill(b"1e9"),
        fill(json.dumps([[0] * 28] * 28).encode()),
        fill(b'{"b64":""}', end=b'], "signature_name": "examples"}'),
    ],
    ids=["long string", "lists", "objects", "nested", "strings", "floats", "images", "examples"],
)
def test_memory_stays_within_some_times_the_request(running_server: Running, body: bytes) -> None:
    send(running_server.address, "POST", PREDICT, body)  # what stays after the first one is cached
    before = resident_mib(running_server.process)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(send, running_server.address, "POST", PREDICT, body) for _ in range(12)
        ]
    assert {answer.result()[0] for answer in asked} <= {200, 400}
    assert resident_mib(running_server.process) < before + 60


def test_a_port_in_use_is_told_in_one_line(running_server: Running, published: Path) -> None:
    port = str(urlsplit(running_server.address).port)
    options = ["--destination", str(published), "--port", port]
    process = subprocess.run(
        [sys.executable, "-m", "components.serve", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr == (
        f"error: 127.0.0.1:{port}: Address already in use; stop what listens there, or name "
        "another --port\n"
    )


def test_a_port_of_a_server_that_is_still_loading_is_in_use(published: Path) -> None:
    from components.serve.server import _listen
    from components.shared.errors import StepError

    with _listen("127.0.0.1", 0) as loading, pytest.raises(StepError, match="already in use"):
        _listen("127.0.0.1", loading.getsockname()[1])


@pytest.mark.parametrize("host", ["no such host", "é" * 70, "256.1.1.1", "::g", "192.0.2.1"])
def test_a_host_that_is_none_is_told_in_one_line(host: str) -> None:
    from components.serve.server import _listen
    from components.shared.errors import StepError

    with pytest.raises(StepError, match="name another --host"):
        _listen(host, 0)

"""Downloads over real connections, to a server that breaks them."""

import contextlib
import errno
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.sources import files
from components.sources.web import ATTEMPTS, Download
from tests.conftest import TEST, TRAIN, VALIDATION
from tests.idx_files import write_source
from tests.ingest.conftest import MakeBucket, digits, write_parquet


@dataclass
class Server:
    """Serves a directory, and does what it is told to go wrong."""

    directory: Path
    address: str = ""
    served: Path | None = None  # whatever is asked for
    break_after: int = 0  # bytes of a body after which the connection is cut; 0: never
    failures: int = 0  # requests to answer with status
    status: int = 503
    ranges: bool = True  # whether it can start in the middle
    headers: dict[str, str | None] = field(default_factory=dict)  # instead of its own
    methods: tuple[str, ...] = ("HEAD", "GET")  # others are not allowed
    missing: int = 404  # what it answers for what is not there
    pause: float = 0  # seconds before each byte
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range

    def gets(self, ending: str) -> list[str]:
        """The ranges that were asked of a file."""
        return [
            span
            for method, path, span in self.requests
            if (method, path[-len(ending) :])
            == (
                "GET",
                ending,
            )
        ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    state = Server(tmp_path / "served")
    state.directory.mkdir()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            span = self.headers.get("Range", "")
            state.requests.append((self.command, self.path, span))
            path = state.served or state.directory / self.path.lstrip("/").partition("?")[0]
            if state.failures:
                state.failures -= 1
                return self._send(state.status, b"", {}, body)
            if self.command not in state.methods:
                return self._send(405, b"", {}, body)
            if not path.is_file():
                return self._send(state.missing, b"", {}, body)
            content = path.read_bytes()
            headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
            if span and state.ranges:
                start = int(span.removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                return self._send(206, content[start:], headers, body)
            return self._send(200, content, headers, body)

        def _send(self, status: int, content: bytes, headers: dict, body: bool) -> None:
            self.send_response(status)
            headers = {"Content-Length": str(len(content)), **headers}
            for name, value in (headers | (state.headers if status < 400 else {})).items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            if not body:
                return
            with contextlib.suppress(ConnectionError):
                for byte in content if state.pause else b"":
                    time.sleep(state.pause)
                    self.wfile.write(bytes([byte]))
            if state.pause:
                return
            cut = state.break_after and len(content) > state.break_after
            self.wfile.write(content[: state.break_after] if cut else content)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(str(tmp_path / "cache"), wait=0.001)


CONTENT = np.random.default_rng(0).bytes(1_000_000)


def test_a_file_is_fetched_once(server: Server, download: Download) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    for _ in range(2):
        path = download(f"{server.address}/file")
        assert path is not None
        assert path.read_bytes() == CONTENT
    assert server.gets("file") == [""]


def test_a_changed_file_is_fetched_again(server: Server, download: Download) -> None:
    for content in (CONTENT, CONTENT[::-1]):
        (server.directory / "file").write_bytes(content)
        path = download(f"{server.address}/file")
        assert path is not None
        assert path.read_bytes() == content


def test_a_broken_connection_is_gone_on_from(server: Server, download: Download) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.break_after = 300_000
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert server.gets("file") == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_another_run_goes_on_where_one_gave_up(server: Server, download: Download) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.break_after = 300_000
    server.ranges = False
    with pytest.raises(StepError, match="run again to go on from there"):
        download(f"{server.address}/file")
    server.break_after, server.ranges = 0, True
    server.requests.clear()
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert server.gets("file") == ["bytes=300000-"]


def test_a_server_without_ranges_is_asked_for_the_whole(server: Server, download: Download) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.break_after, server.ranges = 300_000, False
    with pytest.raises(StepError):
        download(f"{server.address}/file")
    server.break_after = 0
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_passes_is_waited_out(status: int, server: Server, download: Download) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.status, server.failures = status, ATTEMPTS - 1
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_trouble_that_stays_is_one_line_after_bounded_attempts(
    server: Server, download: Download
) -> None:
    server.failures = 1_000
    with pytest.raises(
        StepError, match=r"answers 503 Service Unavailable; gave up after 5 attempt"
    ):
        download(f"{server.address}/file")
    assert len(server.requests) == ATTEMPTS


def test_a_refusal_is_one_line_at_once(server: Server, download: Download) -> None:
    server.status, server.failures = 401, 1_000
    with pytest.raises(StepError, match=r"file: the server answers 401 Unauthorized"):
        download(f"{server.address}/file")
    assert len(server.requests) == 2  # HEAD, and GET in case that is the trouble


def test_what_is_forbidden_is_taken_as_not_there(
    server: Server, download: Download, capsys: pytest.CaptureFixture[str]
) -> None:
    server.missing = 403
    assert download(f"{server.address}/file?sig=hunter2") is None
    told = f"{server.address}/file?…: the server answers 403, taken as not there\n"
    assert capsys.readouterr().out == told


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_an_address_that_takes_only_get_is_read(
    status: int, server: Server, download: Download
) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.status, server.failures = status, 1  # of HEAD
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["abc", "-1", "", "1e9", "²", None])
def test_a_length_that_is_none_does_not_matter(
    length: str | None, server: Server, download: Download
) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.headers = {"Content-Length": length and length.encode().decode("latin-1")}
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_a_stream_without_an_end_has_a_bound(
    server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.headers = {"Content-Length": None}
    monkeypatch.setattr("components.sources.web.LARGEST", 500_000)
    with pytest.raises(StepError, match=r"file: more than 500000 bytes"):
        download(f"{server.address}/file")


def test_a_drip_is_no_download(
    server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.pause = 0.01
    monkeypatch.setattr("components.sources.web.WINDOW", 0.1)
    with pytest.raises(StepError, match=r"file: \d+ bytes in 0 seconds; gave up after 5 attempts"):
        download(f"{server.address}/file")


@pytest.mark.parametrize("whole", ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 302 Found\r\nLocation: /\r\n"])
def test_a_drip_of_headers_is_no_answer(whole: str, download: Download) -> None:
    # Each byte in time, and no end: of a header, or of a redirect's body.
    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(f"{whole}Content-Length: 99999\r\n{end}".encode())
            while not over.wait(0.02):
                connection.sendall(b"x")

    over, end = threading.Event(), "\r\n" if "Location" in whole else "X-Long: "
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/file"
        try:
            with pytest.raises(StepError, match=r"file: no whole answer within 0.6 seconds"):
                download.has(address, timedelta(seconds=0.3))
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    "span", ["bytes 0-699999/1000000", "bytes 1-2/1000000", "bytes */1000000", "lines 1-2", None]
)
def test_another_range_than_asked_for_is_not_taken(
    span: str | None, server: Server, download: Download
) -> None:
    (server.directory / "file").write_bytes(CONTENT)
    server.break_after = 300_000
    server.ranges = False
    with pytest.raises(StepError):
        download(f"{server.address}/file")
    server.break_after, server.ranges = 0, True
    server.headers = {"Content-Range": span}
    path = download(f"{server.address}/file")
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_a_full_disk_is_not_the_servers_fault(
    server: Server, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.directory / "file").write_bytes(CONTENT)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "cache")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError) as caught:
        download(f"{server.address}/file")
    assert caught.value.errno == errno.ENOSPC
    assert len(server.gets("file")) <= 1


def test_a_cache_that_cannot_be_is_told_before_anything_is_asked(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(OSError):
        Download(str(tmp_path / "cache"))(f"{server.address}/file")
    assert not server.requests


@pytest.mark.parametrize("name", ["version.json", ".lock", ".partial", "", "..", "x?y=z", "ä b"])
def test_no_name_is_taken_for_the_caches_own(name: str, server: Server, download: Download) -> None:
    (server.directory / "served").write_bytes(CONTENT)
    server.served = server.directory / "served"
    path = download(f"{server.address}/{name}")
    assert path is not None and path.is_file()
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(download.directory)


def test_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StepError, match="no home directory for downloaded files; name --cache"):
        Download("")("https://localhost/file")


def test_no_such_file_is_none(server: Server, download: Download) -> None:
    assert download(f"{server.address}/file") is None


def test_no_server_is_one_line(download: Download) -> None:
    with pytest.raises(StepError, match="gave up after 5 attempts") as caught:
        download("http://127.0.0.1:9/file")
    assert "\n" not in str(caught.value)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ingestion waits for no other attempt."""
    monkeypatch.setattr(files, "Download", lambda cache: Download(cache, wait=0.001))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_on_the_web_are_a_source(packed: bool, server: Server, tmp_path: Path) -> None:
    train, test = digits(40), digits(20, seed=1)
    write_source(server.directory, train, test, packed)
    server.break_after = 10_000
    source, cache = f"{server.address}/", str(tmp_path / "cache")
    config = Ingest(source=source, validation_size=10, cache=cache)
    there = ingest(config, tmp_path / "there")
    here = ingest(Ingest(source=str(server.directory), validation_size=10), tmp_path / "here")
    assert there.fingerprint == here.fingerprint
    assert there.source_fingerprint == here.source_fingerprint


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "a"])
def test_a_file_on_the_web_is_a_source(name: str, server: Server, tmp_path: Path) -> None:
    images, labels = digits(120)
    if name == "a.parquet":
        write_parquet(server.directory / name, images, labels, "png")
    else:
        with (server.directory / name).open("wb") as file:
            np.savez(file, x=images, y=labels)
    config = Ingest(source=f"{server.address}/{name}", cache=str(tmp_path / "cache"))
    there = ingest(config, tmp_path / "there")
    here = ingest(Ingest(source=str(server.directory / name)), tmp_path / "here")
    assert there.fingerprint == here.fingerprint
    assert there.source_fingerprint == here.source_fingerprint


@pytest.mark.usefixtures("quick")
def test_a_damaged_file_on_the_web_is_one_line(server: Server, tmp_path: Path) -> None:
    write_source(server.directory, digits(40), digits(20), packed=True)
    path = server.directory / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    config = Ingest(source=server.address, validation_size=10, cache=str(tmp_path / "cache"))
    with pytest.raises(StepError, match=r"http://.*/t10k-images-idx3-ubyte\.gz: damaged gzip"):
        ingest(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _upload(directory: Path, address: str) -> None:
    from components.sources.filesystem import open_directory, write

    bucket = open_directory(address)
    for path in directory.rglob("*"):
        if path.is_file():
            write(bucket, str(path.relative_to(directory)), path.read_bytes())


def test_idx_files_in_a_bucket_are_a_source(
    make_bucket: MakeBucket, small_source: Path, examples: Path, tmp_path: Path
) -> None:
    from components.shared.manifests import Dataset

    bucket = make_bucket("digits")
    _upload(small_source, f"{bucket}/mnist")
    config = Ingest(
        source=f"{bucket}/mnist",
        validation_size=VALIDATION,
        shard_size=1_000,
        cache=str(tmp_path / "cache"),
    )
    dataset = ingest(config, tmp_path / "out")
    assert dataset.metrics["read"] == TRAIN + VALIDATION + TEST
    assert dataset.fingerprint == Dataset.read(examples).fingerprint


def test_parquet_in_a_bucket_is_a_source_and_a_bucket_an_output(
    make_bucket: MakeBucket, tmp_path: Path
) -> None:
    from components.shared.manifests import Dataset
    from components.sources.filesystem import open_directory, read

    bucket = make_bucket("digits")
    for day in (1, 2, 3):
        path = tmp_path / "local" / f"2026-11-0{day}" / "a.parquet"
        write_parquet(path, *digits(40 * day, seed=day), "png")
    _upload(tmp_path / "local", f"{bucket}/raw")
    local = f"{tmp_path}/local/{{date}}/*.parquet"
    config = Ingest(source=local, span=2, until="2026-11-03", shard_size=50)
    here = ingest(config, tmp_path / "out")
    config = replace(config, source=f"{bucket}/raw/{{date}}/*.parquet")
    for _ in range(2):  # the second run replaces what the first wrote
        there = ingest(config, f"{bucket}/datasets/one")
        assert there.fingerprint == here.fingerprint
    written = open_directory(f"{bucket}/datasets/one")
    assert Dataset.parse(read(written, "dataset.json"), "dataset.json") == there
    for split in here.splits.values():
        for shard in split.shards:
            assert read(written, shard.file) == (tmp_path / "out" / shard.file).read_bytes()


def test_a_failed_run_leaves_no_dataset_in_a_bucket(make_bucket: MakeBucket) -> None:
    from components.sources.filesystem import open_directory, write

    bucket = make_bucket("digits")
    with pytest.raises(StepError, match="nowhere: not found"):
        ingest(Ingest(source="nowhere"), f"{bucket}/datasets/one")
    written = open_directory(bucket)
    assert not written.get_file_info("datasets/one/dataset.json").is_file
    write(written, "letters/one.txt", b"Dear")
    with pytest.raises(StepError, match=r"holds files but no dataset\.json"):
        ingest(Ingest(source="fake://100"), f"{bucket}/letters")


def test_a_missing_bucket_is_one_line(make_bucket: MakeBucket, tmp_path: Path) -> None:
    missing = make_bucket("digits").replace("digits", "nowhere") + "/*.parquet"
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=missing), tmp_path / "out")
    assert str(caught.value).startswith(f"{missing}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("secret", ["user:hunter2@", "?sig=hunter2"])
def test_no_secret_of_an_address_is_written(
    server: Server, tmp_path: Path, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_source(server.directory, digits(120, 1), digits(30, 2))
    user, query = ("", secret) if secret.startswith("?") else (secret, "")
    address = server.address.replace("://", f"://{user}") + query
    cache, output = tmp_path / "cache", tmp_path / "examples"
    ingest(Ingest(source=address, validation_size=20, cache=str(cache)), output)
    for path in tmp_path.rglob("*"):
        assert "hunter2" not in path.name
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err
    assert all(secret in path for _, path, _ in server.requests if query)

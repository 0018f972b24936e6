"""What the tests of ingest share."""

import hashlib
import io
import pickle
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from components.config import Ingest
from components.shared.storage import files_of
from components.sources.filesystem import open_directory
from components.sources.images import Records, join
from components.sources.open_source import open_source
from components.sources.source import Source, record_location
from tests.registry import fake_gcs, s3_server

Array = npt.NDArray[np.uint8]
Serve = Callable[..., int]
MakeBucket = Callable[[str], str]  # by name, and returns its address


def dataset_digest(output: Path) -> str:
    """Of a dataset's files; statistics.html, which says when it was made, only has to be there."""
    digest = hashlib.sha256()
    for name, path in files_of(output).items():
        digest.update(name.encode() + (b"" if name == "statistics.html" else path.read_bytes()))
    return digest.hexdigest()


def digits(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Images uint8 ``[count, 28, 28]``, all different, and labels uint8 ``[count]``."""
    generator = np.random.default_rng(seed)
    images = generator.integers(256, size=(count, 28, 28), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def png(image: Array, mode: str = "L") -> bytes:
    """An image as a PNG file."""
    packed = io.BytesIO()
    Image.fromarray(image).convert(mode).save(packed, "PNG")
    return packed.getvalue()


def write_parquet(path: Path, images: Array, labels: Array, layout: str, rows: int = 100) -> None:
    """Writes digits in one of the layouts, in row groups of some rows."""
    flat = images.reshape(len(images), int(np.prod(images.shape[1:])))
    column: pa.Array
    if layout == "png":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        column = pa.array([{"bytes": png(image), "path": None} for image in images], kind)
    elif layout == "binary":
        column = pa.array([row.tobytes() for row in flat], pa.binary(flat.shape[1]))
    else:
        column = pa.array(flat.tolist(), pa.list_(pa.uint8()))
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": column, "label": pa.array(labels.tolist(), pa.int64())})
    pq.write_table(table, path, row_group_size=rows)


def fuzz(test: Callable) -> Callable:
    """Has hypothesis draw FUZZ inputs for a test of files, which are written over one another."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return pytest.mark.fuzz(settings(suppress_health_check=checks)(test))


def read_all(config: Ingest, directory: Path, labelled: bool = True) -> tuple[Source, Records]:
    """Opens a source and reads all of it, range by range; positions are those in the ranges."""
    work = directory / "work"
    work.mkdir(exist_ok=True)
    source = open_source(config, open_directory(str(work)), labelled)
    source = pickle.loads(pickle.dumps(source))  # as it comes to workers
    read = []
    for part in source.ranges(min(config.shard_size, 1_000)):
        records = source.read(part)
        assert len(records.images) + len(records.unreadable) == part.stop - part.start
        assert records.images.shape[1:] == source.image_shape
        for record in records.unreadable:
            assert record_location(source.location(part), part, record.position)
        read.append(records)
    return source, join(read)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server on a free port, waits until it listens, and ends it after the test."""
    started: list[subprocess.Popen] = []

    def start(*command: object, seconds: float = 60) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        arguments = [str(part).format(port=port) for part in command]
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                return port
            except OSError:
                assert process.poll() is None, f"{arguments[0]} ended with {process.returncode}"
                assert time.monotonic() < deadline, f"{arguments[0]} does not listen"
                # Not a wait for an event: a refused connection returns at once.
                time.sleep(0.05)

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["gs", "s3"])
def make_bucket(request: pytest.FixtureRequest) -> MakeBucket:
    """Makes a bucket of a name, on a server of each kind, and returns its address."""
    make: MakeBucket = request.getfixturevalue(f"make_{request.param}_bucket")
    return make


@pytest.fixture
def make_s3_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeBucket]:
    """Runs a server behind s3://."""
    (tmp_path / "s3").mkdir()
    with s3_server.s3_server(tmp_path / "s3") as address:
        for name, value in s3_server.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)

        def make(bucket: str) -> str:
            s3_server.make_bucket(address, bucket)
            return f"s3://{bucket}"

        yield make


@pytest.fixture
def make_gs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBucket]:
    """Runs a server that speaks Google Cloud Storage, behind gs://."""
    with fake_gcs.gcs_server() as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)

        def make(bucket: str) -> str:
            fake_gcs.make_bucket(address, bucket)
            return f"gs://{bucket}"

        yield make

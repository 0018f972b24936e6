"""A source that is not there is told before anything is made of it."""

import socket
import sys
from pathlib import Path

import pytest

from components.config import Ingest
from components.shared.errors import StepError
from components.sources.files import check_exists
from components.sources.filesystem import open_filesystem, write
from tests.idx_files import write_source
from tests.ingest.conftest import MakeBucket, Serve, digits, read_all


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a comma in its name, and IDX files."""
    directory = tmp_path / "a,b"
    directory.mkdir()
    write_source(directory, digits(4), digits(2, 1))
    return directory


@pytest.mark.parametrize("below", ["", "train-images-idx3-ubyte"])
def test_what_lies_on_disk_is_there(directory: Path, below: str) -> None:
    check_exists(f"{directory}/{below}".rstrip("/"))


def test_several_are_there_where_each_is(tmp_path: Path) -> None:
    check_exists(f"{tmp_path}, {tmp_path}/*.csv, {tmp_path}/{{date}}/*.png")
    with pytest.raises(StepError, match=f"^{tmp_path}/missing: not found, expected "):
        check_exists(f"{tmp_path},{tmp_path}/missing")


@pytest.mark.parametrize("below", ["missing", "missing/*.png", "missing/{date}"])
def test_what_does_not_lie_on_disk_is_not(tmp_path: Path, below: str) -> None:
    with pytest.raises(StepError, match=r"missing.*: not found, expected "):
        check_exists(f"{tmp_path}/{below}")


def test_what_is_made_up_needs_a_number() -> None:
    check_exists("fake://100?classes=3")
    with pytest.raises(StepError, match="as in fake://70000"):
        check_exists("fake://many")


def test_a_scheme_that_nobody_reads() -> None:
    with pytest.raises(StepError, match=r"^ftp://bucket: expected a path, or .*gs://"):
        check_exists("ftp://bucket")


def test_on_the_web_a_file_or_a_directory_of_idx_files_is_there(
    directory: Path, serve: Serve
) -> None:
    (directory / "empty").mkdir()
    command = ("-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", directory)
    web = f"http://127.0.0.1:{serve(sys.executable, *command)}"
    check_exists(web)
    check_exists(f"{web}/t10k-images-idx3-ubyte")
    with pytest.raises(StepError, match=f"^{web}/missing.npz: not found, expected "):
        check_exists(f"{web}/missing.npz")


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}/mnist"
        with pytest.raises(StepError, match=r"refused.*; see that the server is there"):
            check_exists(address)


def test_in_a_bucket(make_bucket: MakeBucket) -> None:
    bucket = make_bucket("digits")
    filesystem, path = open_filesystem(f"{bucket}/some/a.csv")
    write(filesystem, path, b"label\n")
    for there in ("", "/some", "/some/", "/some/a.csv", "/some/*.csv", "/some/{date}"):
        check_exists(f"{bucket}{there}")
    nobodys = bucket.replace("digits", "nobodys")
    for missing in (f"{nobodys}/some", f"{bucket}/missing", f"{bucket}/missing/*.csv"):
        with pytest.raises(StepError, match=f"^{missing.replace('*', '.')}: not found"):
            check_exists(missing)


def test_what_s3_refuses_says_what_to_set(
    make_s3_bucket: MakeBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = f"{make_s3_bucket('digits')}/some"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(StepError, match=r"some: S3 answers ACCESS_DENIED.*AWS_SECRET_ACCESS_KEY"):
        check_exists(source)
    with pytest.raises(StepError, match=r"some: S3 answers ACCESS_DENIED") as caught:
        read_all(Ingest(source=source), tmp_path)
    assert "hunter2" not in str(caught.value)
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(StepError, match=r"NETWORK_CONNECTION.*see that AWS_ENDPOINT_URL"):
            check_exists(source)


@pytest.mark.parametrize("web_first", [True, False])
def test_a_list_may_hold_paths_and_addresses(
    web_first: bool, directory: Path, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "web").mkdir()
    for file in directory.glob("t10k-*"):
        file.rename(tmp_path / "web" / file.name)
    command = ("-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", tmp_path)
    web = f"http://127.0.0.1:{serve(sys.executable, *command)}/web"
    directory = directory.rename(tmp_path / "disk")
    parts = [
        f"{directory}/train-*",
        f"{web}/t10k-images-idx3-ubyte",
        f"{web}/t10k-labels-idx1-ubyte",
    ]
    source = ",".join(parts[::-1] if web_first else parts)
    check_exists(source)
    config = Ingest(source=source, validation_size=1, cache=str(tmp_path / "cache"))
    opened, records = read_all(config, tmp_path)
    assert [part.split for part in opened.ranges(10)] == ["validation", "train", "test"]
    assert len(records.images) == 6


def test_every_address_of_a_list_is_one_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"^ftp://bucket: expected a path, or .*gs://"):
        read_all(Ingest(source=f"{tmp_path},ftp://bucket"), tmp_path)

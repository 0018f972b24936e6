"""A store that does not keep what a registry needs is found out, by each promise that it breaks."""

import json
from collections.abc import Callable

import pytest
from pyarrow import fs

from components.registry.bucket_storage import Bucket, BucketStorage
from components.registry.check import check_store
from components.registry.gcs_bucket import GcsBucket
from components.registry.local_storage import LocalStorage
from components.registry.s3_bucket import S3Bucket
from components.registry.storage import StoredFile
from components.shared.errors import StepError
from components.sources.filesystem import open_filesystem
from tests.conftest import Command

IN_BUCKET = pytest.mark.parametrize("destination", ["gs", "s3"], indirect=True)
LISTED, CREATED, SWAPPED, REMOVED, WRITERS = range(5)


def broken(destination: str) -> list[int]:
    return [place for place, found in enumerate(check_store(destination)) if found.problem]


def test_the_stores_of_these_tests_keep_every_promise(destination: str) -> None:
    assert broken(destination) == []


def test_nothing_of_a_check_is_left(destination: str) -> None:
    check_store(destination)
    filesystem, path = open_filesystem(destination)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    assert [info.path for info in found if info.is_file] == []


def unconditional(write: Callable) -> Callable:
    """Makes a bucket's write one that takes a condition and passes over it."""

    def ignore(bucket: Bucket, name: str, data: bytes, generation: str) -> None:
        found = bucket.get(name)
        write(bucket, name, data, found.generation if found else "0")

    return ignore


@IN_BUCKET
def test_a_bucket_that_passes_over_conditions_is_found_out(
    destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (GcsBucket, S3Bucket):
        monkeypatch.setattr(kind, "write", unconditional(kind.write))
    assert {CREATED, SWAPPED, REMOVED} <= set(broken(destination))


@IN_BUCKET
def test_a_bucket_that_does_not_delete_is_found_out(
    destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BucketStorage, "_mark_removed", lambda *_: False)
    assert broken(destination) == [REMOVED]


@IN_BUCKET
def test_a_bucket_whose_list_lags_is_found_out(
    destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BucketStorage, "versions", lambda _: [])
    assert broken(destination) == [LISTED]


@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_a_file_system_without_locks_is_found_out(
    destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    assert REMOVED in broken(destination)


@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_a_file_system_that_shows_old_content_is_found_out(
    destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: dict[str, StoredFile] = {}
    read = LocalStorage.read

    def cached(storage: LocalStorage, name: str) -> StoredFile:
        found = read(storage, name)
        return first.setdefault(name, found) if found.data else found

    monkeypatch.setattr(LocalStorage, "read", cached)
    assert SWAPPED in broken(destination)


def test_a_store_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(StepError, match=r"^/sys/registry.*(permitted|denied)"):
        check_store("/sys/registry")


def test_the_command_says_what_holds(destination: str, command: Command) -> None:
    where = ("--destination", destination)
    found = json.loads(command("components.registry", "check", *where, "--json").stdout)
    assert len(found) == 5 and all(each["problem"] == "" for each in found)
    assert command("components.registry", "check", *where).stdout.count("holds") == 5

"""Nothing is removed on the strength of an earlier look, and a removal that fails blocks nothing.

The second actor of each race steps in where it hurts most: just before the deletion.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.registry import local_storage
from components.registry.bucket_storage import ABSENT, BucketStorage, RetryingBucket
from components.registry.local_storage import LocalStorage
from components.registry.registry import Registry, Release
from components.registry.state import Claim
from components.shared.errors import StepError
from tests.conftest import ROOT
from tests.registry.conftest import MAKES_VISIBLE, MakeRelease, assert_sound

ON_DISK = pytest.mark.parametrize("destination", ["directory"], indirect=True)
IN_BUCKET = pytest.mark.parametrize("destination", ["gs", "s3"], indirect=True)


@pytest.fixture
def filled(registry: Registry, make_release: MakeRelease) -> Registry:
    """Three versions, the last of them champion."""
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    return registry


def killed_before(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: Callable[[], object]
) -> None:
    """Makes a call that is killed where it would call a method."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(KeyboardInterrupt):
            call()


def once_before(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, act: Callable[[], object]
) -> None:
    """Has something happen just before the next call of a method."""
    method = getattr(owner, name)

    def stepped_in(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(owner, name, method)
        act()
        return method(*arguments, **named)

    monkeypatch.setattr(owner, name, stepped_in)


def killed_push(registry: Registry, release: Release, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Leaves behind what a push does that is killed just before it becomes visible."""
    owner, method = MAKES_VISIBLE[type(registry.storage)]
    with monkeypatch.context() as patch:  # a kill clears nothing up
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        killed_before(patch, owner, method, lambda: registry.publish(release))
    return sorted(registry.storage.leftovers())


def test_a_leftover_that_a_retry_published_since_stays(
    filled: Registry,
    destination: str,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert killed_push(filled, make_release("d"), monkeypatch)
    versions, leftovers = filled.removable(keep=5, grace=0)
    assert leftovers
    version = Registry.open(destination, "digits").publish(make_release("d"))
    assert filled.advance(version).version == 4
    _, cleared = filled.remove(versions, leftovers)
    assert "4" not in cleared
    assert assert_sound(filled) == 4


@IN_BUCKET
@pytest.mark.parametrize(
    ("moment", "number"),
    [("bucket.list", 4), ("_mark_removed", 4), ("_clear", 5)],
    ids=["before the look", "before the removal is decided", "before the deletion"],
)
def test_a_retry_in_the_moment_of_deletion_ends_whole(
    filled: Registry,
    destination: str,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    number: int,
) -> None:
    leftovers = killed_push(filled, make_release("d"), monkeypatch)
    assert leftovers == [".staging/4", "4"]

    def retry() -> None:
        other = Registry.open(destination, "digits")
        assert other.advance(other.publish(make_release("d"))).version == number

    assert isinstance(filled.storage, BucketStorage)
    owner: type = BucketStorage
    if moment.startswith("bucket."):
        assert isinstance(filled.storage.bucket, RetryingBucket)
        owner = type(filled.storage.bucket.bucket)
    once_before(monkeypatch, owner, moment.removeprefix("bucket."), retry)
    filled.remove([], ["4", ".staging/4"])
    assert filled.versions() == [1, 2, 3, number]
    assert assert_sound(filled) == number


@IN_BUCKET
def test_a_push_whose_files_are_removed_before_it_shows_them_takes_another_number(
    filled: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    once_before(
        monkeypatch,
        BucketStorage,
        "_make_visible",
        lambda: filled.remove([], sorted(filled.storage.leftovers())),  # with no grace at all
    )
    assert filled.publish(make_release("d")) == filled.publish(make_release("d")) == 5
    assert filled.versions() == [1, 2, 3, 5]
    assert assert_sound(filled) == 3
    filled.remove([], sorted(filled.storage.leftovers()))  # what the push wrote to the first number
    assert filled.storage.leftovers() == {}


@ON_DISK
def test_a_staged_directory_cleared_away_under_a_push_shows_nothing(
    filled: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cleared(directory: Path) -> None:
        filled.remove([], sorted(filled.storage.leftovers()))

    with monkeypatch.context() as patch:
        patch.setattr(local_storage, "fsync_tree", cleared)
        with pytest.raises(StepError, match="No such file"):
            filled.publish(make_release("d"))
    assert filled.versions() == [1, 2, 3]
    assert filled.publish(make_release("d")) == 4
    assert assert_sound(filled) == 3


def test_what_is_written_to_again_is_no_leftover_any_more(
    filled: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers = killed_push(filled, make_release("d"), monkeypatch)
    assert filled.remove([], leftovers, grace=60) == ([], [])
    assert sorted(filled.storage.leftovers()) == leftovers
    assert filled.remove([], leftovers) == ([], leftovers)
    assert filled.storage.leftovers() == {}


def test_a_version_promoted_in_the_moment_of_its_removal_stays(
    filled: Registry, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(filled.storage)
    once_before(
        monkeypatch, kind, "remove", lambda: Registry.open(destination, "digits").promote(1)
    )
    assert filled.remove([1, 2], []) == ([2], [])
    assert assert_sound(filled) == 1


@IN_BUCKET
def test_a_promotion_between_the_look_for_the_champion_and_the_deletion_wins(
    filled: Registry, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once_before(
        monkeypatch,
        BucketStorage,
        "_mark_removed",
        lambda: Registry.open(destination, "digits").promote(1),
    )
    assert filled.remove([1], []) == ([], [])
    assert assert_sound(filled) == 1


def test_a_removal_between_the_promotion_and_its_hold_is_noticed(
    filled: Registry, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(filled.storage)
    # What a remover does that looked for the champion before the promotion.
    once_before(monkeypatch, kind, "hold", lambda: filled.storage.remove(1, lambda: True))
    with pytest.raises(StepError, match="1: was removed meanwhile; the champion is 3"):
        Registry.open(destination, "digits").promote(1)
    assert assert_sound(filled) == 3


def test_a_prune_that_fails_leaves_what_is_there_in_use_and_says_so(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(filled.storage)
    remove = kind.remove

    def fail(storage: Any, version: int, unneeded: Callable[[], bool]) -> bool:
        if version == 2:
            raise StepError("2: Invalid cross-device link; mend that and try again")
        return remove(storage, version, unneeded)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove", fail)
        with pytest.raises(StepError, match=r"2: Invalid .*\(removed before that: 1\)$"):
            filled.remove([1, 2], [])
    assert filled.versions() == [2, 3]
    assert filled.promote(2).version == assert_sound(filled) == 2


@ON_DISK
def test_a_disk_that_refuses_a_removal_is_told_truly(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(StepError, match=r"cross-device link; mend .*before that: nothing"):
            filled.remove([1], [])
    assert filled.promote(1).version == 1


def test_a_prune_killed_after_a_removal_keeps_no_number_from_use(
    filled: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(monkeypatch, Registry, "_drop_claims", lambda: filled.remove([1], []))
    version = filled.publish(make_release("a"))
    assert filled.promote(version).version == assert_sound(filled) == version


@ON_DISK
def test_a_removal_killed_once_it_marked_the_number_leaves_a_version(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(monkeypatch, Path, "rename", lambda: filled.remove([1], []))
    assert filled.versions() == [1, 2, 3]
    assert filled.promote(1).version == assert_sound(filled) == 1
    filled.promote(3)
    assert filled.remove([1], []) == ([1], [])
    assert filled.versions() == [2, 3]


def test_a_push_whose_number_is_removed_once_it_claimed_it_takes_another(
    filled: Registry, destination: str, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Registry._claim

    def claim_before_a_removal(registry: Registry, release: Release, content: str) -> Claim:
        monkeypatch.setattr(Registry, "_claim", claim)
        claimed = claim(registry, release, content)
        assert Registry.open(destination, "digits").remove([claimed.version], []) == ([1], [])
        return claimed

    monkeypatch.setattr(Registry, "_claim", claim_before_a_removal)
    assert filled.publish(make_release("a")) == filled.publish(make_release("a")) == 4
    assert filled.versions() == [2, 3, 4]


PRUNE = """
import sys
from components.registry.registry import Registry
registry = Registry.open(sys.argv[1], "digits")
registry.versions()
print("ready", flush=True)
registry.remove(*registry.removable(1, 0))
"""


def test_a_prune_killed_at_any_moment_leaves_all_in_use(
    registry: Registry, destination: str, make_release: MakeRelease
) -> None:
    kills = int(os.environ.get("KILLS", "2"))
    for number in range(6):
        registry.advance(registry.publish(make_release(f"first-{number}", files=5)))
    for number in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", PRUNE, destination], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.15 * number / kills)  # the moment itself is what is tried
            process.send_signal(signal.SIGKILL)
        champion = assert_sound(registry)
        assert champion == registry.versions()[-1]
        for version in registry.versions():
            assert registry.promote(version).version == version
        again = registry.publish(make_release(f"first-{number}", files=5))
        assert registry.promote(again).version == assert_sound(registry) == again
        newest = registry.publish(make_release(f"next-{number}", files=5))
        assert registry.promote(newest).version == newest
    registry.remove(*registry.removable(1_000, 0))
    assert registry.storage.leftovers() == {}


@IN_BUCKET
def test_a_removal_killed_before_its_deletions_is_taken_up(
    filled: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(monkeypatch, BucketStorage, "_clear", lambda: filled.remove([1], []))
    assert filled.versions() == [2, 3]
    with pytest.raises(StepError, match="no version 1"):
        filled.promote(1)
    assert filled.removable(keep=5, grace=0) == ([], ["1"])
    assert filled.remove([], ["1"]) == ([], ["1"])
    assert filled.storage.leftovers() == {}
    assert filled.publish(make_release("a")) == 4


@IN_BUCKET
def test_a_version_that_an_earlier_release_published_is_held_and_removed(filled: Registry) -> None:
    assert isinstance(filled.storage, BucketStorage)
    for version in (1, 2):  # which knew no marks
        filled.storage.bucket.delete(f".numbers/{version}")
    assert filled.versions() == [1, 2, 3]
    assert filled.promote(1).version == 1
    assert filled.remove([1, 2], []) == ([2], [])
    assert assert_sound(filled) == 1


@IN_BUCKET
def test_files_of_others_in_the_bucket_are_no_leftovers(
    filled: Registry, make_release: MakeRelease
) -> None:
    assert isinstance(filled.storage, BucketStorage)
    filled.storage.bucket.write("2024/notes.txt", b"somebody's", ABSENT)
    assert filled.removable(keep=5, grace=0) == ([], [])
    assert filled.publish(make_release("d")) == 2025
    assert filled.storage.bucket.get("2024/notes.txt") is not None


GROUP = """
import os, sys
from pathlib import Path
from components.registry.local_storage import LocalStorage
from components.registry.storage import Digest, Part
root, uid, version = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.setgroups([]); os.setgid(12345); os.setuid(uid); os.umask(0o002)
storage = LocalStorage(root / "digits")
source = Path(sys.argv[4])
with source.open("rb") as file:
    part = Part(source, Digest.of(file))
storage.replace("runs.json", str(uid).encode(), storage.read("runs.json").generation)
storage.publish(version, {"saved_model.pb": part, "variables/v": part})
if version > 1:
    assert storage.remove(version - 1, lambda: True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes other users' identities")
@pytest.mark.parametrize("lock", [0o664, 0o644], ids=["new", "locked by an earlier release"])
def test_a_group_shares_a_registry(tmp_path: Path, lock: int) -> None:
    root = tmp_path / "registry"
    root.mkdir()
    os.chown(root, 0, 12345)
    root.chmod(0o2775)
    source = tmp_path / "model"
    source.write_text("model")
    for directory in [tmp_path, *tmp_path.parents][:4]:
        if directory != Path("/tmp"):
            directory.chmod(directory.stat().st_mode | 0o055)
    for version, uid in enumerate((12001, 12002, 12001), 1):
        subprocess.run(
            [sys.executable, "-c", GROUP, str(root), str(uid), str(version), str(source)],
            cwd=ROOT,
            check=True,
        )
        (root / "digits" / ".lock").chmod(lock)
    assert LocalStorage(root / "digits").versions() == [3]

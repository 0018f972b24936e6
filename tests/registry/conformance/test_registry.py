"""Both registries, on disk and in a bucket, hold the same promises."""

import threading
from pathlib import Path
from typing import Any

import pytest

from components.registry.registry import Registry, champion_saved_model
from components.registry.state import VersionManifest
from components.shared.errors import StepError
from tests.registry.conftest import MakeRelease

ON_DISK = pytest.mark.parametrize("destination", ["directory"], indirect=True)


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.champion() is None
    with pytest.raises(StepError, match="no version 1, expected one of: none"):
        registry.manifest(1)


def test_versions_count_up_and_hold_what_was_published(
    registry: Registry, make_release: MakeRelease, tmp_path: Path
) -> None:
    for run in ("a", "b", "c"):
        registry.publish(make_release(run))
    assert registry.versions() == [1, 2, 3]
    release = make_release("d")
    version = registry.publish(release)
    assert version == 4
    directory = registry.fetch(version, tmp_path / "cache")
    for name, path in release.files.items():
        assert (directory / name).read_bytes() == path.read_bytes()
    manifest = registry.manifest(version)
    assert manifest.run_id == "d"
    assert set(manifest.files) == set(release.files)


def test_a_retried_run_publishes_once(registry: Registry, make_release: MakeRelease) -> None:
    assert registry.publish(make_release("a")) == 1
    assert registry.publish(make_release("a")) == 1
    assert registry.publish(make_release("b")) == 2
    assert registry.publish(make_release("a")) == 1
    assert registry.versions() == [1, 2]


def test_the_same_model_of_another_run_is_not_published_again(
    registry: Registry, make_release: MakeRelease
) -> None:
    registry.publish(make_release("a", content="one model"))
    assert registry.publish(make_release("b", content="one model")) == 1
    assert registry.published_by("c", "sha256 of one model") == 1


def test_a_run_does_not_publish_two_models(registry: Registry, make_release: MakeRelease) -> None:
    registry.publish(make_release("a", content="one model"))
    with pytest.raises(StepError, match="run 'a' owns version 1 with another model"):
        registry.publish(make_release("a", content="another"))
    assert registry.versions() == [1]


def test_pushes_at_once_give_whole_versions_and_one_champion(
    destination: str, make_release: MakeRelease
) -> None:
    releases = [make_release(f"run-{number}") for number in range(6)]
    versions: list[int] = []

    def push(number: int) -> None:
        registry = Registry.open(destination, "digits")
        version = registry.publish(releases[number])
        registry.advance(version)
        versions.append(version)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry.open(destination, "digits")
    assert sorted(versions) == registry.versions() == [1, 2, 3, 4, 5, 6]
    assert [registry.verify(version) for version in versions] == [[]] * 6
    champion = registry.champion()
    assert champion is not None
    assert champion.version == 6


def test_two_attempts_of_a_run_at_once_publish_one_version(
    destination: str, make_release: MakeRelease
) -> None:
    release = make_release("a", files=10)
    versions: list[int] = []

    def push() -> None:
        versions.append(Registry.open(destination, "digits").publish(release))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry.open(destination, "digits")
    assert versions == [1] * 4
    assert registry.versions() == [1]
    assert registry.verify(1) == []


def test_rollback_goes_back_through_the_champions(
    registry: Registry, make_release: MakeRelease
) -> None:
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    registry.promote(1)
    assert registry.rollback().version == 3
    assert registry.rollback().version == 2
    assert registry.rollback().version == 1
    with pytest.raises(StepError, match="no earlier champion"):
        registry.rollback()


def test_a_retried_push_does_not_undo_a_rollback(
    registry: Registry, make_release: MakeRelease
) -> None:
    for run in ("a", "b"):
        registry.advance(registry.publish(make_release(run)))
    registry.rollback()
    assert registry.advance(2).version == 1
    assert registry.promote(2).version == 2


def test_prune_keeps_the_newest_and_the_champion(
    registry: Registry, make_release: MakeRelease
) -> None:
    for run in ("a", "b", "c", "d"):
        registry.publish(make_release(run))
    registry.promote(2)
    versions, leftovers = registry.removable(keep=1, grace=0)
    assert (versions, leftovers) == ([1, 3], [])
    registry.remove(versions, leftovers)
    assert registry.versions() == [2, 4]
    assert registry.verify(2) == registry.verify(4) == []
    assert registry.publish(make_release("a")) == 5  # a number is never given out again


def test_a_promotion_and_a_removal_at_once_do_not_both_come_about(
    destination: str, registry: Registry, make_release: MakeRelease
) -> None:
    for run in range(6):
        registry.publish(make_release(f"run-{run}"))
    registry.promote(6)

    def prune() -> None:
        Registry.open(destination, "digits").remove([1, 2, 3, 4, 5], [])

    thread = threading.Thread(target=prune)
    thread.start()
    for version in (1, 2, 3, 4, 5):
        try:
            registry.promote(version)
        except StepError:
            break
    thread.join()
    champion = registry.champion()
    assert champion is not None
    assert registry.verify(champion.version) == []
    assert 6 in registry.versions()


def test_nothing_is_pruned_before_there_is_a_champion(
    registry: Registry, make_release: MakeRelease
) -> None:
    for run in ("a", "b"):
        registry.publish(make_release(run))
    assert registry.removable(keep=1, grace=0) == ([], [])
    with pytest.raises(StepError, match="no champion yet"):
        registry.remove([1], [])
    assert registry.versions() == [1, 2]


@pytest.mark.parametrize("run_id", ["a\nb", "a\0b", "a\x1b[31m", "a" * 201])
def test_a_run_id_is_printable(registry: Registry, make_release: MakeRelease, run_id: str) -> None:
    with pytest.raises(StepError, match="printable"):
        registry.publish(make_release("a")._replace(run_id=run_id))


def test_rollback_skips_a_pruned_version(registry: Registry, make_release: MakeRelease) -> None:
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    registry.remove([2], [])
    assert registry.rollback().version == 1


def test_reading_every_manifest_lists_the_registry_once(
    registry: Registry, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        registry.publish(make_release(f"run-{number}", files=1))
    calls: list[str] = []
    kind = type(registry.storage)
    for name in ("versions", "taken_numbers", "files", "leftovers"):
        method = getattr(kind, name)

        def counted(storage: Any, *given: Any, name: str = name, method: Any = method) -> Any:
            calls.append(name)
            return method(storage, *given)

        monkeypatch.setattr(kind, name, counted)
    assert [found.version for found in _manifests(registry)] == list(range(1, 13))
    assert calls == ["versions"]
    for version in range(1, 13):
        registry.manifest(version)
    assert calls == ["versions"]


def _manifests(registry: Registry) -> list[VersionManifest]:
    return [m for m in registry.manifests().values() if isinstance(m, VersionManifest)]


@ON_DISK
def test_verify_finds_a_flipped_bit_in_any_file(
    registry: Registry, make_release: MakeRelease, destination: str
) -> None:
    registry.publish(make_release("a"))
    for name in registry.manifest(1).files:
        path = Path(destination) / "digits" / "1" / name
        good = path.read_bytes()
        path.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
        [problem] = registry.verify(1)
        assert problem.startswith(f"{name}: sha256")
        path.write_bytes(good)
    assert registry.verify(1) == []


@ON_DISK
def test_verify_finds_a_missing_and_a_foreign_file(
    registry: Registry, make_release: MakeRelease, destination: str
) -> None:
    registry.publish(make_release("a"))
    directory = Path(destination) / "digits" / "1"
    (directory / "model.json").rename(directory / "other.json")
    assert registry.verify(1) == ["other.json: not in the manifest", "model.json: missing"]


@ON_DISK
def test_a_manifest_cannot_lead_out_of_its_version(
    registry: Registry, make_release: MakeRelease, destination: str
) -> None:
    registry.publish(make_release("a"))
    path = Path(destination) / "digits" / "1" / "manifest.json"
    path.write_text(path.read_text().replace('"model.json"', '"../../../secret"'))
    assert "../../../secret: missing" in registry.verify(1)


def test_the_champions_saved_model_is_found(
    destination: str, registry: Registry, make_release: MakeRelease, tmp_path: Path
) -> None:
    assert champion_saved_model(destination, "digits", tmp_path / "cache") is None
    release = make_release("a")
    registry.advance(registry.publish(release))
    directory = champion_saved_model(destination, "digits", tmp_path / "cache")
    assert directory is not None
    saved_model = (directory / "saved_model.pb").read_bytes()
    assert saved_model == release.files["saved_model.pb"].read_bytes()


@ON_DISK
def test_a_broken_champion_file_is_named(registry: Registry, destination: str) -> None:
    (Path(destination) / "digits").mkdir(parents=True)
    (Path(destination) / "digits" / "champion.json").write_text('{"version": "x"}')
    with pytest.raises(StepError, match=r"champion\.json: .*integer"):
        registry.champion()

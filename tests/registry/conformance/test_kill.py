"""A push killed at any moment leaves the old champion or the new one, whole, and loses nothing.

``KILLS`` moments on each storage; ``make kill-push`` takes thirty.
"""

import os
import random
import time
from pathlib import Path

from components.registry.registry import Registry
from tests.registry.conftest import MakeRelease, assert_sound
from tests.registry.publisher import finish, start, write_release

KILLS = int(os.environ.get("KILLS", "2"))


def test_a_push_killed_at_random_moments(
    registry: Registry, destination: str, make_release: MakeRelease, tmp_path: Path
) -> None:
    first = make_release("first", files=20, size=100_000)
    process = start(
        "tests.registry.publisher", destination, write_release(first, tmp_path / "r"), until="ready"
    )
    began = time.perf_counter()
    finish(process)
    takes = time.perf_counter() - began
    moments = random.Random(0)
    found_partial = 0
    for number in range(KILLS):
        before = assert_sound(registry)
        release = make_release(f"run-{number}", files=20, size=100_000)
        prepared = write_release(release, tmp_path / "r")
        process = start("tests.registry.publisher", destination, prepared, until="ready")
        time.sleep(takes * moments.random())  # the moment itself is what is tried
        process.kill()
        process.wait()

        published = [v for v in registry.versions() if v > before]
        assert assert_sound(registry) in (before, *published)
        assert len(published) <= 1
        found_partial += bool(registry.storage.leftovers())

        finish(start("tests.registry.publisher", destination, prepared, until="ready"))
        assert len([v for v in registry.versions() if v > before]) == 1
        assert assert_sound(registry) == registry.versions()[-1] > before
    registry.remove(*registry.removable(keep=1_000, grace=0))
    assert registry.storage.leftovers() == {}
    assert len(registry.versions()) == 1 + KILLS
    print(f"{KILLS} kills within {takes:.2f} s, {found_partial} left something to clear up")

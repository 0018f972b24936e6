"""What the tests of faults share: a stage to run on, and what is put on it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.stage import Stage, module
from tests.faults.subjects import FAULTS, Scene
from tests.registry.conftest import MakeRelease, bucket, gs, make_release, proxy, s3, service
from tests.registry.publisher import write_release

__all__ = ["bucket", "gs", "make_release", "proxy", "s3", "service"]

QUICK = (
    "boto3",
    "components.registry.report",
    "google.cloud.storage",
    "tests.conftest",  # which takes long, and publisher.py imports it
)
SLOW = (
    "tensorflow",
    "components.evaluate.evaluate",
    "components.ingest.ingest",
    "components.jobs.run",
    "components.predict.predict",
    "components.push.push",
    "components.registry.copy",
    "components.train.fit",
    "components.tune.tune",
    "components.watch.watch",
)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A process that has imported what is needed."""
    stage = Stage((*QUICK, *SLOW) if FAULTS == "all" else QUICK)
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def few(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that is trained on in no time."""
    directory = tmp_path_factory.mktemp("few")
    work = module("components.ingest", "--source=fake://300", f"--output={directory}/examples")
    ended, _ = stage.run(work, directory)
    assert ended.code == 0, ended.errors
    return directory / "examples"


@pytest.fixture(scope="session")
def predictions(stage: Stage, published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the champion says of some images."""
    directory = tmp_path_factory.mktemp("predicted")
    options = (f"--destination={published}", f"--output={directory}/predictions")
    ended, _ = stage.run(module("components.predict", "--source=fake://300", *options), directory)
    assert ended.code == 0, ended.errors
    return directory / "predictions"


@pytest.fixture
def release(make_release: MakeRelease, tmp_path: Path) -> Path:
    """What tests/registry/publisher.py publishes."""
    return write_release(make_release("another"), tmp_path / "release.json")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory, where there is such a place: much is written, and fsynced, to it."""
    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if place.is_dir() else None) as directory:
        yield Path(directory)


@pytest.fixture
def scenes(stage: Stage, request: pytest.FixtureRequest, memory: Path) -> Callable[[], Scene]:
    """Makes scenes."""
    numbers = itertools.count()
    return lambda: Scene(stage, request, memory / f"scene-{next(numbers)}")


@pytest.fixture
def scene(scenes: Callable[[], Scene]) -> Scene:
    """A scene."""
    return scenes()

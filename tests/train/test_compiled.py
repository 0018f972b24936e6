"""Compiled loops in a store: taken where they are whole, and compiled anew where they are not."""

import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.shared.storage import sha256_of_directory
from components.train.compiled import FLAGS, KEPT, LEFT, shared_loops
from tests.conftest import Command

Train = Callable[[str], str]  # under a name of its own; returns the digest of its weights


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of loops, not there yet, of a name that TensorFlow's flags have to quote."""
    monkeypatch.delenv(FLAGS, raising=False)
    return tmp_path / """it's a "store" \\ it is"""


@pytest.fixture
def train(examples: Path, tmp_path: Path, store: Path, command: Command) -> Train:
    """Trains as a local run does, with a store."""

    def run(name: str) -> str:
        directory = tmp_path / name
        places = (f"--model={directory / 'model'}", f"--logs={directory / 'logs'}")
        settings = ("--hidden=16", "--batch-size=100", "--max-steps=20", "--log-every=10")
        environment = {"COMPILED_LOOPS": str(store)}
        command(
            *("components.train", f"--examples={examples}", *places, *settings),
            environment=environment,
        )
        return sha256_of_directory(directory / "model/saved_model/variables")

    return run


def loops(store: Path) -> dict[Path, bytes]:
    """What a store has."""
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_training_takes_the_loop_of_one_before_and_ends_with_the_same_weights(
    train: Train, store: Path
) -> None:
    weights = train("first")
    [(path, content)] = loops(store).items()
    assert train("second") == weights
    assert loops(store) == {path: content}  # nothing was compiled

    place = len(content) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert train("damaged") == weights
    [(path, content)] = loops(store).items()  # what was damaged has given way to another
    assert path.name.endswith(hashlib.sha256(content).hexdigest())


def compile_for(store: Path, name: str) -> None:
    """Does as TensorFlow does in a training: puts a file where the flags say."""
    with shared_loops(store):
        [directory] = re.findall('_directory="(.*)"', os.environ[FLAGS])
        path = Path(re.sub(r"\\(.)", r"\1", directory), f"{name}.pb")
        if not path.exists():
            path.write_text(name)
    assert FLAGS not in os.environ


def test_a_store_that_cannot_be_is_left_out(store: Path, tmp_path: Path) -> None:
    store.write_text("a file")
    for place in (store, tmp_path / ("x" * 300)):
        with shared_loops(place):
            assert FLAGS not in os.environ
    assert store.read_text() == "a file"


@pytest.mark.parametrize(
    "flags", ["a/file/of/flags", "--tf_xla_persistent_cache_directory=a/directory"]
)
def test_flags_of_ones_own_stay_as_they_are(
    flags: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLAGS, flags)
    with shared_loops(store):
        assert os.environ[FLAGS] == flags
    assert not store.exists()


def test_a_loop_is_another_machines_where_the_compiler_or_its_threads_are_others(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, variable in enumerate(("XLA_FLAGS", "TF_NUM_INTRAOP_THREADS")):
        compile_for(store, "loop")
        monkeypatch.setenv(variable, "1")
        compile_for(store, "loop")
        assert len(list(store.iterdir())) == number + 2


def test_the_newest_loops_are_kept_of_all_machines(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(KEPT + 2):
        monkeypatch.setenv("XLA_FLAGS", str(number % 2))
        compile_for(store, f"loop{number}")
        [path] = store.glob(f"*/loop{number}.pb.*")
        os.utime(path, (number, number))
    compile_for(store, "another")
    assert len(loops(store)) == KEPT
    assert not list(store.glob("*/loop0.pb.*"))


def test_what_a_killed_training_left_is_removed_once_it_is_old(store: Path) -> None:
    compile_for(store, "loop")
    [machine] = store.iterdir()
    old, young = machine / "training-old", machine / "training-young"
    for path in (old, young):
        path.mkdir()
    os.utime(old, (time.time() - LEFT - 60,) * 2)
    compile_for(store, "loop")
    assert not old.exists() and young.exists()

"""Compiled loops in a store: taken where they are whole, and compiled anew where they are not."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.shared.storage import sha256_of_directory
from components.train.compiled import KEPT, shared_loops
from tests.conftest import Command

Train = Callable[[str], str]  # under a name of its own; returns the digest of its weights


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of loops, not there yet."""
    return tmp_path / "store"


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
    return {path: path.read_bytes() for path in store.rglob("*.pb.*")}


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
    assert len(loops(store)) == 2  # one more was


def compile_for(store: Path, name: str) -> None:
    """Does as TensorFlow does in a training: puts a file where the flags say."""
    with shared_loops(store):
        _, _, directory = os.environ["TF_XLA_FLAGS"].rpartition("_directory=")
        (Path(directory.strip("'")) / f"{name}.pb").write_text(name)


def test_a_store_that_cannot_be_written_is_left_out(store: Path) -> None:
    store.write_text("a file")
    compile_for(store, "loop")
    assert store.read_text() == "a file"


def test_a_loop_is_another_machines_where_the_compiler_or_its_threads_are_others(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, variable in enumerate(("XLA_FLAGS", "TF_NUM_INTRAOP_THREADS")):
        compile_for(store, "loop")
        monkeypatch.setenv(variable, "1")
        compile_for(store, "loop")
        assert len(list(store.iterdir())) == number + 2


def test_the_newest_loops_are_kept(store: Path) -> None:
    for number in range(KEPT + 2):
        compile_for(store, f"loop{number}")
        [path] = store.glob(f"*/loop{number}.pb.*")
        os.utime(path, (number, number))
    assert len(loops(store)) == KEPT
    assert not list(store.glob("*/loop0.pb.*"))


def test_without_a_store_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with shared_loops():
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())

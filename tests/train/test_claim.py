"""A directory of checkpoints belongs to one configuration on one dataset, and to one run."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Train
from components.shared.command_line import exit_on_error
from components.shared.errors import StepError
from components.train.train import BEFORE, RUN_FILE, claim
from tests.train.conftest import Start, finish, read_until


def _claim(logs: Path, fingerprint: str = "data", **options: object) -> None:
    with claim(logs, Train(**options), {"dataset": fingerprint}):  # type: ignore[arg-type]
        pass


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    _claim(tmp_path)
    (tmp_path / "ckpt-10.index").touch()
    _claim(tmp_path, checkpoint_every=7, checkpoint_seconds=7)


def test_a_run_of_a_release_with_fewer_options_goes_on(tmp_path: Path) -> None:
    _claim(tmp_path, **BEFORE)
    run = json.loads((tmp_path / RUN_FILE).read_text())
    for option in ("network", *BEFORE):
        del run[option]
    (tmp_path / RUN_FILE).write_text(json.dumps(run))
    _claim(tmp_path, **BEFORE)
    with pytest.raises(StepError, match="network None there, 'cnn' here"):
        _claim(tmp_path, **BEFORE, network="cnn")
    with pytest.raises(StepError, match="standardize None there, True here"):
        _claim(tmp_path)


@pytest.mark.parametrize("found", ["[]", "null", "5", '"x"', "{", "[" * 100_000, "{}", "\0\0"])
def test_an_odd_file_belongs_to_another(tmp_path: Path, found: str) -> None:
    (tmp_path / RUN_FILE).write_text(found)
    with pytest.raises(StepError, match=r"holds checkpoints of another run .* --restart"):
        _claim(tmp_path)
    _claim(tmp_path, restart=True)
    _claim(tmp_path)


@pytest.mark.fuzz
@given(st.binary(max_size=40))
def test_whatever_it_holds_is_told(tmp_path_factory: pytest.TempPathFactory, found: bytes) -> None:
    directory = tmp_path_factory.mktemp("logs")
    (directory / RUN_FILE).write_bytes(found)
    with pytest.raises(StepError):
        _claim(directory)


def test_checkpoints_that_say_not_of_what_are_another_runs(tmp_path: Path) -> None:
    (tmp_path / "ckpt-10.index").touch()
    with pytest.raises(StepError, match=r"run.json, which says of which, is missing.*--restart"):
        _claim(tmp_path)
    _claim(tmp_path, restart=True)
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_a_volume_that_only_root_can_write_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o555)
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65532)
        with pytest.raises(SystemExit), exit_on_error():
            _claim(tmp_path / "run-1" / "train")
    finally:
        os.seteuid(before)
        tmp_path.chmod(0o755)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/run-1") and error.count("\n") == 1
    assert "permission denied" in error


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path, Train(), {"dataset": "data"}):
        with pytest.raises(StepError, match="another run writes to it"):
            _claim(tmp_path)
        with pytest.raises(StepError, match="another run writes to it"):
            _claim(tmp_path, restart=True)
    _claim(tmp_path)


def test_two_trainings_at_once(start: Start, tmp_path: Path) -> None:
    first = start(max_steps=1_000_000)
    read_until(first, "Step")
    told = finish(start(max_steps=1_000_000, model=tmp_path / "other"), expect=1)
    assert told == (
        f"error: {tmp_path / 'logs'}: another run writes to it; wait for its end, or name another "
        "directory\n"
    )
    first.send_signal(signal.SIGTERM)
    with contextlib.suppress(AssertionError):
        finish(first)

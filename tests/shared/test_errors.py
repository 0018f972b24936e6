"""Errors of the system are told as the project's own: one line, no traceback."""

import errno
import os
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from components.shared.command_line import exit_on_error
from components.shared.errors import StepError, explain, log_line


@pytest.mark.fuzz
@given(st.text())
def test_a_message_is_one_line_that_steers_no_terminal(text: str) -> None:
    message = str(StepError(f"a server says {text}"))
    assert message.isprintable() and message.startswith("a server says")


@pytest.mark.fuzz
@given(st.text())
def test_neither_does_a_line_that_is_told(text: str) -> None:
    with redirect_stdout(StringIO()) as out:
        log_line(f"Left out https://user:pw@host/digits {text}")
    told = out.getvalue()
    assert told.startswith("Left out https://host/digits")
    assert told.endswith("\n") and told[:-1].isprintable()


# A broken pipe is click's own: it ends without a word.
@pytest.mark.parametrize("number", sorted(errno.errorcode.keys() - {errno.EPIPE}))
def test_every_error_of_the_system_names_file_and_reason(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_, exit_on_error():
        raise OSError(number, os.strerror(number), "/data/examples")
    assert exit_.value.code == 1
    line = f"error: /data/examples: {os.strerror(number).lower()}; "
    told = capsys.readouterr().err
    assert told.startswith(line) and len(told.splitlines()) == 1 and len(told) > len(line) + 5


def test_the_same_where_a_library_wraps_it(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "where"
    attempts = (
        lambda: fs.LocalFileSystem().open_input_file(str(missing)),
        lambda: fs.LocalFileSystem().open_output_stream(str(missing)),
        lambda: shutil.copytree(tmp_path, missing / "x", copy_function=_full),
    )
    (tmp_path / "file").touch()
    for attempt in attempts:
        with pytest.raises(OSError) as caught:
            attempt()
        told = explain(caught.value)
        assert str(tmp_path) in told
        assert "no such file" in told or "no space left on device; make room" in told


def _full(_: str, target: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)


def test_an_error_without_number_tells_its_first_line() -> None:
    assert explain(OSError("what\nelse")) == "what"
    assert explain(TimeoutError()) == "TimeoutError"


def test_debug_shows_where() -> None:
    with pytest.raises(FileNotFoundError), exit_on_error(debug=True):
        raise FileNotFoundError(errno.ENOENT, "no", "file")

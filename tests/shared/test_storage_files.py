"""Which files a model is made of, for its digest, its copy and its size alike."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared.errors import StepError
from components.shared.storage import files_of, sha256_of_directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "saved_model"
    (directory / "variables").mkdir(parents=True)
    (directory / "assets").mkdir()
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "data").write_bytes(b"weights")
    return directory


def test_files_are_named_from_their_directory(model: Path) -> None:
    assert files_of(model) == {
        "saved_model.pb": model / "saved_model.pb",
        "variables/data": model / "variables" / "data",
    }


def test_the_model_itself_may_be_reached_by_a_link(model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    assert sha256_of_directory(tmp_path / "link") == sha256_of_directory(model)


@pytest.mark.parametrize("kind", ["link to a file", "link to a directory", "broken link", "fifo"])
@pytest.mark.parametrize("place", ["", "variables"])
def test_what_is_no_file_of_its_own_is_refused(model: Path, kind: str, place: str) -> None:
    path = model / place / "odd"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        target = {"link to a file": "saved_model.pb", "link to a directory": "assets"}
        path.symlink_to(model / target.get(kind, "nowhere"))
    for use in (files_of, sha256_of_directory):
        with pytest.raises(StepError, match=r"odd: is .*, expected a file of the model itself"):
            use(model)


def test_a_name_that_no_manifest_can_hold_is_refused(model: Path) -> None:
    (model / os.fsdecode(b"\xff")).write_bytes(b"")
    with pytest.raises(StepError, match="expected a file of the model itself"):
        sha256_of_directory(model)


def test_a_model_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of_directory(tmp_path / "none")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_other_content_has_another_digest(
    tmp_path_factory: pytest.TempPathFactory, one: bytes, other: bytes
) -> None:
    digests = []
    for content in (one, other):
        directory = tmp_path_factory.mktemp("model")
        (directory / "data").write_bytes(content)
        digests.append(sha256_of_directory(directory))
    assert (digests[0] == digests[1]) == (one == other)

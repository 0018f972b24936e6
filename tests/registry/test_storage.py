"""Addresses and names: what is taken, and which tricks are not."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.registry.open_storage import open_storage
from components.registry.storage import checked_name
from components.shared.errors import StepError


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/part-0", "a b", ".hidden", "ä"])
def test_plain_names_are_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/etc/passwd", "a//b", "a/", "./a", "a\0b", "a\nb", "a\\b"],
)
def test_tricks_are_refused(name: str) -> None:
    with pytest.raises(StepError, match="not a file name for a registry"):
        checked_name(name)


@given(st.text(alphabet="ab./\\\0", max_size=12))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    try:
        taken = PurePosixPath("/registry") / checked_name(name)
    except StepError:
        return
    assert taken.as_posix() == f"/registry/{name}"
    assert ".." not in taken.parts


@pytest.mark.parametrize("model", ["../digits", "/digits", "a/b", "a\0", "", ".", "-a", "digits\n"])
@pytest.mark.parametrize("destination", ["registry", "gs://models"])
def test_a_model_name_is_one_plain_component(destination: str, model: str) -> None:
    with pytest.raises(StepError, match="model name"):
        open_storage(destination, model)


@pytest.mark.parametrize(
    ("destination", "location"),
    [
        ("gs://models", "gs://models/digits"),
        ("gs://models/", "gs://models/digits"),
        ("gs://models/a/b", "gs://models/a/b/digits"),
        ("registry", "registry/digits"),
        ("/srv/registry", "/srv/registry/digits"),
    ],
)
def test_destinations(destination: str, location: str) -> None:
    assert open_storage(destination, "digits").location == location


@pytest.mark.parametrize(
    "destination", ["", "a\0b", "gs://", "gs://UPPER", "gs://b/../c", "gs://models//a", "s3://b"]
)
def test_other_destinations_are_refused(destination: str) -> None:
    with pytest.raises(StepError):
        open_storage(destination, "digits")


@pytest.mark.parametrize("scheme", ["gs", "ftp"])
def test_a_refused_destination_is_told_without_its_password(scheme: str) -> None:
    with pytest.raises(StepError, match="host/models") as caught:
        open_storage(f"{scheme}://me:secret@host/models", "digits")
    assert "secret" not in str(caught.value)

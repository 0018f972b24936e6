"""No secret of an address is shown."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared.addresses import joined, redacted, redacted_text
from components.shared.errors import StepError
from components.summary.summary import summarize
from tests.conftest import Command

# A secret that nothing else in an address looks like, in the middle of what may stand around it.
SECRET = "hunter2"
around = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/?#@"))
secrets = st.builds(lambda before, after: before + SECRET + after, around, around)
schemes = st.sampled_from(["http", "https", "HTTPS", "gs", "s3", "ftp"])
hosts = st.sampled_from(["localhost", "127.0.0.1:9", "[::1]:8080", "storage.example.com"])
paths = st.sampled_from(["", "/", "/mnist", "/a/b.gz", "/@v/1"])


@pytest.mark.fuzz
@given(schemes, hosts, paths, secrets)
def test_a_password_is_never_shown(scheme: str, host: str, path: str, secret: str) -> None:
    for password in (secret, quote(secret, safe="")):
        for user in (f"user:{password}", f":{password}", password):
            found = redacted(f"{scheme}://{user}@{host}{path}")
            assert found == f"{scheme}://{host}{path}"


@pytest.mark.fuzz
@given(schemes, hosts, secrets, st.sampled_from("/?#"))
def test_nor_one_that_would_have_to_be_quoted(
    scheme: str, host: str, secret: str, odd: str
) -> None:
    assert SECRET not in redacted(f"{scheme}://user:p{odd}{secret}@{host}/mnist")


@pytest.mark.fuzz
@given(schemes, hosts, paths, secrets)
def test_a_signature_is_never_shown(scheme: str, host: str, path: str, secret: str) -> None:
    query = f"X-Goog-Date=1&X-Goog-Signature={quote(secret, safe='')}"
    assert redacted(f"{scheme}://{host}{path}?{query}") == f"{scheme}://{host}{path}?…"


@pytest.mark.fuzz
@given(schemes, hosts, paths, secrets)
def test_a_text_shows_none_of_them(scheme: str, host: str, path: str, secret: str) -> None:
    quoted = quote(secret, safe="")
    address = f"{scheme}://user:{quoted}@{host}{path}?sig={quoted}"
    for text in (f"{address}: not found", f"see ({address}).", f'"{address}", 1', repr([address])):
        told = redacted_text(text)
        assert SECRET not in told
        assert f"{scheme}://{host}{path}?…" in told
        assert str(StepError(text)) == told


@pytest.mark.parametrize(
    "address",
    [
        "data/mnist",
        "fake://9?classes=47&shape=8x8",
        "/data/a@b/c?d#e",
        "C:/x@y",
        "fake://300",
        "gs://bucket/day-?/*.parquet",
        "gs://bucket/{date}/part#1",
        "s3://bucket/day-?/part#1",
        "https://host:8080/@v/mnist",
    ],
)
def test_what_is_no_secret_stays(address: str) -> None:
    assert redacted(address) == address
    assert redacted_text(f"{address}: not found") == f"{address}: not found"


def test_a_server_without_a_scheme_is_an_address_too() -> None:
    assert redacted("user:hunter2@localhost:8080/pipeline") == "localhost:8080/pipeline"


def test_the_path_that_a_library_tells_has_no_query() -> None:
    told = "Max retries exceeded with url: /mnist?sig=hunter2 (Caused by …)"
    assert redacted_text(told) == "Max retries exceeded with url: /mnist?… (Caused by …)"


def test_a_file_of_a_directory_with_a_signature() -> None:
    assert joined("https://host/mnist/?sig=1", "x.gz") == "https://host/mnist/x.gz?sig=1"
    assert joined("https://host/mnist/", "x.gz") == "https://host/mnist/x.gz"
    assert joined("data/what?", "x.gz") == "data/what?/x.gz"


def test_nothing_that_is_written_has_them(tmp_path: Path) -> None:
    source = {"source": "https://u:hunter2@h/x"}
    summarize({"state": "SUCCEEDED"}, "run-1", "", source, tmp_path / "summary.json")
    assert "hunter2" not in (tmp_path / "summary.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "address", ["http://user:hunter2@127.0.0.1:1/mnist", "http://127.0.0.1:1/mnist?sig=hunter2"]
)
def test_an_error_line_has_none(address: str, command: Command, tmp_path: Path) -> None:
    arguments = ("--source", address, "--cache", tmp_path / "c", "--output", tmp_path / "o")
    told = command("components.ingest", *arguments, expect=1)
    assert "error: http://127.0.0.1:1/mnist" in told.stderr
    assert "hunter2" not in told.stdout + told.stderr

"""What is S3's own of a registry in a bucket: credentials, large files, errors."""

import logging
import sys
from pathlib import Path

import pytest

from components.registry import s3_bucket
from components.registry.registry import Registry
from components.registry.storage import Digest
from components.shared.errors import StepError
from tests.registry.conftest import MakeRelease, assert_whole
from tests.registry.fault_proxy import Fault, FaultProxy

IN_BUCKET = pytest.mark.parametrize("bucket", ["s3"], indirect=True)
MIB = 1 << 20


@IN_BUCKET
@pytest.mark.parametrize("fault", [Fault(), Fault(after=True), Fault(503)], ids=str)
def test_of_a_large_file_a_cut_repeats_one_part(
    proxied_registry: Registry,
    proxy: FaultProxy,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    monkeypatch.setattr(s3_bucket, "CHUNK", 5 * MIB)
    release = make_release("a", files=1)
    release.files["variables/part-0"].write_bytes(bytes(22 * MIB))
    parts: list[str] = []

    def rule(method: str, path: str) -> Fault | None:
        if "partNumber=" not in path:
            return None
        parts.append(path.partition("partNumber=")[2].partition("&")[0])
        return fault if len(parts) == 3 else None

    proxy.rule = rule
    proxied_registry.publish(release)
    assert_whole(proxied_registry, 1)
    assert parts == ["1", "2", "3", "3", "4", "5"]


@IN_BUCKET
def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    bucket: str, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "CHUNK", 5 * MIB)
    registry = Registry.open(f"{bucket}/registry", "digits")
    for size in (1_000, 6 * MIB):
        release = make_release(f"of {size} bytes", files=1)
        part = release.files["variables/part-0"]
        part.write_bytes(bytes(size))
        digests = {name: _digest(path) for name, path in release.files.items()}
        part.write_bytes(b"x" * size)
        with pytest.raises(StepError, match="part-0: changed while it was published"):
            registry.publish(release._replace(digests=digests))
    assert registry.versions() == []


def _digest(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest.of(file)


@IN_BUCKET
def test_refused_credentials_reach_no_output(
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    caplog.set_level(logging.INFO)
    with pytest.raises(StepError, match=r"s3://.*: permission denied \(.*s3:ListBucket") as caught:
        Registry.open(f"{bucket}/registry", "digits").versions()
    printed = capsys.readouterr()
    assert "hunter2" not in str(caught.value) + printed.out + printed.err + caplog.text


def test_no_credentials_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StepError, match="no credentials for s3://; set AWS_ACCESS_KEY_ID"):
        Registry.open("s3://some-bucket", "digits").versions()


def test_without_boto3_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "components.registry.s3_bucket")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StepError, match=r"s3:// needs boto3.*pip install boto3"):
        Registry.open("s3://some-bucket", "digits")

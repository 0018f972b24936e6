"""What goes wrong between a push and a bucket, made to happen against a real server."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from components.registry import gcs_bucket
from components.registry.registry import Registry
from components.shared.errors import StepError
from tests.registry.conftest import MakeRelease, assert_whole
from tests.registry.fault_proxy import Fault, FaultProxy

MIB = 1 << 20


IN_BUCKET = pytest.mark.parametrize("bucket", ["gs"], indirect=True)


@IN_BUCKET
def test_a_large_file_goes_on_after_a_cut_from_the_chunk_it_reached(
    proxied_registry: Registry,
    proxy: FaultProxy,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gcs_bucket, "CHUNK", MIB)
    release = make_release("a", files=1)
    release.files["variables/part-0"].write_bytes(bytes(12 * MIB))
    chunks = 0

    def rule(method: str, path: str) -> Fault | None:
        nonlocal chunks
        chunks += method == "PUT"
        return Fault() if method == "PUT" and chunks == 7 else None

    proxy.rule = rule
    proxied_registry.publish(release)
    assert_whole(proxied_registry, 1)
    assert 12 < chunks <= 15  # its chunks, the one that was cut, and the question where to go on


@IN_BUCKET
def test_an_object_name_cannot_lead_out_of_the_cache(
    make_release: MakeRelease, bucket: str, tmp_path: Path
) -> None:
    registry = Registry.open(f"{bucket}/registry", "digits")
    registry.publish(make_release("a"))
    name = bucket.removeprefix("gs://")
    blob = storage.Client().bucket(name).blob("registry/digits/1/../../../../escaped")
    blob.upload_from_string(b"")
    with pytest.raises(StepError, match="not a file name for a registry"):
        registry.fetch(1, tmp_path / "deep" / "cache")
    assert not list(tmp_path.rglob("escaped"))


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": "invalid_grant"})
        self.send_response(401)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def token_server() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def test_refused_credentials_reach_no_output(
    token_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = _service_account(token_server)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    caplog.set_level("DEBUG")
    with pytest.raises(StepError, match="no usable Application Default Credentials") as caught:
        Registry.open("gs://some-bucket", "digits").versions()
    printed = capsys.readouterr()
    said = str(caught.value) + printed.out + printed.err + caplog.text
    for secret in (key["private_key"][40:80], key["private_key_id"]):
        assert secret not in said


def test_no_credentials_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(StepError, match="gcloud auth application-default login"):
        Registry.open("gs://some-bucket", "digits").versions()


def _service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "id-of-the-private-key",
        "private_key": private.decode(),
        "client_email": "push@test.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }

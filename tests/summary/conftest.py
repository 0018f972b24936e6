"""What a summary talks to: the Kubernetes API under its pod's own account, and a webhook."""

import datetime
import ipaddress
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.shared.environment import OUTCOMES
from components.summary import servers
from tests.json_server import Request, serve_json
from tests.workflows import RUN


@dataclass
class FakeCluster:
    """The part of the Kubernetes API that a summary reads."""

    workflow: dict[str, Any] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)
    forbidden: str = ""  # what may not be listed
    listed: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> tuple[int, Any]:
        """Returns status and body."""
        if request.authorization != "Bearer of-the-pod":
            return 401, {"message": "Unauthorized"}
        if self.forbidden and request.path.endswith(self.forbidden):
            return 403, {"message": "pipeline-runner cannot do that"}
        self.listed.append(request.path.rpartition("/")[2])
        of_the_run = request.query["labelSelector"] == f"pipeline/runid={RUN}"
        match request.path:
            case "/apis/argoproj.io/v1alpha1/namespaces/team/workflows":
                return 200, {"items": [self.workflow] if of_the_run and self.workflow else []}
            case "/api/v1/namespaces/team/pods":
                return 200, {"items": self.pods if of_the_run else []}
        return 404, {"message": "the server could not find the requested resource"}


class Webhook(HTTPServer):
    """A webhook that gives the answers it is told to, the last one again and again."""

    answers: tuple[int, ...] = (200,)
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.received: list[dict] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/services/secret"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.received.append(json.loads(body))
        count = len(self.server.received)
        status = self.server.answers[min(count, len(self.server.answers)) - 1]
        if status:  # 0 hangs up without an answer
            self.send_response(status)
            for name, value in self.server.headers.items():
                self.send_header(name, value)
            self.end_headers()

    def do_GET(self) -> None:
        self.server.received.append({})
        self.send_response(self.server.answers[-1])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook on a free port."""
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key for this machine, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("kubernetes") / "tls.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def cluster(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeCluster]:
    """A cluster around this process."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("of-the-pod\n")
    (account / "namespace").write_text("team")
    (account / "ca.crt").write_bytes(certificate.read_bytes())
    monkeypatch.setattr(servers, "ACCOUNT", account)
    monkeypatch.delenv(OUTCOMES, raising=False)
    fake = FakeCluster()
    with serve_json(fake.answer, certificate) as url:
        parts = urlsplit(url)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(parts.hostname))
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(parts.port))
        yield fake

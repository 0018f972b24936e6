"""The Kubernetes API, as a step's pod sees it: two requests, in place of a client of 15 MB."""

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from components.shared.errors import StepError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = 10.0  # seconds a request may take
TAIL = 200  # lines of a log that are read


@dataclass(frozen=True)
class Api:
    """A connection under the pod's own service account."""

    address: str
    namespace: str
    token: str
    certificate: str  # file of the authority that signed the server's

    @classmethod
    def in_cluster(cls) -> Self | None:
        """Returns the connection of the pod that this runs in; None outside of a cluster."""
        host, port = map(os.environ.get, ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"))
        if not host or not (ACCOUNT / "token").is_file():
            return None
        return cls(
            address=f"https://{f'[{host}]' if ':' in host else host}:{port or 443}",
            namespace=(ACCOUNT / "namespace").read_text(encoding="utf-8").strip(),
            token=(ACCOUNT / "token").read_text(encoding="utf-8").strip(),
            certificate=str(ACCOUNT / "ca.crt"),
        )

    def workflow(self, run_id: str) -> dict[str, Any]:
        """Returns the Argo workflow of a run.

        Raises:
            StepError: There is none, or it may not be read.
        """
        listed = self._get(
            f"/apis/argoproj.io/v1alpha1/namespaces/{self.namespace}/workflows",
            labelSelector=f"pipeline/runid={run_id}",
        )
        try:
            return dict(json.loads(listed)["items"][0])
        except (ValueError, LookupError, TypeError):
            raise StepError(f"no workflow of the run {run_id} in {self.namespace}") from None

    def log(self, pod: str) -> str:
        """Returns the end of a step's log; empty where it cannot be read any more."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        try:
            return self._get(path, container="main", tailLines=TAIL).decode(errors="replace")
        except StepError:
            return ""

    def _get(self, path: str, **query: object) -> bytes:
        request = urllib.request.Request(
            f"{self.address}{path}?{urlencode(query)}",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        try:
            context = ssl.create_default_context(cafile=self.certificate)
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            raise StepError(f"the Kubernetes API answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise StepError(f"the Kubernetes API cannot be reached ({reason})") from None

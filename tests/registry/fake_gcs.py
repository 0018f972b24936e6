"""A real fake-gcs-server for the tests."""

import json
import urllib.request
from contextlib import AbstractContextManager

from tests.registry.fault_proxy import running_server
from tests.services import program


def gcs_server() -> AbstractContextManager[str]:
    """Runs the server that ``make fake-gcs-server`` installs."""
    arguments = ("-scheme", "http", "-host", "127.0.0.1", "-port", "{port}", "-backend", "memory")
    return running_server(program("fake-gcs-server", "fake-gcs-server"), *arguments)


def make_bucket(address: str, name: str) -> None:
    request = urllib.request.Request(
        f"{address}/storage/v1/b?project=test",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()

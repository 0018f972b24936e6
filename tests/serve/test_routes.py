"""Every route answers as openapi.json says, whatever it is asked; the server outlives all of it."""

import base64
import json
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import FUZZ, ROOT
from tests.serve.test_app import BLANK, PREDICT
from tests.serve.test_limits import connect, send

pytestmark = pytest.mark.fuzz
EACH = settings(max_examples=max(5, FUZZ // 5))  # of the seven routes


API = schemathesis.openapi.from_path(ROOT / "components" / "serve" / "openapi.json")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_the_server_tells_its_description(server: str) -> None:
    assert json.loads(send(server, "GET", "/openapi.json")[1]) == API.raw_schema


OPERATIONS = [found.ok() for found in API.get_all_operations() if isinstance(found, Ok)]


def test_the_description_has_every_route() -> None:
    assert len(OPERATIONS) == 7


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@EACH
@given(data=st.data())
def test_every_route_answers_as_described(operation: Any, server: str, data: st.DataObject) -> None:
    case = data.draw(operation.as_strategy())
    if len(case.path_parameters.get("model", "")) % 2:
        case.path_parameters["model"] = "digits"  # else hardly any request would reach the model
    case.call_and_validate(base_url=server, checks=CHECKS)


NUMBERS = st.integers() | st.integers(0, 255) | st.floats() | st.booleans() | st.none()
LEAVES = NUMBERS | st.text(max_size=20) | st.just(BLANK) | st.just({"b64": "AAAA"})
VALUES = st.recursive(
    LEAVES,
    lambda part: (
        st.lists(part, max_size=28)
        | st.dictionaries(st.sampled_from(["b64", "images", "examples", "x"]), part, max_size=2)
    ),
    max_leaves=30,
)
REQUESTS = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "x"]),
    VALUES | st.sampled_from(["serving_default", "examples"]),
    max_size=3,
)


@given(REQUESTS)
def test_any_json_is_answered_or_refused(server: str, request_: Any) -> None:
    status, said = send(server, "POST", PREDICT, json.dumps(request_).encode())
    assert status in (200, 400)
    assert (status == 400) == ("error" in json.loads(said))


@given(st.binary(max_size=300))
def test_any_bytes_are_no_example(server: str, data: bytes) -> None:
    row = {"b64": base64.b64encode(data).decode()}
    body = json.dumps({"signature_name": "examples", "instances": [row]}).encode()
    assert send(server, "POST", PREDICT, body)[0] == 400


HEADS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /v1/models/digits:predict HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"Host: \xff\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"\r\n",
        b"ffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"{",
    ]
)


@given(st.lists(HEADS | st.binary(max_size=50), max_size=8).map(b"".join))
def test_any_bytes_on_a_connection_leave_the_server_up(server: str, data: bytes) -> None:
    with connect(server) as client:
        client.sendall(data)
    assert send(server, "GET", "/v1/models/digits")[0] == 200

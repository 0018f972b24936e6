"""The web application: TensorFlow Serving's REST form over a served model, and the page.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from components.serve.guard import Guard
from components.serve.limits import Bodies
from components.serve.model import SIGNATURE, Loaded, ServedModel, predict
from components.serve.pixels import BadRequest

MODEL = "/v1/models/{model:str}"
VERSION = MODEL + "/versions/{version:str}"
PAGE = Path(__file__).parent / "page"
DESCRIPTION = Path(__file__).parent / "openapi.json"
CONCURRENT = 2  # requests that are parsed at a time, each to some twenty times its size


def make_app(name: str, served: ServedModel, max_bytes: int, hosts: Iterable[str] = ()) -> ASGIApp:
    """Makes the application.

    Args:
        name: The model's name in the addresses.
        served: What answers.
        max_bytes: Largest request body that is read.
        hosts: Names of this server beside its addresses and ``localhost``.
    """
    model, page = _Model(name, served, max_bytes), _Page(name, served)
    app = Starlette(
        routes=[
            Route("/", page.html),
            Route("/openapi.json", page.description),
            Route("/page/model.json", page.facts),
            Route(f"{VERSION}:{{method:str}}", model.answer, methods=["POST"]),
            Route(f"{MODEL}:{{method:str}}", model.answer, methods=["POST"]),
            Route(VERSION, model.status),
            Route(MODEL, model.status),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        exception_handlers={HTTPException: _error_as_json},
    )
    return Guard(app, hosts)


class _Page:
    """What the page to draw on gets."""

    def __init__(self, name: str, served: ServedModel) -> None:
        self._name, self._served = name, served

    async def html(self, request: Request) -> Response:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(html.replace("MODEL_NAME", self._name))

    async def description(self, request: Request) -> Response:
        return FileResponse(DESCRIPTION, media_type="application/json")

    async def facts(self, request: Request) -> Response:
        loaded = self._served.current
        return JSONResponse(
            {
                "version": loaded.version,
                "image_shape": loaded.image_shape,
                "class_names": loaded.class_names,
            }
        )


class _Model:
    """TensorFlow Serving's form: state and predictions."""

    def __init__(self, name: str, served: ServedModel, max_bytes: int) -> None:
        self._name, self._served = name, served
        self._bodies, self._workers = Bodies(max_bytes), CapacityLimiter(CONCURRENT)

    async def status(self, request: Request) -> Response:
        loaded = self._named(request)
        ok = {"error_code": "OK", "error_message": ""}
        state = {"version": str(loaded.version), "state": "AVAILABLE", "status": ok}
        return JSONResponse({"model_version_status": [state]})

    async def answer(self, request: Request) -> Response:
        loaded, method = self._named(request), request.path_params["method"]
        if method != "predict":
            signatures = " or ".join(sorted(loaded.model.signatures))
            raise HTTPException(
                404,
                f"{method[:40]!r} is not answered here, expected {self._name}:predict with the "
                f"signature {signatures}",
            )
        async with self._bodies.read(request) as body:
            code, answer = await to_thread.run_sync(_answer, loaded, body, limiter=self._workers)
        return Response(answer, code, media_type="application/json")

    def _named(self, request: Request) -> Loaded:
        """Returns the model that a request names, by version or not."""
        loaded, path = self._served.current, request.path_params
        version = path.get("version", str(loaded.version))
        if path["model"] != self._name or version != str(loaded.version):
            raise HTTPException(
                404,
                f"Servable not found for request: {path['model'][:100]}, version {version[:20]}; "
                f"here is {self._name}, version {loaded.version}",
            )
        return loaded


def _answer(loaded: Loaded, body: bytes) -> tuple[int, bytes]:
    """Answers a request: status and content.

    An exception that left this function would keep the parsed request alive by its traceback.
    """
    code, answer = 200, {}
    try:
        answer = _predict(loaded, body)
    except BadRequest as error:
        code, answer = 400, {"error": str(error)}
    return code, json.dumps(answer, allow_nan=False).encode()


def _predict(loaded: Loaded, body: bytes) -> dict[str, Any]:
    """Predicts in the format of the request: by rows (instances) or by columns (inputs).

    Fields that are not known are passed over, as TensorFlow Serving does: clients send more.
    """
    try:
        request = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON Parse error: {error}") from None
    if not isinstance(request, dict) or len({"instances", "inputs"} & set(request)) != 1:
        raise BadRequest("expected an object with either 'instances' or 'inputs'")
    signature = request.get("signature_name", "") or SIGNATURE  # TensorFlow Serving's default, too
    if not isinstance(signature, str):
        raise BadRequest("signature_name: expected a string")
    name = "examples" if signature == "examples" else "images"
    if "inputs" in request:
        return {"outputs": predict(loaded, signature, _unwrap(request["inputs"], name))}
    rows = request["instances"]
    if isinstance(rows, list):
        rows = [_unwrap(row, name) for row in rows]
    outputs = predict(loaded, signature, rows)
    columns = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, values, strict=True)) for values in columns]}


def _unwrap(value: Any, name: str) -> Any:
    """Returns an input that may be given by its name or, as there is one alone, without."""
    return value[name] if isinstance(value, dict) and set(value) == {name} else value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


async def _error_as_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

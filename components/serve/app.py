"""The web application: TensorFlow Serving's REST form over a served model, and the page.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from components.serve.model import BadRequest, Loaded, ServedModel, predict

MODEL = "/v1/models/{model:str}"
PAGE = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_app(name: str, served: ServedModel, max_bytes: int) -> Starlette:
    """Makes the application.

    Args:
        name: The model's name in the addresses.
        served: What answers.
        max_bytes: Largest request body that is read.
    """

    def expect(request: Request) -> Loaded:
        """Returns the model that a request names, by version or not."""
        loaded, asked = served.current, request.path_params
        version = asked.get("version", loaded.version)
        if asked["model"] != name or version != loaded.version:
            raise HTTPException(
                404,
                f"Servable not found for request: {asked['model']}, version {version}; here is "
                f"{name}, version {loaded.version}",
            )
        return loaded

    async def status(request: Request) -> Response:
        loaded = expect(request)
        ok = {"error_code": "OK", "error_message": ""}
        state = {"version": str(loaded.version), "state": "AVAILABLE", "status": ok}
        return JSONResponse({"model_version_status": [state]})

    async def answer(request: Request) -> Response:
        loaded = expect(request)
        body = await _read(request, max_bytes)
        try:
            return JSONResponse(await run_in_threadpool(_answer, loaded, body))
        except BadRequest as error:
            raise HTTPException(400, str(error)) from None

    async def page(request: Request) -> Response:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(html.replace("MODEL_NAME", name))

    return Starlette(
        routes=[
            Route("/", page),
            Route(
                "/v1/models/{model:str}/versions/{version:int}:predict", answer, methods=["POST"]
            ),
            Route(f"{MODEL}/versions/{{version:int}}:predict", answer, methods=["POST"]),
            Route(f"{MODEL}:predict", answer, methods=["POST"]),
            Route(f"{MODEL}/versions/{{version:int}}", status),
            Route(MODEL, status),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        exception_handlers={HTTPException: _tell},
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_with_headers)],
    )


def _answer(loaded: Loaded, body: bytes) -> dict[str, Any]:
    """Answers a request in the format it came in: by rows (instances) or by columns (inputs)."""
    try:
        asked = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON Parse error: {error}") from None
    if not isinstance(asked, dict) or len({"instances", "inputs"} & set(asked)) != 1:
        raise BadRequest("expected an object with either 'instances' or 'inputs'")
    unknown = set(asked) - {"instances", "inputs", "signature_name"}
    if unknown:
        raise BadRequest(f"{sorted(unknown)[0]!r} is not known in a request")
    signature = asked.get("signature_name", "serving_default")
    if not isinstance(signature, str):
        raise BadRequest("signature_name: expected a string")
    name = "examples" if signature == "examples" else "images"
    if "inputs" in asked:
        return {"outputs": predict(loaded.model, signature, _unwrap(asked["inputs"], name))}
    rows = asked["instances"]
    if isinstance(rows, list):
        rows = [_unwrap(row, name) for row in rows]
    outputs = predict(loaded.model, signature, rows)
    columns = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, values, strict=True)) for values in columns]}


def _unwrap(value: Any, name: str) -> Any:
    """Returns an input that may be given by its name or, as there is one alone, without."""
    return value[name] if isinstance(value, dict) and set(value) == {name} else value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


async def _read(request: Request, max_bytes: int) -> bytes:
    """Reads a body, of which no more than ``max_bytes`` are ever held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"the request is larger than {max_bytes:,} bytes")
    return bytes(body)


async def _tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _with_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response

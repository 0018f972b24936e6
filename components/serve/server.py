"""Runs the try-out server."""

import socket
import threading

import uvicorn

from components.config import Serve
from components.registry.registry import Registry
from components.shared.errors import StepError


def serve(config: Serve) -> None:
    """Serves the champion until the process is interrupted.

    Raises:
        StepError: There is no champion, or the address cannot be listened on.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        raise StepError(
            f"{config.host}:{config.port}: {error.strerror}; name another --host or --port"
        ) from None
    registry = Registry.open(config.destination, config.model_name)
    if registry.champion() is None:
        raise StepError(
            f"{registry.where}: no champion to serve; run the pipeline, or promote a version"
        )
    from components.serve.app import make_app  # TensorFlow: seconds, so not before the checks
    from components.serve.model import ServedModel

    served = ServedModel(registry)
    stop = threading.Event()
    refreshing = threading.Thread(
        target=served.keep_fresh, args=(config.refresh_seconds, stop), daemon=True
    )
    app = make_app(config.model_name, served, config.max_request_kib * 1024)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    refreshing.start()
    listener.listen()
    port = listener.getsockname()[1]
    print(
        f"Serving {config.model_name} version {served.current.version} on "
        f"http://{config.host}:{port}/ (a try-out; production: docs/serving.md)",
        flush=True,
    )
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()

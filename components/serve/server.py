"""Runs the try-out server."""

import errno
import os
import socket
import threading

import uvicorn

from components.config import Serve
from components.registry.registry import Registry
from components.serve.limits import BACKLOG, BoundedConnection
from components.shared.errors import StepError


def serve(config: Serve) -> None:
    """Serves the champion until the process is interrupted.

    Raises:
        StepError: There is no champion, or the address cannot be listened on.
    """
    listener = _listen(config.host, config.port)
    registry = Registry.open(config.destination, config.model_name)
    if registry.in_use() is None:
        raise StepError(
            f"{registry.location}: no champion to serve; run the pipeline, or promote a version"
        )
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # else it logs every request it refuses
    from components.serve.app import make_app  # TensorFlow: seconds, so not before the checks
    from components.serve.model import ServedModel

    served = ServedModel(registry)
    stop = threading.Event()
    refreshing = threading.Thread(
        target=served.keep_fresh, args=(config.refresh_seconds, stop), daemon=True
    )
    hosts = [config.host, *filter(None, config.allowed_hosts.split(","))]
    app = make_app(config.model_name, served, config.max_request_kib * 1024, hosts)
    settings = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        log_level="error",  # below are lines that any client can cause, as many as it likes
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(settings)
    refreshing.start()
    host = f"[{config.host}]" if ":" in config.host else config.host
    port = listener.getsockname()[1]
    print(
        f"Serving {config.model_name} version {served.current.version} on "
        f"http://{host}:{port}/ (a try-out; production: docs/serving.md)",
        flush=True,
    )
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()


def _listen(host: str, port: int) -> socket.socket:
    """Takes the address, before the seconds that a model takes to load.

    Raises:
        StepError: It cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError, TypeError) as error:  # TypeError: no name can be so encoded
        number = getattr(error, "errno", None) or 0
        reason = getattr(error, "strerror", None) or "no name of a host"
        if number in errno.errorcode:
            reason = os.strerror(number)  # without what Python adds to it
        advice = "name another --host or --port"
        if number == errno.EADDRINUSE:
            advice = "stop what listens there, or name another --port"
        raise StepError(f"{host}:{port}: {reason}; {advice}") from None

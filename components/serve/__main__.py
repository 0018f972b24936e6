"""The shell face of the try-out server."""

from components.config import Serve
from components.shared.command_line import step_command


@step_command(Serve)
def main(config: Serve) -> None:
    """Serve the registry's champion for a local try-out.

    Production uses TensorFlow Serving or KServe: docs/serving.md.
    """
    from components.serve.server import serve

    serve(config)


if __name__ == "__main__":
    main(prog_name="python -m components.serve")

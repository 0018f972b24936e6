"""The shell face of predict."""

import click

from components.config import Predict
from components.shared.command_line import step_command


@step_command(Predict)
@click.option("--output", required=True, help="Directory to write, on disk or gs://.")
@click.argument("beam_arguments", nargs=-1)
def main(config: Predict, output: str, beam_arguments: tuple[str, ...]) -> None:
    """Have a published model say of every image of a source what it shows.

    What follows -- goes to Beam's runner unchanged.
    """
    from components.predict.predict import predict

    predict(config, output, beam_arguments)


if __name__ == "__main__":
    main()

"""What the tests of the pipeline's command line share."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from pipeline.__main__ import main
from tests.pipeline.remote.fake_kfp import FakeKfp, serve

Cli = Callable[..., Result]


@pytest.fixture
def kfp_server() -> Iterator[FakeKfp]:
    """A KFP API server in miniature."""
    with serve() as server:
        yield server


@pytest.fixture
def cli(fast_stack: None) -> Cli:
    """Runs ``python -m pipeline <arguments>`` within this process, and checks the exit code."""

    def run(*arguments: object, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == expect, result.output
        return result

    return run

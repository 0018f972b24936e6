"""The same bytes from every runner, with any number of workers."""

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.ingest.conftest import Serve, dataset_digest
from tests.jobs.conftest import JOBS
from tests.services import program


@pytest.fixture(scope="module", params=JOBS)
def arguments(request: pytest.FixtureRequest, published: Path, source: Path) -> list[object]:
    """The command of a step that is a Beam job, but for its output."""
    registry = ["--destination", published] if request.param == "predict" else []
    options = ["--source", source, "--shard-size", 150, "--max-rejected", 0.01]
    return [f"components.{request.param}", *options, *registry]


@pytest.fixture(scope="module")
def expected(
    arguments: list[object], tmp_path_factory: pytest.TempPathFactory, command: Command
) -> str:
    """The sum over what one worker writes."""
    output = tmp_path_factory.mktemp("one-worker") / "out"
    command(*arguments, "--output", output, "--", "--direct_num_workers=1")
    return dataset_digest(output)


@pytest.mark.parametrize(
    "flags",
    [
        ("--direct_num_workers=8", "--direct_running_mode=multi_threading"),
        ("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
    ],
    ids=["8 threads", "2 processes"],
)
def test_workers_on_this_machine(
    flags: tuple[str, ...],
    arguments: list[object],
    expected: str,
    tmp_path: Path,
    command: Command,
) -> None:
    process = command(*arguments, "--output", tmp_path / "out", "--", *flags)
    assert dataset_digest(tmp_path / "out") == expected
    assert process.stderr == ""


def test_a_job_server_with_workers_of_its_own(
    arguments: list[object], expected: str, tmp_path: Path, command: Command, serve: Serve
) -> None:
    """Beam's portable runner Prism: jobs go to it just as they go to Flink and Spark."""
    port = serve(program("prism", "prism"), "--job_port", "{port}", "--serve_http=false")
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{port}",
        "--environment_type=LOOPBACK",
    ]
    command(*arguments, "--output", tmp_path / "out", "--", *flags)
    assert dataset_digest(tmp_path / "out") == expected


def test_flink(
    flink: list[str], arguments: list[object], expected: str, tmp_path: Path, command: Command
) -> None:
    command(*arguments, "--output", tmp_path / "out", "--", *flink)
    assert dataset_digest(tmp_path / "out") == expected

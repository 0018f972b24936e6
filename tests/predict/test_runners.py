"""The same bytes from every runner, with any number of workers."""

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.ingest.conftest import Serve, dataset_digest, digits, program, write_parquet
from tests.ingest.test_runners import flink

__all__ = ["flink"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet in more ranges than there are workers."""
    directory = tmp_path_factory.mktemp("source")
    for name in "ab":
        write_parquet(directory / f"{name}.parquet", *digits(1_000, seed=ord(name)), "png")
    return directory


def _arguments(source: Path, published: Path, output: Path) -> list[object]:
    options = ["--source", source, "--shard-size", 150, "--destination", published]
    return ["components.predict", *options, "--output", output]


@pytest.fixture(scope="module")
def expected(
    source: Path, published: Path, tmp_path_factory: pytest.TempPathFactory, command: Command
) -> str:
    """The sum over what one worker writes."""
    output = tmp_path_factory.mktemp("one-worker") / "out"
    command(*_arguments(source, published, output))
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
    source: Path,
    published: Path,
    expected: str,
    tmp_path: Path,
    command: Command,
) -> None:
    process = command(*_arguments(source, published, tmp_path / "out"), "--", *flags)
    assert dataset_digest(tmp_path / "out") == expected
    assert process.stderr == ""


def test_a_job_server_with_workers_of_its_own(
    source: Path, published: Path, expected: str, tmp_path: Path, command: Command, serve: Serve
) -> None:
    """Beam's portable runner Prism: jobs go to it just as they go to Flink and Spark."""
    port = serve(program("prism", "prism"), "--job_port", "{port}", "--serve_http=false")
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{port}",
        "--environment_type=LOOPBACK",
    ]
    command(*_arguments(source, published, tmp_path / "out"), "--", *flags)
    assert dataset_digest(tmp_path / "out") == expected


def test_flink(
    flink: list[str],
    source: Path,
    published: Path,
    expected: str,
    tmp_path: Path,
    command: Command,
) -> None:
    command(*_arguments(source, published, tmp_path / "out"), "--", *flink)
    assert dataset_digest(tmp_path / "out") == expected

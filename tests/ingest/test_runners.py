"""The same bytes from every runner, with any number of workers."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from tests.conftest import ROOT, Command
from tests.ingest.conftest import Serve, dataset_digest, digits, program, unavailable, write_parquet

FLINK_JAR = ROOT / "build" / "flink" / "job-server.jar"
KILOBYTES = 1_024  # in a MiB


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet with a bad row, in more ranges than there are workers."""
    directory = tmp_path_factory.mktemp("source")
    for name in "ab":
        images, labels = digits(1_000, seed=ord(name))
        labels[77] = 12
        write_parquet(directory / f"{name}.parquet", images, labels, "png")
    return directory


def _arguments(source: Path, output: Path) -> list[object]:
    options = ["--source", source, "--shard-size", 150, "--max-rejected", 0.01, "--output", output]
    return ["components.ingest", *options]


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory, command: Command) -> str:
    """The sum over the dataset that one worker writes."""
    output = tmp_path_factory.mktemp("one-worker") / "examples"
    command(*_arguments(source, output), "--", "--direct_num_workers=1")
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
    flags: tuple[str, ...], source: Path, expected: str, tmp_path: Path, command: Command
) -> None:
    process = command(*_arguments(source, tmp_path / "examples"), "--", *flags)
    assert dataset_digest(tmp_path / "examples") == expected
    assert process.stderr == ""


def test_a_job_server_with_workers_of_its_own(
    source: Path, expected: str, tmp_path: Path, command: Command, serve: Serve
) -> None:
    """Beam's portable runner Prism: jobs go to it just as they go to Flink and Spark."""
    port = serve(program("prism", "prism"), "--job_port", "{port}", "--serve_http=false")
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{port}",
        "--environment_type=LOOPBACK",
    ]
    command(*_arguments(source, tmp_path / "examples"), "--", *flags)
    assert dataset_digest(tmp_path / "examples") == expected


@pytest.fixture
def flink(tmp_path: Path) -> list[str]:
    """Beam's flags for two slots of a Flink inside the job server, workers in the caller."""
    if not FLINK_JAR.exists() or not shutil.which("java"):
        unavailable(f"{FLINK_JAR} or java is not there; install with: make flink-job-server")
    return [
        "--runner=FlinkRunner",
        f"--flink_job_server_jar={FLINK_JAR}",
        f"--job_server_jvm_properties=-Djava.io.tmpdir={tmp_path}",
        "--environment_type=LOOPBACK",
        "--parallelism=2",
    ]


def test_flink(
    flink: list[str], source: Path, expected: str, tmp_path: Path, command: Command
) -> None:
    command(*_arguments(source, tmp_path / "examples"), "--", *flink)
    assert dataset_digest(tmp_path / "examples") == expected


def test_flink_writes_mnist_as_the_default_runner_does(
    flink: list[str], tmp_path: Path, command: Command
) -> None:
    command("components.ingest", "--output", tmp_path / "default")
    command("components.ingest", "--output", tmp_path / "flink", "--", *flink)
    assert dataset_digest(tmp_path / "flink") == dataset_digest(tmp_path / "default")


def test_flink_stops_at_the_first_unusable_record(
    flink: list[str], source: Path, tmp_path: Path, command: Command
) -> None:
    arguments = ["--source", source, "--output", tmp_path / "examples"]
    process = command("components.ingest", *arguments, "--", *flink, expect=1)
    (error,) = re.findall("^error: .*", process.stderr, re.MULTILINE)
    assert "record 77: label 12, expected 0 to 9" in error
    assert not (tmp_path / "examples").exists()


@pytest.mark.parametrize(
    "flags",
    [("--runner=NoSuchRunner",), ("--runner=FlinkRunner", "--flink_job_server_jar=no-such.jar")],
)
def test_runner_that_cannot_start_is_told_in_one_line(
    flags: tuple[str, ...], tmp_path: Path, command: Command
) -> None:
    arguments = ["components.ingest", "--source", "fake://300", "--output", tmp_path / "examples"]
    process = command(*arguments, "--", *flags, expect=1)
    assert re.search("^error: Beam's runner failed: ValueError ", process.stderr, re.MULTILINE)
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "examples").exists()


def _documented(runner: str) -> list[str]:
    """Beam's flags of a runner's command in the documentation."""
    text = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")
    (flags,) = re.findall(rf"^ +(--runner={runner}\b(?:[^\\\n]*\\\n)*[^\\\n]*)", text, re.MULTILINE)
    return flags.replace("\\\n", " ").split()


@pytest.mark.parametrize("runner", ["DataflowRunner", "FlinkRunner"])
def test_documented_flags_are_beams_own(runner: str, caplog: pytest.LogCaptureFixture) -> None:
    flags = _documented(runner)
    with caplog.at_level(logging.WARNING):
        given = PipelineOptions(flags).get_all_options(drop_default=True)
        assert "unparseable" not in caplog.text
        assert given["runner"] == runner
        assert len(given) == len(flags)
        PipelineOptions([*flags, "--no_such_flag=1"]).get_all_options()
        assert "unparseable args: ['--no_such_flag=1']" in caplog.text


PEAK = """
import resource, sys
from components.ingest.ingest import ingest
from components.config import Ingest
ingest(Ingest(source=sys.argv[1]), sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_source(tmp_path: Path) -> None:
    def peak(records: int) -> int:
        """The largest memory of a run, in MiB."""
        output = str(tmp_path / str(records))
        process = subprocess.run(
            [sys.executable, "-c", PEAK, f"fake://{records}", output],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        shutil.rmtree(output)
        return int(process.stdout.split()[-1]) // KILOBYTES

    few, many = 40_000, 320_000
    pixels = (many - few) * 784 >> 20
    assert peak(many) - peak(few) < pixels / 3

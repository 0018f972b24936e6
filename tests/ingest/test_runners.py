"""Ingest on other runners: what is told of failures, documented flags, memory."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from tests.conftest import ROOT, Command
from tests.jobs.conftest import flink, source

__all__ = ["flink", "source"]

KILOBYTES = 1_024  # in a MiB


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

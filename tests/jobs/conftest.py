"""What the tests of jobs, and of the steps that are such, share: a source, and Flink."""

import shutil
from pathlib import Path

import pytest

from components.config import Reading
from tests.conftest import ROOT
from tests.ingest.conftest import digits, serve, write_parquet
from tests.services import unavailable

__all__ = ["serve"]

# The steps that are Beam jobs: those that read a source.
JOBS = [step.__name__.lower() for step in Reading.__subclasses__()]

FLINK_JAR = ROOT / "build" / "flink" / "job-server.jar"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet with a bad row, in more ranges than there are workers."""
    directory = tmp_path_factory.mktemp("source")
    for name in "ab":
        images, labels = digits(1_000, seed=ord(name))
        labels[77] = 12
        write_parquet(directory / f"{name}.parquet", images, labels, "png")
    return directory


@pytest.fixture
def flink(tmp_path: Path) -> list[str]:
    """Beam's flags for two slots of a Flink inside the job server, workers in the caller."""
    if not FLINK_JAR.exists() or not shutil.which("java"):
        unavailable(f"{FLINK_JAR}, or java,", "flink-job-server")
    # It ends before it would be faster for the JVM's second compiler.
    virtual_machine = (f"-Djava.io.tmpdir={tmp_path}", "-XX:TieredStopAtLevel=1")
    return [
        "--runner=FlinkRunner",
        f"--flink_job_server_jar={FLINK_JAR}",
        *(f"--job_server_jvm_properties={one}" for one in virtual_machine),
        "--environment_type=LOOPBACK",
        "--parallelism=2",
    ]

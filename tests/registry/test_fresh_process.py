"""A fresh process, started or forked, does the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.registry.validation import run_fresh
from components.shared.environment import FORKABLE
from components.shared.errors import StepError
from tests.conftest import ROOT

MODULE = """
import os, sys
import tensorflow
print(sys.argv[1], os.environ["CUDA_VISIBLE_DEVICES"], file=sys.stdout)
print("error: as asked", file=sys.stderr)
sys.exit(int(sys.argv[2]))
"""
# Where TensorFlow is imported and unused, which in the tests' own process it is not. That a name
# stands in for it keeps the test fast: what is forked is Python's business, not the library's.
FORKED = """
import sys, types
sys.modules["tensorflow"] = types.ModuleType("tensorflow")
from components.registry.validation import run_fresh
from components.shared.errors import StepError
try:
    print(run_fresh("a_module", "said", sys.argv[1]), end="")
except StepError as error:
    print(error)
"""


def test_a_process_that_fails_tells_its_last_line() -> None:
    with pytest.raises(StepError, match=r"not published: .*No module named no_such_module"):
        run_fresh("no_such_module", "x")


@pytest.mark.parametrize(("code", "told"), [(0, "said -1\n"), (3, "not published: as asked\n")])
def test_a_fork_says_and_fails_as_a_process_does(tmp_path: Path, code: int, told: str) -> None:
    (tmp_path / "a_module.py").write_text(MODULE, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-c", FORKED, str(code)],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", FORKABLE: "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (process.stdout, process.stderr) == (told, "")

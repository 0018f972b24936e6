"""A process that ends with its parent."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CHILD = "from components.shared.process import *; end_with_parent(); print('up'); time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-u', '-c', sys.argv[1]])"


@pytest.mark.parametrize("platform", [sys.platform, "other"])
def test_a_process_ends_when_its_parent_is_killed(platform: str) -> None:
    child = CHILD.replace("end_with", f"sys.platform = {platform!r}; end_with", 1)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, child], cwd=Path(ROOT), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        parent.kill()
        assert parent.stdout.read() == ""  # at its end once the child, which has it too, is gone

"""Beam's worker process, which logs to its runner alone: ``python -m components.jobs.worker``."""

import logging
import os
import signal
import sys
from contextlib import redirect_stderr
from pathlib import Path

from components.shared.process import end_with_parent

if __name__ == "__main__":
    # Before the imports, which take seconds. Ctrl-C reaches all processes of a terminal: whoever
    # started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(signal.SIGKILL)

# Beam logs as it is imported, and the first log without a handler makes one for the terminal.
logging.getLogger().addHandler(logging.NullHandler())

from apache_beam.runners import common  # noqa: E402
from apache_beam.runners.worker import sdk_worker, sdk_worker_main  # noqa: E402

# An error of the work goes to the runner, which ends with it; tracebacks besides would be shown.
for module in (common, sdk_worker):
    logging.getLogger(module.__name__).setLevel(logging.CRITICAL)

# It warns that it finds no pickled session; no function here comes from one.
logging.getLogger(sdk_worker_main.__name__).addFilter(
    lambda record: "semi_persistent_directory" not in record.getMessage()
)

if __name__ == "__main__":
    # It prints the traceback of an error, too, which it also sends to the runner.
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        sdk_worker_main.main(sys.argv)

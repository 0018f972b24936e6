"""Beam's worker process, which logs to its runner alone: ``python -m components.jobs.worker``."""

import logging
import signal
import sys

from components.shared.process import end_with_parent

if __name__ == "__main__":
    # Before the imports, which take seconds. Ctrl-C reaches all processes of a terminal: whoever
    # started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(signal.SIGKILL)

# Beam logs as it is imported, and the first log without a handler makes one for the terminal.
logging.getLogger().addHandler(logging.NullHandler())

from apache_beam.runners.worker import sdk_worker_main  # noqa: E402

# It warns that it finds no pickled session; no function here comes from one.
logging.getLogger(sdk_worker_main.__name__).addFilter(
    lambda record: "semi_persistent_directory" not in record.getMessage()
)

if __name__ == "__main__":
    sdk_worker_main.main(sys.argv)

"""What Python's fork server does first, in a local run; see :mod:`pipeline.local.processes`."""

import gc
import os
import signal

from components.shared.environment import KFP_RUNTIME
from components.shared.process import end_with_parent

end_with_parent(signal.SIGKILL)
os.environ[KFP_RUNTIME] = "true"  # or kfp would import its compiler
gc.disable()  # for the imports; those that are forked switch it on again

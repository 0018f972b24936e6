"""The pipeline: how the steps are composed, compiled, run and scheduled with Kubeflow Pipelines."""

import os

from components.shared.environment import KFP_RUNTIME

# Importing kfp imports its client for a server, and with that Kubernetes' own, which takes as long
# as all else that a run on this machine imports; but not where kfp takes itself to be in a step.
# Who needs the client imports it by its own name.
_before = os.environ.get(KFP_RUNTIME, "")
os.environ[KFP_RUNTIME] = "true"
import kfp  # noqa: E402, F401

os.environ[KFP_RUNTIME] = _before

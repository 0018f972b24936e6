"""What a pod of the TrainJob runs: train, as the worker that this pod is."""

import os
import sys

from components.train.distributed.cluster import tf_config_of_pod


def main() -> None:
    """Sets TF_CONFIG and becomes the train step with the same arguments."""
    name, nodes = os.environ["TRAINJOB"], int(os.environ["TRAINJOB_NODES"])
    os.environ["TF_CONFIG"] = tf_config_of_pod(name, nodes, int(os.environ["JOB_COMPLETION_INDEX"]))
    os.execv(sys.executable, [sys.executable, "-m", "components.train", *sys.argv[1:]])


if __name__ == "__main__":
    main()

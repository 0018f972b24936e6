"""TF_CONFIG of a pod of a TrainJob; Kubeflow Trainer has no runtime that would set it.

JobSet names the pods of a replicated job ``<job set>-<job>-<replica>-<index>``, reached
in the domain of its service ``<job set>``; the JobSet has the name of the TrainJob.
"""

import json

JOB = "node"  # Kubeflow Trainer's name for the job that trains
PORT = 2222


def tf_config(trainjob: str, nodes: int, index: int, port: int = PORT) -> str:
    """Returns TF_CONFIG, the same cluster for every pod and each its own task.

    Args:
        trainjob: Name of the TrainJob.
        nodes: Its number of pods.
        index: The pod's JOB_COMPLETION_INDEX.
        port: Port on which workers listen.
    """
    if not 0 <= index < nodes:
        raise ValueError(f"JOB_COMPLETION_INDEX is {index}, expected 0 to {nodes - 1}")
    workers = [f"{trainjob}-{JOB}-0-{each}.{trainjob}:{port}" for each in range(nodes)]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})

"""What Argo's controller makes of the compiled pipeline, by how the run ends.

The files hold a workflow's status as version 4.0.5 of the controller wrote it, with the compiler of
Kubeflow Pipelines 2.17.0 before it and pods that ended as told; all but ``failed-plain`` under the
defaults that Kubeflow Pipelines gives Argo, which retry groups too. Those of the second pipeline
are made up of them: a watch stands under its condition as push does.
"""

import json
import re
from pathlib import Path
from typing import Any

# Of predict and watch, by what each is made of.
NIGHTS = {"watched": "published", "nothing-new": "not-blessed"}

RUN = "6f1c3c55-5a1e-4b8c-9b64-3a1f6f0d2c11"


def workflow(name: str) -> dict[str, Any]:
    """Returns a workflow of the run ``RUN``."""
    if name in NIGHTS:
        return _night(workflow(NIGHTS[name]))
    path = Path(__file__).with_name(f"{name}.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _night(recorded: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(recorded).replace("evaluate", "predict").replace("push", "watch")
    made: dict[str, Any] = json.loads(text)
    nodes = made["status"]["nodes"]
    earlier = re.compile(r"\.(ingest|train)(\b|-driver)")
    kept = {key: node for key, node in nodes.items() if not earlier.search(node["name"])}
    made["status"]["nodes"] = kept
    return made

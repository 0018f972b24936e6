"""What has a server in production serve the champion of a registry, at its exact address."""

import json
import re
from collections.abc import Callable

from components.shared.errors import StepError

_TENSORFLOW_SERVING = """\
model_config_list {{
  config {{
    name: {name}
    base_path: {base}
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
  }}
}}"""

# The one version lies alone in what KServe's TensorFlow Serving takes for the model's directory.
_KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
spec:
  predictor:
    serviceAccountName: models-reader
    minReplicas: 1
    maxReplicas: 4
    storageUris:
      - uri: {uri}
        mountPath: /mnt/models/{version}
    model:
      modelFormat:
        name: tensorflow
      protocolVersion: v1
      resources:
        requests:
          cpu: 500m
          memory: 512Mi
        limits:
          cpu: "2"
          memory: 1Gi"""


def tensorflow_serving(model_name: str, location: str, version: int) -> str:
    """Returns TensorFlow Serving's model configuration, pinned to a version.

    Args:
        model_name: The model's name.
        location: Where the server sees the model: a directory or an address.
        version: The one to serve.

    Raises:
        StepError: TensorFlow has no file system for it.
    """
    if location.startswith("s3://"):
        raise StepError(
            f"{location}: TensorFlow Serving reads no s3://; take --format kserve, or name a copy "
            "in a directory as --base-path"
        )
    return _TENSORFLOW_SERVING.format(
        name=json.dumps(model_name), base=json.dumps(location), version=version
    )


def kserve(model_name: str, location: str, version: int) -> str:
    """Returns KServe's manifest for a version, KServe 0.16 or later.

    KServe itself would copy all versions and serve the highest. The slash at the end keeps it from
    taking 30 for a part of 3.

    Raises:
        StepError: KServe cannot read the registry, or the model's name cannot be a service's.
    """
    if "://" not in location:
        raise StepError(
            f"{location}: a directory, which KServe does not see; give --base-path, the model's "
            "address for KServe, as gs://bucket/registry/digits"
        )
    name = model_name.lower().replace("_", "-")
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise StepError(
            f"model {model_name!r}: Kubernetes wants a letter first, and a letter or digit last"
        )
    return _KSERVE.format(
        name=name, uri=json.dumps(f"{location.rstrip('/')}/{version}/"), version=version
    )


FORMATS: dict[str, Callable[[str, str, int], str]] = {
    "tf-serving": tensorflow_serving,
    "kserve": kserve,
}

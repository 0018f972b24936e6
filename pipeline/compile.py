"""The pipeline as a file that Kubeflow Pipelines takes."""

from kfp import dsl
from kfp.compiler import Compiler

from components.config import DESCRIPTION, PIPELINE_NAME
from components.shared.errors import StepError
from pipeline.cluster import Cluster, compiling_for
from pipeline.pipeline import mnist


def compile_to(output: str, cluster: Cluster) -> None:
    """Compiles the pipeline with the settings of a cluster.

    Raises:
        StepError: The settings do not fit together.
    """
    if cluster.nodes > 1 and not cluster.pvc:
        raise StepError(f"{cluster.nodes} nodes, but no --pvc that they share; name one")
    config = dsl.PipelineConfig(ttl_seconds_after_finished=cluster.ttl or None)
    decorate = dsl.pipeline(name=PIPELINE_NAME, description=DESCRIPTION, pipeline_config=config)
    with compiling_for(cluster):
        Compiler().compile(decorate(mnist.pipeline_func), output)

"""A pipeline as a file that Kubeflow Pipelines takes."""

from pathlib import Path
from tempfile import TemporaryDirectory

from kfp import dsl
from kfp.compiler import Compiler

from components.shared.errors import StepError
from components.shared.storage import write_text
from pipeline.cluster import Cluster, compiling_for
from pipeline.pipelines import Pipeline

ENDINGS = (".yaml", ".yml")


def compile_to(output: str, cluster: Cluster, pipeline: Pipeline) -> None:
    """Compiles a pipeline with the settings of a cluster.

    Args:
        output: The file to write, with the directories above it; it appears whole or stays as
            it is.
        cluster: The settings.
        pipeline: Which one.

    Raises:
        StepError: The settings do not fit together.
        OSError: The file cannot be written.
    """
    if cluster.nodes > 1 and not cluster.pvc:
        raise StepError(f"{cluster.nodes} nodes, but no --pvc that they share; name one")
    # All three, since an installation has defaults for each, and Argo prefers the first two.
    ttl = cluster.ttl or None
    config = dsl.PipelineConfig(
        ttl_seconds_after_success=ttl,
        ttl_seconds_after_failure=ttl,
        ttl_seconds_after_finished=ttl,
    )
    decorate = dsl.pipeline(
        name=pipeline.name, description=pipeline.description, pipeline_config=config
    )
    if Path(output).suffix not in ENDINGS:
        raise StepError(f"{output}: expected a name that ends with {' or '.join(ENDINGS)}")
    with compiling_for(cluster), TemporaryDirectory() as aside:
        compiled = Path(aside) / pipeline.file
        Compiler().compile(decorate(pipeline.function().pipeline_func), str(compiled))
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(output), compiled.read_text(encoding="utf-8"))

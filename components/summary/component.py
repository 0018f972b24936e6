"""The KFP face of summary."""

from kfp import dsl

from pipeline.cluster import image


@dsl.component(base_image=image("push"), packages_to_install=[], install_kfp_package=False)
def summary(
    status: dsl.PipelineTaskFinalStatus,
    summary: dsl.Output[dsl.Artifact],
    source: str,
    destination: str,
) -> None:
    """Writes how the run ended."""
    import dataclasses
    from pathlib import Path

    from components.summary.summary import summarize

    parameters = {"source": source, "destination": destination}
    print(summarize(dataclasses.asdict(status), parameters, Path(summary.path)))

"""The KFP face of summary."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("push"), packages_to_install=[], install_kfp_package=False)
def summary(
    status: dsl.PipelineTaskFinalStatus,
    summary: dsl.Output[dsl.Artifact],
    run_id: str,
    run_page: str,
    source: str,
    destination: str,
    webhook: str,
    heartbeat: str,
) -> None:
    """Writes how the run ended, tells the webhook, and calls the heartbeat of a success."""
    import dataclasses
    import os
    from pathlib import Path

    from components.shared.command_line import exit_on_error
    from components.shared.environment import HEARTBEAT, WEBHOOK
    from components.shared.errors import log_line
    from components.summary.servers import beat, notify
    from components.summary.summary import summarize

    parameters = {"source": source, "destination": destination}
    final = dataclasses.asdict(status)
    with exit_on_error(step="summary"):
        line, succeeded = summarize(final, run_id, run_page, parameters, Path(summary.path))
    if address := webhook or os.environ.get(WEBHOOK):
        log_line(notify(address, line))
    address = heartbeat or os.environ.get(HEARTBEAT)
    if address and succeeded:
        log_line(beat(address))

"""The KFP face of push."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("push"), packages_to_install=[], install_kfp_package=False)
def push(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    published: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    run_id: str,
    destination: str,
    model_name: str,
    hold: bool,
    export: str,
    max_serving_ms: float,
    max_model_mib: float,
) -> str:
    """Publishes the blessed model and returns where its version lies."""
    from pathlib import Path

    from components.config import Push
    from components.push.push import figures, push
    from components.shared.command_line import exit_on_error

    given = locals()
    with exit_on_error(step="push"):
        config = Push.pick(given)
        address = push(config, Path(model.path), Path(evaluation.path), run_id)
        found = figures(config, address)
        for name, value in found.items():
            metrics.log_metric(name, value)
        # Not as its uri: KFP's launcher fails a step with an artifact in a bucket not its own.
        published.metadata |= {"address": address, **found}
    return address

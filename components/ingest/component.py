"""The KFP face of ingest."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("ingest"), packages_to_install=[], install_kfp_package=False)
def ingest(
    examples: dsl.Output[dsl.Dataset],
    statistics: dsl.Output[dsl.HTML],
    source: str,
    class_names: str,
    image_column: str,
    label_column: str,
    grey: bool,
    resize: str,
    shape: str,
    transpose: bool,
    validation_size: int,
    validation_share: float,
    test_share: float,
    span: int,
    until: str,
    shard_size: int,
    max_rejected: float,
    previous: str,
    max_drift: float,
    cache: str,
    destination: str,
    model_name: str,
    no_champion: bool,
) -> None:
    """Writes the splits of a source as TFRecord shards, if they fit the champion."""
    import os
    import shutil
    from pathlib import Path

    from components.config import Ingest
    from components.ingest.ingest import ingest
    from components.ingest.report import FILE
    from components.registry.fit import check_fits_champion
    from components.shared.command_line import exit_on_error
    from components.shared.environment import EARLIER

    given = locals()
    with exit_on_error(step="ingest"):
        config = Ingest.pick(given)
        earlier = os.environ.get(EARLIER)
        dataset = ingest(config, Path(examples.path), earlier=Path(earlier) if earlier else None)
        shutil.copy(Path(examples.path) / FILE, statistics.path)
        if not no_champion:
            check_fits_champion(destination, model_name, dataset)
    examples.metadata["fingerprint"] = dataset.fingerprint
    for name, split in dataset.splits.items():
        examples.metadata[name] = split.records

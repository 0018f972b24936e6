"""A version taken from one registry to another: from development to staging, and to production."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.config import Push
from components.registry.registry import Registry, Release
from components.registry.validation import SAMPLES, validate
from components.shared.errors import log_line


def copy_version(source: Registry, version: int, target: Registry, config: Push) -> int:
    """Publishes a version in another registry, under that one's next number; it stays what it is.

    The version is read through against its checksums, proved in a fresh process on the machine that
    copies, and published like a push of the run that made it: killed at any moment and called
    again, it appears once, whole. Nothing is made champion.

    Args:
        source: The registry that has it.
        version: Its number there.
        target: The registry that gets it.
        config: The bounds of the validation.

    Returns:
        Its number in the other registry.

    Raises:
        StepError: It is damaged, does not answer as it did, or the other registry cannot be
            written.
    """
    manifest = source.manifest(version)
    found = target.published_by(manifest.run_id, manifest.model_sha256)
    if found is not None:
        log_line(f"Version {found} holds this model already: {target.location}/{found}")
        return found
    with TemporaryDirectory() as cache:
        directory = source.fetch(version, Path(cache))
        # A version that an earlier release published came without its samples.
        samples = directory / SAMPLES if SAMPLES in manifest.files else None
        validation = validate(config, directory, samples)
        release = Release(
            run_id=manifest.run_id,
            model_sha256=manifest.model_sha256,
            precision_at_1=manifest.precision_at_1,
            validation=validation,
            files={name: directory / name for name in manifest.files},
            code=manifest.code,
            copied_from=manifest.copied_from or f"{source.location}/{version}",
            digests=manifest.files,
        )
        number = target.publish(release)
    log_line(f"Copied {source.location}/{version} to {target.location}/{number}")
    return number

"""What the tests of push share with those of the registry that it publishes to."""

from collections.abc import Sequence

import pytest

from components.registry import validation
from tests.forked import run_forked
from tests.registry.conftest import bucket, destination, gs, make_release, registry, s3

__all__ = ["bucket", "destination", "gs", "make_release", "registry", "s3"]


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the fresh process that proves a model be forked, see :mod:`tests.forked`."""

    def start(module: str, arguments: Sequence[str]) -> validation._Ended:
        ended = run_forked("-m", module, *arguments, environment=validation.QUIET)
        return validation._Ended(ended.returncode, ended.stdout, ended.stderr)

    monkeypatch.setattr(validation, "_start", start)

"""The house keeps its shape: each contract of ``make lint`` fails on an import against it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"
PACKAGES = ("components", "pipeline", "bench", "tests")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code in another place, each test to leave it as it was."""
    directory = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", directory)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, directory / package, ignore=ignored)
    return directory


def lint_imports(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout
    assert " 0 broken" in linted.stdout


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("layers", "components/shared/errors.py", "from pipeline import compile"),
        ("layers", "pipeline/cluster.py", "import tests.conftest"),
        ("steps", "components/train/fit.py", "import components.evaluate.figures"),
        ("steps", "components/registry/state.py", "import components.push.push"),
        ("steps", "components/config.py", "import components.shared.errors"),
        ("steps", "components/new/__init__.py", '"""A package that no layer has."""'),
        ("circles", "components/registry/storage.py", "import components.registry.local_storage"),
        ("tensorflow", "components/registry/registry.py", "import tensorflow"),
        ("starts-fast", "components/train/__main__.py", "import components.train.model"),
        ("starts-fast", "components/train/distributed/trainjob.py", "import components.train.loop"),
        ("kfp", "components/train/train.py", "def later() -> None:\n    from kfp import dsl"),
        ("faces", "components/train/__main__.py", "import components.train.component"),
        ("optuna", "components/train/train.py", "def later() -> None:\n    import optuna"),
        ("beam", "components/train/batches.py", "import apache_beam.io"),
    ],
)
def test_import_against_the_contract_is_named(
    copy: Path, contract: str, file: str, line: str
) -> None:
    path = copy / file
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        linted = lint_imports(copy, "--contract", contract)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before, encoding="utf-8")
    assert linted.returncode == 1
    assert "1 broken" in linted.stdout
    module = file.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    assert module in linted.stdout.replace("\n", "") or contract == "circles"

"""What the images are built by: a pinned base, no root, no secrets, what a step imports."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from components.config import Ingest
from pipeline.cluster import image_name
from pipeline.pipelines import PIPELINES
from tests.conftest import ROOT
from tests.docker.lock_files import IMAGES, lock_of, packages

STEPS = [*(step for pipeline in PIPELINES.values() for step in pipeline.step_names), "summary"]
TEXT = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def stages() -> dict[str, list[str]]:
    """Returns the instructions of each stage by its name, each on a line of its own."""
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines():
        if start := re.match(r"FROM (\S+) AS (\S+)$", line):
            current = start[2]
            found[current] = [line]
        elif line and not line.startswith("#"):
            found[current].append(line)
    return found


def arguments(stage: str, instruction: str) -> list[str]:
    """Returns what follows an instruction, each time that a stage has it."""
    start = f"{instruction} "
    return [line.removeprefix(start) for line in stages()[stage] if line.startswith(start)]


def copied(stage: str) -> set[Path]:
    """Returns what a stage has of the project's folder, by those it is built on and takes from."""
    if stage not in stages():
        return set()
    found = copied(stages()[stage][0].split()[1])
    for words in arguments(stage, "COPY"):
        if other := re.match(r"--from=(\S+) ", words):
            found |= copied(other[1])
        else:
            found |= {ROOT / word for word in words.split()[:-1]}
    return found


def code(image: str) -> set[Path]:
    """Returns the Python files that an image has of the project."""
    files = {file for path in copied(image) for file in [path, *path.rglob("*.py")]}
    return {file for file in files if file.suffix == ".py"}


def package(file: Path) -> str:
    """Returns the name of the package of components that a file belongs to."""
    return ".".join(file.relative_to(ROOT).parts[:2]).removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yields the modules that a file imports as it runs; of a component, as its function does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    component = path.name == "component.py"
    nodes = [node for node in tree.body if not component or isinstance(node, ast.FunctionDef)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        nodes += ast.iter_child_nodes(node)  # type: ignore[arg-type]


def file_of(module: str) -> Path | None:
    """Returns the file of a module of the project, and None for what is none."""
    path = ROOT / module.replace(".", "/")
    found = [path.with_suffix(".py"), path / "__init__.py"]
    return next((file for file in found if file.is_file()), None)


def reached(image: str) -> tuple[set[Path], set[str]]:
    """Returns the project's files, and the modules of others, that an image's steps import."""
    steps = [step for step in STEPS if image in (image_name(step), image_name(step, gpus=1))]
    todo = [
        path
        for step in steps
        for face in ("component.py", "__main__.py")
        for path in (ROOT / "components" / step).rglob(face)
    ]
    files: set[Path] = set()
    others: set[str] = set()
    while todo:
        path = todo.pop()
        for module in set(imports(path)):
            file = file_of(module)
            if file and file not in files:
                files.add(file)
                todo.append(file)
            elif not module.startswith("components"):
                others.add(module.split(".")[0])
    return files, others - sys.stdlib_module_names


def test_every_step_has_an_image() -> None:
    assert {image_name(step, gpus) for step in STEPS for gpus in (0, 1)} == set(IMAGES)
    assert set(IMAGES) < stages().keys()


def test_the_base_image_is_pinned_by_digest_and_can_be_chosen() -> None:
    assert re.match(r"ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", stages()[""][0])
    bases = {line.split()[1] for name in stages() if name for line in stages()[name][:1]}
    assert bases <= {"${BASE_IMAGE}", *stages()}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_does_not_run_as_root(image: str) -> None:
    (user,) = arguments(image, "USER")
    assert all(int(number) > 0 for number in user.split(":"))


@pytest.mark.parametrize("image", IMAGES)
def test_an_images_process_is_python_itself_and_kfp_can_replace_it(image: str) -> None:
    assert len(arguments(image, "CMD")) == 1
    assert arguments(image, "CMD")[0].startswith('["python", ')
    assert "ENTRYPOINT" not in TEXT
    assert "HEALTHCHECK" not in TEXT


def test_nothing_of_the_machine_that_builds_stays_in_an_image() -> None:
    assert re.findall(r"^ARG (\w+)", TEXT, re.MULTILINE) == ["BASE_IMAGE"]
    assert not re.search(r"(?i)password|token|credential|index_url|://", TEXT)
    for name, lines in stages().items():
        for line in lines:
            if "install-lock.sh /" in line or "pip install" in line:
                assert "type=secret,id=index" in line and "type=secret,id=ca" in line, name


def test_images_hold_no_tools_of_the_build() -> None:
    for image in ("base", "tensorflow", *IMAGES):
        assert not any("--from=tools" in line for line in arguments(image, "COPY"))
        assert not any("/tools" in line.split()[-1] for line in arguments(image, "COPY"))


def test_ingest_finds_the_default_source_in_its_image() -> None:
    assert arguments("base", "WORKDIR") == ["/app"] and not arguments("ingest", "WORKDIR")
    assert f"{Ingest.source} {Ingest.source}" in arguments("ingest", "COPY")
    assert (ROOT / Ingest.source).is_dir()
    assert f"!{Ingest.source}" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_code_that_its_steps_import(image: str) -> None:
    files, _ = reached(image)
    assert len(files) > 3
    assert files <= code(image)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_no_other_code_which_would_change_its_digest(image: str) -> None:
    files, _ = reached(image)
    needed = {package(file) for file in files} | {"components.__init__"}
    assert {package(file) for file in code(image)} <= needed


def test_a_build_sees_neither_the_pipeline_nor_the_tests() -> None:
    first, *rest = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1:]
    seen = {line[1:].split("/")[0] for line in rest if line.startswith("!")}
    assert first == "*"
    assert seen == {"components", "data", "docker", "pyproject.toml", "requirements.txt", "uv.lock"}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_packages_that_its_steps_import(image: str) -> None:
    _, modules = reached(image)
    owners = packages_distributions()
    held = packages(lock_of(image)).keys() | packages(lock_of("kfp")).keys()
    same = {"tensorflow-cpu": "tensorflow"} if image == "train-gpu" else {}
    for module in modules:
        found = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[module]}
        assert {same.get(owner, owner) for owner in found} & held, f"{image} imports {module}"

"""What a local run replaces in ``kfp.local``, which has no settings for it: five functions.

kfp names a run and its id itself, sends a step's output to its own terminal and starts processes
and containers with no way in. Each replacement holds as long as the run, and each says what would
make it superfluous. What local runs lack as a whole is collected upstream in
https://github.com/kubeflow/pipelines/issues/11793.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import kfp.local
from kfp.local import (
    docker_task_handler,
    executor_input_utils,
    placeholder_utils,
    subprocess_task_handler,
)

from pipeline.local.processes import Command


@contextlib.contextmanager
def set_up(directory: Path, runner: Any) -> Iterator[None]:
    """Sets kfp.local up for one run, and writes what kfp itself prints to ``kfp.log``.

    Args:
        directory: The run's. Its name is the run's for kfp, too.
        runner: kfp's, as :func:`process_runner` or a :class:`kfp.local.DockerRunner`.
    """
    with (
        (directory / "kfp.log").open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        warnings.catch_warnings(),
        # 1. kfp would make a directory of its own, by the time; it takes no name for a run.
        _replaced(
            executor_input_utils, "get_local_pipeline_resource_name", lambda _: directory.name
        ),
        # 2. dsl.PIPELINE_JOB_ID_PLACEHOLDER is what a version in the registry is known by: on a
        # cluster the run's id, here a number drawn for each use. A run's name finds its directory.
        _replaced(placeholder_utils, "make_random_id", lambda: directory.name),
    ):
        warnings.filterwarnings("ignore", "You may be attemping to run", RuntimeWarning)
        kfp.local.init(runner, pipeline_root=str(directory.parent))
        yield


@contextlib.contextmanager
def process_runner(
    run_step: Callable[[list[str], Command], int], variables: Mapping[str, str]
) -> Iterator[Any]:
    """Has kfp.local run its processes through a function; yields kfp's runner.

    Args:
        run_step: Takes KFP's command line of a step, and what it comes to; returns the exit code.
        variables: Of a step's environment.
    """

    def run_process(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        source, *options = full_command[full_command.index("-ec") + 2 :]
        arguments = dict(zip(options[::2], options[1::2], strict=True))
        command = Command(
            arguments["--function_to_execute"],
            source,
            json.loads(arguments["--executor_input"]),
            {**(env_vars or {}), **variables},
        )
        return run_step(full_command, command)

    with (
        # 3. kfp's own writes the interpreter's path over every "python3", in parameters too, and
        # has a shell take it apart: https://github.com/kubeflow/pipelines/issues/14459
        _replaced(subprocess_task_handler, "replace_python_executable", lambda command, _: command),
        # 4. A process has done its imports before its turn comes, is shown as it goes, and gets
        # time to save a checkpoint; kfp starts a fresh interpreter and prints.
        _replaced(subprocess_task_handler, "run_local_subprocess", run_process),
    ):
        yield kfp.local.SubprocessRunner(use_venv=False)


@contextlib.contextmanager
def container_runner(run_container: Callable[..., int]) -> Iterator[None]:
    """Has kfp.local run its containers through a function.

    Args:
        run_container: Takes docker's client, an image, a command, and keywords for the container;
            returns the exit code.
    """
    # 5. kfp's own has the engine remove a container at its end, before it asks for the exit code,
    # and takes one that is gone for one that succeeded:
    # https://github.com/kubeflow/pipelines/issues/13332
    with _replaced(docker_task_handler, "run_docker_container", run_container):
        yield


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, function: Callable) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)

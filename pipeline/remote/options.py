"""What the command lines of submit and schedule have in common: their options."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from components.config import RECIPES
from components.shared.addresses import redacted_text
from components.shared.command_line import build_all
from components.shared.errors import StepError
from pipeline.pipelines import MNIST, PIPELINES, Pipeline, redacted_parameters

if TYPE_CHECKING:
    from pipeline.compile import Package
    from pipeline.remote.client import Connection, Request

CONNECTION = ("host", "token", "token_file", "cookies", "namespace")
REQUEST = ("parameters", "experiment", "name", "service_account")
ENDPOINT = "KF_PIPELINES_ENDPOINT"
NEWEST = "newest"  # in place of an uploaded version's name

Decorator = Callable[[Callable], Callable]


def selected_pipeline(context: click.Context) -> Pipeline:
    """Returns the pipeline that ``--pipeline`` names."""
    return PIPELINES[context.params["pipeline"]]


def _address(_: click.Context, __: click.Parameter, host: str) -> str:
    host = host.rstrip("/")
    return host if "://" in host or not host else f"http://{host}"


def _read_params(file: Path, pipeline: str) -> dict[str, str]:
    """Returns a pipeline's part of a file of parameters, as text, like what ``-p`` takes."""
    import yaml

    def bad(reason: str) -> click.BadParameter:
        return click.BadParameter(f"{file}: {reason}.", param_hint="--params")

    try:
        parts = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise bad(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(parts, dict) or not parts.keys() <= PIPELINES.keys():
        expected = " and ".join(f"'{name}:'" for name in PIPELINES)
        raise bad(f"expected the parts {expected}, a pipeline each")
    values = parts.get(pipeline)
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise bad(f"expected under '{pipeline}:' a line a parameter, as 'max_steps: 2000'")
    return values


def _typed(context: click.Context, _: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Returns the parameters by name, in their types; they are checked before anything is sent."""
    pipeline = selected_pipeline(context)
    file = context.params["params"]
    values: dict[str, Any] = _read_params(file, pipeline.name) if file else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r}, expected name=value, as max_steps=2000.")
        values[name.replace("-", "_")] = value
    if recipe := values.pop("recipe", ""):
        if recipe not in RECIPES:
            known = ", ".join(RECIPES)
            raise click.BadParameter(f"recipe={recipe}, expected one of {known}.")
        values = RECIPES[recipe] | values
    typed = build_all(pipeline.parameters, values)
    try:
        _check_addresses(typed)
    except StepError as error:
        raise click.BadParameter(f"{error}.") from None
    if unknown := sorted(values.keys() - typed):
        raise click.BadParameter(
            f"no parameter {', '.join(unknown)}; "
            f"'python -m pipeline {pipeline.command} --help' lists them all."
        )
    return typed


def _check_addresses(parameters: dict[str, Any]) -> None:
    """Sees that the steps know what kind of address sources and destination are.

    Raises:
        StepError: They do not.
    """
    sources = ",".join(str(parameters.get(name, "")) for name in ("source", "retrain"))
    destination = str(parameters.get("destination", ""))
    if "://" in sources:
        from components.sources.fake import SCHEME, open_fake
        from components.sources.files import check_scheme

        for part in map(str.strip, sources.split(",")):
            check_scheme(part)
            if part.startswith(SCHEME):
                open_fake(part)
    if "://" in destination:
        from components.registry.open_storage import BUCKETS

        if (scheme := destination.partition("://")[0]) not in BUCKETS:
            known = ", ".join(f"{scheme}://" for scheme in BUCKETS)
            raise StepError(f"{scheme}://…: expected a directory, or an address with {known}")


def _all_of(*options: Decorator) -> Decorator:
    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# Which pipeline; callbacks of the other options look there.
pipeline_option = click.option(
    "--pipeline",
    type=click.Choice(list(PIPELINES)),
    default=MNIST.name,
    show_default=True,
    is_eager=True,
    help="Which pipeline.",
)

# The compiled pipeline.
file_option = click.option(
    "--file",
    "package",
    default=None,
    show_default=", ".join(pipeline.file for pipeline in PIPELINES.values()),
    callback=lambda context, _, file: Path(file or selected_pipeline(context).file),
    type=click.Path(path_type=Path),
    help="The compiled pipeline.",
)

# How to reach the server.
connection_options = _all_of(
    click.option(
        "--host",
        default="",
        envvar=ENDPOINT,
        show_envvar=True,
        callback=_address,
        help="Address of the Kubeflow Pipelines API, as http://localhost:8080.",
    ),
    click.option(
        "--token",
        default="",
        envvar="KFP_TOKEN",
        show_envvar=True,
        help="Bearer token to sign in.",
    ),
    click.option(
        "--token-file",
        default=None,
        envvar="KFP_TOKEN_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False),
        help="File with the bearer token, read for every request, so that waiting outlives a "
        "token that a cluster replaces; for it, --token is left out.",
    ),
    click.option(
        "--cookies",
        default="",
        envvar="KFP_COOKIES",
        show_envvar=True,
        help="Cookies to sign in.",
    ),
    click.option(
        "--namespace", default="", help="Your namespace, in an installation for several users."
    ),
)


# The pipeline's parameters: by hand, over those of a file.
_parameter_options = _all_of(
    click.option(
        "-p",
        "--parameter",
        "parameters",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_typed,
        help="A parameter of the pipeline, as max_steps=2000, or recipe=best for all that a recipe "
        "sets; give it again for more.",
    ),
    click.option(
        "--params",
        metavar="FILE",
        default=None,
        is_eager=True,  # so that it is there for -p, whose parameters are laid over these
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Parameters in YAML, as deploy/environments/staging.yaml; -p goes before them.",
    ),
)


def request_options(
    what: str, name: Callable[[Pipeline, dict[str, Any]], str], default: str, newest: str
) -> Decorator:
    """Adds the options that say what to run.

    Args:
        what: What is made of it.
        name: Gives it a name by its pipeline and parameters, where none is given.
        default: Says in the help what that is.
        newest: Says in the help which version is meant where none is named.
    """
    return _all_of(
        pipeline_option,
        file_option,
        click.option(
            "--uploaded",
            is_flag=False,
            flag_value=NEWEST,
            default="",
            metavar="[VERSION]",
            help="In place of a file: a version that the server has, by its name or its "
            f"beginning. Without one: {newest}.",
        ),
        _parameter_options,
        click.option(
            "--experiment",
            "-e",
            default="",
            show_default="the pipeline's name",
            callback=lambda context, _, name: name or selected_pipeline(context).name,
            help="Experiment.",
        ),
        click.option(
            "--name",
            default="",
            show_default=default,
            callback=lambda context, _, given: (
                given or name(selected_pipeline(context), context.params["parameters"])
            ),
            help=f"Name of the {what}.",
        ),
        click.option(
            "--service-account",
            default="",
            help="Kubernetes service account of the pods; empty: the installation's.",
        ),
        click.option("--dry-run", is_flag=True, help="Check all and show it, but send nothing."),
    )


def read_connection(values: dict[str, Any]) -> "Connection":
    """Returns what the options say of the server.

    Raises:
        click.UsageError: No server is named.
    """
    from pipeline.remote.client import Connection

    context = click.get_current_context()
    settings = {name: values[name] or "" for name in CONNECTION}
    # 'schedule --host … list' says it before the subcommand, 'schedule list --host …' behind.
    group = context.parent.params if context.parent else {}
    for name in settings.keys() & group.keys():
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            settings[name] = group[name]
    if not settings["host"]:
        raise click.UsageError(f"Missing option '--host', or the variable {ENDPOINT}.")
    return Connection(**settings)


def read_package(values: dict[str, Any]) -> "Package":
    """Returns the compiled pipeline that the options name.

    Raises:
        click.BadParameter: It is not the selected one.
        StepError: The file is not a compiled pipeline.
    """
    from pipeline.compile import Package

    package = Package.read(values["package"])
    # The options were checked against the selected pipeline; a file that is not of this project at
    # all is its owner's affair.
    others = PIPELINES.keys() - {selected_pipeline(click.get_current_context()).name}
    if (name := package.name) in others:
        raise click.BadParameter(
            f"{values['package']} holds the pipeline {name}; add --pipeline {name}.",
            param_hint="--file",
        )
    return package


def read_request(values: dict[str, Any], server: "Connection") -> "Request":
    """Returns what the options say of the run.

    Raises:
        click.UsageError: The compiled pipeline is not the selected one, or lacks a parameter; or
            what the options ask for does not go together.
        StepError: The file is not a compiled pipeline, or the server has no such version.
    """
    from pipeline.remote.client import Request

    rest = {name: values[name] for name in REQUEST}
    if not values["uploaded"]:
        where, request = values["package"], Request(read_package(values), **rest)
    else:
        where, request = _read_uploaded(values["uploaded"], server, rest)
    if missing := sorted(request.parameters.keys() - request.package.inputs.keys()):
        raise click.BadParameter(
            f"{where} has no parameter {', '.join(missing)}; run 'make compile'.",
            param_hint="-p",
        )
    return request


def _read_uploaded(
    version: str, server: "Connection", rest: dict[str, Any]
) -> tuple[str, "Request"]:
    from pipeline.compile import UNTIL
    from pipeline.remote.client import Request
    from pipeline.remote.uploads import find

    context = click.get_current_context()
    if context.get_parameter_source("package") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--file and --uploaded: expected one of them.")
    if UNTIL in rest["parameters"]:
        raise click.BadParameter(
            f"{UNTIL}: an uploaded pipeline reads up to the time of each run; leave it out, or "
            "give --file instead of --uploaded.",
            param_hint="-p",
        )
    pipeline = selected_pipeline(context).name
    found = find(server, pipeline, "" if version == NEWEST else version)
    ids = {"pipeline_id": found.pipeline_id, "version_id": found.version_id}
    return f"{pipeline}, version {found.name},", Request(found.package, **rest, uploaded=ids)


def destination_problem(pipeline: Pipeline, request: "Request") -> str:
    """Says what to do where the registry would lie in a pod: gone with it, or empty; "" if not."""
    package = request.package
    destination = str(request.parameters.get("destination") or package.default("destination"))
    if "://" in destination:
        return ""
    volumes = package.volumes(pipeline.registry_step)
    if any(Path(destination).is_relative_to(volume) for volume in volumes):
        return ""
    on_volume = f"{volumes[0]}/registry" if volumes else "a directory on the volume of --pvc"
    why = "and gone with it" if pipeline.fills_registry else "where no model is published"
    return (
        f"destination {redacted_text(destination)!r} is a directory of a pod {why}; name a "
        f"bucket, as -p destination=gs://bucket/registry, or {on_volume}."
    )


def print_request(values: dict[str, Any], request: "Request", **more: Any) -> None:
    """Prints what would be sent."""
    shown = {
        **(request.uploaded or {"file": str(values["package"])}),
        "experiment": request.experiment,
        "name": request.name,
        "parameters": redacted_parameters(request.parameters),
    }
    click.echo(json.dumps(shown | more, indent=2))

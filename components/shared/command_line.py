"""Command lines made from the configuration, so that no option has a second home."""

import errno
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from components.config import RECIPES, SECRET, Options, Train
from components.shared.addresses import redacted_text
from components.shared.errors import StepError, explain
from components.shared.outcome import Outcome, report_outcome

Config = TypeVar("Config", bound=Options)


class Place(click.types.StringParamType):
    """A text that may be a path: ``~`` at its start is the home directory.

    A shell leaves it in ``--source=~/digits``.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text, the home directory in place of ``~``."""
        text = str(super().convert(value, param, ctx))
        if text != "~" and not text.startswith("~/"):
            return text
        try:
            return str(Path(text).expanduser())
        except RuntimeError:
            self.fail(f"{text!r}: this user has no home directory.", param, ctx)


def options(config: type[Options]) -> list[click.Parameter]:
    """Makes one option for each field of a configuration; of train's, also those of recipes."""
    fields: dict[str, FieldInfo] = config.__pydantic_fields__  # type: ignore[attr-defined]
    made: list[click.Parameter] = [_option(name, field) for name, field in fields.items()]
    return [*_recipe_options(), *made] if issubclass(config, Train) else made


def _recipe_options() -> list[click.Parameter]:
    settings = "; ".join(
        f"{name}: {', '.join(argument(*setting) for setting in recipe.items())}"
        for name, recipe in RECIPES.items()
    )
    shared: dict[str, Any] = {"is_eager": True, "expose_value": False, "callback": _use_recipe}
    return [
        click.Option(
            ["--recipe"],
            type=click.Choice(list(RECIPES)),
            help=f"Options that go together; those given besides win. {settings}.",
            **shared,
        ),
        click.Option(
            ["--tutorial"],
            flag_value="tutorial",
            help="Train as TensorFlow Mechanics 101 does: --recipe=tutorial.",
            **shared,
        ),
    ]


def _use_recipe(context: click.Context, _: click.Parameter, name: str | None) -> None:
    if name:
        context.default_map = {**(context.default_map or {}), **RECIPES[name]}


def _option(name: str, field: FieldInfo) -> click.Option:
    kind: Any = field.annotation
    if get_origin(kind) is not None:
        kind = click.Choice(get_args(kind))
    if kind is str:
        kind = Place()
    names, switch = flag(name), kind is bool
    extra = field.json_schema_extra
    repeatable = isinstance(extra, dict) and bool(extra.get("repeatable"))
    if switch and not name.startswith("no_"):
        names = f"{names}/--no-{names[2:]}"
    return click.Option(
        [names, name],
        type=None if switch else kind,
        is_flag=switch,
        multiple=repeatable,
        callback=(lambda _, __, values: " ".join(values)) if repeatable else None,
        default=[field.default] if repeatable else field.default,
        show_default=str(field.default) if repeatable else True,
        help=field.description,
    )


def flag(name: str) -> str:
    """Returns a field's option: ``max_steps`` is ``--max-steps``."""
    return "--" + name.replace("_", "-")


def argument(name: str, value: object) -> str:
    """Returns a field's option with its value, one word: ``--max-steps=20``, ``--no-xla``."""
    if isinstance(value, bool):
        return flag(name if value else f"no_{name}")
    return f"{flag(name)}={value}"


def build(config: type[Config], values: dict[str, Any]) -> Config:
    """Builds a configuration from option values.

    Raises:
        click.BadParameter: A value is out of bounds; names the option and the bound.
    """
    try:
        return config.pick(values)
    except ValidationError as error:
        option, problem = _first_problem(error)
        raise click.BadParameter(f"{problem}.", param_hint=option) from None


def build_all(configs: Iterable[type[Options]], values: dict[str, Any]) -> dict[str, Any]:
    """Returns those values that are fields of the configurations, checked and in their types.

    Raises:
        click.BadParameter: A value is out of bounds; names the option and the bound.
    """
    checked: dict[str, Any] = {}
    for config in configs:
        selected = config.select(values)
        built = build(config, selected)
        checked |= {name: getattr(built, name) for name in selected}
    return checked


def _first_problem(error: ValidationError) -> tuple[str, str]:
    first = error.errors()[0]
    name = str(first["loc"][0])
    expectation = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    secret = name in SECRET
    got = "what is not shown here" if secret else redacted_text(repr(first["input"]))
    return flag(name), f"{expectation}, got {got}"


@contextmanager
def exit_on_error(debug: bool = False, step: str = "") -> Iterator[None]:
    """Turns what a person can mend into one line and exit code 1.

    That is a StepError, a wrong configuration, and what the system has against a file: that the
    disk is full, say.

    Args:
        debug: Lets the error through with its traceback instead.
        step: The step that this is the whole of; whatever ends it is its outcome. Empty: none.
    """
    try:
        yield
    except Exception as error:
        # Where who read the output has gone, click ends without a word.
        if getattr(error, "errno", None) == errno.EPIPE:
            raise
        message, mendable = _message(error)
        if step:
            report_outcome(Outcome(step=step, result="failed", message=message))
        if debug or not mendable:
            raise
        print(f"error: {message}", file=sys.stderr, flush=True)
        sys.exit(1)


def _message(error: Exception) -> tuple[str, bool]:
    """Returns an error's line, and whether it is about what a person can mend."""
    if isinstance(error, ValidationError):
        return str(StepError(": ".join(_first_problem(error)))), True
    if isinstance(error, StepError):
        return str(error), True
    if isinstance(error, OSError):
        return str(StepError(explain(error))), True
    return f"{type(error).__name__}: {explain(error)}", False


def step_command(config: type[Options]) -> Callable[[Callable], click.Command]:
    """Makes a function, with the click options of its own, the command line of a step.

    The function receives the built configuration as ``config``. What :func:`exit_on_error` reports
    ends the process with exit code 1, a wrong option with exit code 2.
    """

    def decorate(function: Callable) -> click.Command:
        own: list[click.Parameter] = list(reversed(getattr(function, "__click_params__", [])))
        own_names = {parameter.name for parameter in own}
        for parameter in own:
            if isinstance(parameter.type, click.Path | click.types.StringParamType):
                parameter.type = Place()

        def command(debug: bool, **values: Any) -> None:
            built = build(config, values)
            with exit_on_error(debug, step=config.__name__.lower()):
                function(built, **{name: values[name] for name in values if name in own_names})

        debug = click.Option(["--debug"], is_flag=True, help="Show a traceback with an error.")
        return click.Command(
            None,
            context_settings={"help_option_names": ["-h", "--help"]},
            callback=command,
            params=[*own, *options(config), debug],
            help=function.__doc__,
        )

    return decorate

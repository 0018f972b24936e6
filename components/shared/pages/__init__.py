"""What all pages have in common, and how they are made from templates."""

import html
import os
import re
from datetime import UTC, datetime
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from components.shared.environment import RUN_ID, RUN_PAGE
from components.shared.errors import printable

# Within a word, as in min_precision, an underscore is only that.
_MARKDOWN = re.compile(r"[\\`*\[\]{}|~#!]|(?<=\])\(|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def render(package: str, template: str, **values: Any) -> str:
    """Renders a template; what goes into HTML or Markdown is escaped.

    Args:
        package: Whose template.
        template: Its name; an HTML page extends ``base.html.j2``, and has the macros of
            ``parts.html.j2`` and ``charts.html.j2``.
        values: What it is filled with. The time (``made``), the run's name (``run``) and the
            address of its page (``run_page``), both empty outside a run, are there anyway.
    """
    loaders = [PackageLoader(package, "."), PackageLoader(__name__, ".")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=escape_markdown if template.endswith(".md.j2") else None,
    )
    environment.filters |= {
        "share": lambda value: f"{value:.4f}",
        "count": lambda value: f"{value:,}",
    }
    environment.globals |= {
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "run": os.environ.get(RUN_ID, ""),
        "run_page": os.environ.get(RUN_PAGE, ""),
    }
    return environment.get_template(template).render(values)


def escape_markdown(value: Any) -> Any:
    """Escapes what Markdown or HTML would take for more than text; numbers stay as they are.

    Names of files and classes come from others: a link or an element in them is to be seen, not to
    work.
    """
    if not isinstance(value, str):
        return value
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(printable(value), quote=False))

"""The dress that all pages share, and how they are made from templates."""

import html
import re
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from components.shared.errors import printable

# Within a word, as in min_precision, an underscore is only that.
_MARKDOWN = re.compile(r"[\\`*\[\]{}|~#!]|(?<=\])\(|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def render(package: str, folder: str, template: str, **values: Any) -> str:
    """Renders a template; what goes into HTML or Markdown is escaped.

    Args:
        package: Whose template.
        folder: Where in the package.
        template: Its name; it may include ``page.css``, and import ``charts.html.j2``.
        values: What it is filled with, all that it names.
    """
    loaders = [PackageLoader(package, folder), PackageLoader(__name__, ".")]
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
    return environment.get_template(template).render(values)


def escape_markdown(value: Any) -> Any:
    """Escapes what Markdown or HTML would take for more than text; numbers stay as they are.

    Names of files and classes come from others: a link or an element in them is to be seen, not to
    work.
    """
    if not isinstance(value, str):
        return value
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(printable(value), quote=False))

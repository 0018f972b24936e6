"""The dress that all pages share, and how they are made from templates."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape


def render(package: str, folder: str, template: str, **values: Any) -> str:
    """Renders a template; what goes into HTML is escaped.

    Args:
        package: Whose template.
        folder: Where in the package.
        template: Its name; it may include ``page.css``.
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
    )
    environment.filters |= {
        "share": lambda value: f"{value:.4f}",
        "count": lambda value: f"{value:,}",
    }
    return environment.get_template(template).render(values)

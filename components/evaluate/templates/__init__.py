"""The pages of an evaluation, as Jinja templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, **values: Any) -> str:
    """Renders a template; what goes into HTML is escaped."""
    environment = Environment(
        loader=PackageLoader("components.evaluate"),
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

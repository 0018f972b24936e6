"""The pages of an evaluation, as Jinja templates."""

from typing import Any

from components.shared import pages


def render(template: str, **values: Any) -> str:
    """Renders a template; what goes into HTML or Markdown is escaped."""
    return pages.render("components.evaluate", "templates", template, **values)

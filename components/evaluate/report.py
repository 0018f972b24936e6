"""``report.html``: the evaluation as a page that needs nothing but itself."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from components.shared.manifests import Evaluation

FILE = "report.html"


def write(path: Path, evaluation: Evaluation) -> None:
    """Renders the report of an evaluation."""
    environment = Environment(
        loader=PackageLoader("components.evaluate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(evaluation=evaluation)
    path.write_text(page, encoding="utf-8")

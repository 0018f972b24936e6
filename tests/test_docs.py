"""What the pages name is there: files, pages and their headings, modules and options."""

import importlib
import re
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
OURS = "tests|components|pipeline|docker|deploy|bench|docs"

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(text: str) -> list[list[str]]:
    """Returns the arguments of every ``python -m`` that a page shows, in a line or in a block."""
    joined = re.sub(r"\\\n\s*", "", text)
    shown = re.findall(r"python -m ((?:components|pipeline|bench)\b[^`\n|#]*)", joined)
    return [re.sub(r"[()\"'…]", " ", one).split() for one in shown]


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@by_page
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(rf"`((?:{OURS})/[\w./-]*\w)(?=[`\s])", TEXTS[page])
    assert [path for path in named if not (ROOT / path).exists()] == []


@by_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[page]):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@by_page
def test_every_command_and_its_options_are_there(page: Path) -> None:
    for module, *arguments in commands(TEXTS[page]):
        options = {one.partition("=")[0] for one in arguments if re.match(r"--[a-z]", one)}
        if "--" in arguments:  # what follows is Beam's
            options &= set(arguments[: arguments.index("--")])
        assert options <= known(module, arguments), (module, options - known(module, arguments))


def known(module: str, arguments: list[str]) -> set[str]:
    """Returns the options that a module, or its subcommand, takes."""
    if module.startswith("bench"):  # whose import takes long
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        return set(re.findall(r'"(--[a-z-]+)', source)) | {"--help"}
    face = importlib.import_module(f"{module}.__main__")
    command = getattr(face, "main", None) or face.registry_commands
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    opts = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    return opts | {"--help"}


def test_the_readme_names_every_package_to_read() -> None:
    section = TEXTS[ROOT / "README.md"].split("## Read the code")[1].split("\n## ")[0]
    first, rest = section.split("The rest, by subject:")
    core = re.findall(r"^\| `([\w/.]+\.py)`", first, re.MULTILINE)
    assert len(core) == len(set(core)) <= 25
    assert all((ROOT / path).is_file() for path in core), core
    named = {str(Path(path).parent) for path in core}
    for where, what in re.findall(r"^\| (`.+?`) \| (.+) \|$", rest, re.MULTILINE):
        folders = [ROOT / name for name in re.findall(r"`([\w/.]+)`", where)]
        # A name is of a file in one of the row's folders, or beside one: jobs/output.
        places = [*folders, *(folder.parent for folder in folders)]
        for name in re.findall(r"`([\w/]+)`", what):
            found = [place / name for place in places if (place / f"{name}.py").is_file()]
            found += [place / name for place in places if (place / name).is_dir()]
            assert found, f"README.md: {name} is not in {where}"
            named.add(str(found[0].parent.relative_to(ROOT)))
        named |= {str(folder.relative_to(ROOT)) for folder in folders}
    packages = [
        str(path.parent.relative_to(ROOT))
        for top in ("components", "pipeline")
        for path in (ROOT / top).rglob("*/__init__.py")
    ]
    assert [name for name in packages if name not in named and "pages" not in name] == []

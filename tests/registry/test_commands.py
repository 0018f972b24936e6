"""What people type, on disk and in a bucket."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.registry.__main__ import registry_commands
from components.registry.registry import Registry
from tests.conftest import Command
from tests.registry.conftest import MakeRelease


@pytest.fixture
def filled(registry: Registry, make_release: MakeRelease) -> Registry:
    """Three versions, the last of them champion."""
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    return registry


def test_a_day_in_the_life_of_a_registry(
    filled: Registry, destination: str, command: Command
) -> None:
    def run(*arguments: object, expect: int = 0) -> str:
        options = ("--destination", destination)
        process = command("components.registry", *arguments, *options, expect=expect)
        return process.stdout if expect == 0 else process.stderr

    def champion() -> int:
        found = filled.champion()
        assert found is not None
        return found.version

    listed = json.loads(run("list", "--json"))
    assert [row["version"] for row in listed] == [1, 2, 3]
    assert [row["champion"] for row in listed] == [False, False, True]

    run("rollback", "--dry-run")
    assert champion() == 3
    run("rollback")
    assert champion() == 2
    run("promote", 1)
    assert champion() == 1
    config = run("serving-config", "--base-path", "/models/digits")
    assert "versions: 1 " in config
    assert 'base_path: "/models/digits"' in config

    would = json.loads(run("prune", "--keep", 1, "--dry-run", "--json"))
    assert would == {"versions": [2], "leftovers": []}
    assert filled.versions() == [1, 2, 3]
    assert json.loads(run("prune", "--keep", 1, "--json")) == would
    assert filled.versions() == [1, 3]
    assert "expected one of: 1, 3" in run("promote", 2, expect=1)


@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_tables_are_for_people(filled: Registry, destination: str, command: Command) -> None:
    def run(*arguments: object) -> str:
        return command("components.registry", *arguments, "--destination", destination).stdout

    assert "champion" in run("list")
    shown = run("show", 2)
    assert "variables/part-0" in shown
    assert "0.3" in shown
    assert json.loads(run("show", 2, "--json"))["run_id"] == "b"
    assert run("verify").count("whole") == 3
    assert "Would be" in run("promote", 1, "--dry-run")


@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_verify_fails_on_a_flipped_bit(
    filled: Registry, destination: str, command: Command
) -> None:
    path = Path(destination) / "digits" / "2" / "saved_model.pb"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    process = command("components.registry", "verify", "--destination", destination, expect=1)
    assert "saved_model.pb: sha256" in process.stdout
    assert "not whole: 2; publish" in process.stderr
    command("components.registry", "verify", 3, "--destination", destination)


def test_an_empty_registry_is_no_error(destination: str, command: Command) -> None:
    options = ("list", "--json", "--destination", destination)
    assert command("components.registry", *options).stdout == "[]\n"
    assert "no earlier champion" in (
        command("components.registry", "rollback", "--destination", destination, expect=1).stderr
    )


@pytest.mark.parametrize("arguments", [("prune",), ("prune", "--keep", 0), ("show", "0")])
def test_wrong_options_exit_with_2(arguments: tuple, command: Command) -> None:
    command("components.registry", *arguments, expect=2)


def test_help_names_the_commands(command: Command) -> None:
    said = command("components.registry", "--help").stdout
    commands = ("list", "show", "verify", "promote", "rollback", "prune", "serving-config")
    assert [name for name in commands if f"\n  {name} " not in said] == []


@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_what_others_wrote_does_not_steer_the_terminal(
    filled: Registry, destination: str, command: Command
) -> None:
    path = Path(destination) / "digits" / "2" / "manifest.json"
    manifest = json.loads(path.read_text())
    odd = "\x1b[31mred\x1b[0m [bold]x"
    manifest |= {"run_id": odd, "created": odd, "model_sha256": odd}
    manifest["files"][odd] = manifest["files"]["saved_model.pb"]
    path.write_text(json.dumps(manifest))
    for asked in (("list",), ("show", 2)):
        said = command("components.registry", *asked, "--destination", destination).stdout
        assert "\x1b" not in said
        assert "[bold]x" in said
    process = command("components.registry", "verify", 2, "--destination", destination, expect=1)
    assert "\x1b" not in process.stdout + process.stderr


@pytest.mark.parametrize("damage", ["no manifest", "a broken one"])
@pytest.mark.parametrize("destination", ["directory"], indirect=True)
def test_a_version_of_another_making_hides_no_other(
    filled: Registry, destination: str, tmp_path: Path, damage: str
) -> None:
    manifest = Path(destination) / "digits" / "2" / "manifest.json"
    manifest.unlink() if damage == "no manifest" else manifest.write_text("{}")

    def run(*arguments: object, expect: int = 0) -> str:
        options = [*map(str, arguments), "--destination", destination]
        result = CliRunner().invoke(registry_commands, options)
        assert result.exit_code == expect, result.output
        return result.stdout

    assert "not of this registry" in run("list")
    listed = json.loads(run("list", "--json"))
    assert [row["version"] for row in listed] == [1, 2, 3]
    assert ["problem" in row for row in listed] == [False, True, False]
    verified = json.loads(run("verify", "--json", expect=1))
    assert [bool(row["problems"]) for row in verified] == [False, True, False]
    run("report", "--output", tmp_path / "registry.html")
    page = (tmp_path / "registry.html").read_text(encoding="utf-8")
    assert "can be read: 2." in page and "2 versions of digits" in page

"""The shell face of the registry: the commands by which people look after it."""

from components.registry.commands import registry_commands

if __name__ == "__main__":
    registry_commands(prog_name="python -m components.registry")

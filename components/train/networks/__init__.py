"""The networks, a file each; ``--network`` chooses one. docs/model.md: a network of your own."""

"""What every storage of a registry has to pass.

A new one is handed to it in ``tests/registry/conftest.py``: an empty registry's address as a
further ``destination``, and in ``MAKES_VISIBLE`` the call by which a version appears.
"""

"""The ``framequeue`` command."""

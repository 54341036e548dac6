"""``python -m framequeue``: the same as the ``framequeue`` command."""

from framequeue.cli.main import main

if __name__ == "__main__":
    main()

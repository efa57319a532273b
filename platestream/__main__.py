"""``python -m platestream``: the command line."""

from platestream.cli import main

if __name__ == "__main__":
    main()

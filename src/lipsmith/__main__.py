"""`python -m lipsmith` is the `lipsmith` command."""

import sys

from lipsmith.cli import command

if __name__ == "__main__":
    sys.exit(command())

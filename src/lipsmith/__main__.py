"""`python -m lipsmith` is the `lipsmith` command."""

from lipsmith.cli import main

if __name__ == "__main__":
    main()

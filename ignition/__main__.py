"""`python -m ignition` is `ignition`."""

from ignition.cli import main

if __name__ == "__main__":
    main()

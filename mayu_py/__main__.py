"""`python -m mayu_py` is `mayu`."""

from mayu_py.cli import main

main()

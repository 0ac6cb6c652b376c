"""`python -m tests.lab`."""

from tests.lab.cli import main

main(prog_name="python -m tests.lab")

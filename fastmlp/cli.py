"""The entry to the command line: programs/ has its commands."""

from fastmlp.programs.main import main

__all__ = ["main"]

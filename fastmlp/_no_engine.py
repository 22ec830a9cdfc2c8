"""What a program says whose engine cannot be imported."""

import contextlib
import os
import sys


def end_program(error: ImportError) -> None:
    """Where `fastmlp`, or `python -m fastmlp`, imports the package that cannot be: one line instead of a traceback.

    The programs' own handling of errors is a part of what could not be imported. Returns in any other process.
    """
    program = os.path.basename((getattr(sys, "argv", None) or [""])[0]).removesuffix(".exe")
    words = sys.orig_argv
    if program == "fastmlp" or (program == "-m" and "fastmlp" in words[words.index("-m") + 1 :][:1]):
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(f"fastmlp: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None

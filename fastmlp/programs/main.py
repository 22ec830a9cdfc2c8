"""One parser for all commands, and what becomes of their errors: a line on stderr and an exit code."""

import contextlib
import sys
from collections.abc import Sequence

import fastmlp
from fastmlp import _progress
from fastmlp.programs import bench, data, demo, info, predict, split, train
from fastmlp.programs._arguments import CommandError, Parser
from fastmlp.programs._streams import naming_stdout, open_closed_streams, silence_broken_streams
from fastmlp.tables import TableError

COMMANDS = {
    "demo": demo,
    "bench": bench,
    "info": info,
    "data": data,
    "split": split,
    "train": train,
    "predict": predict,
}


def _parser() -> Parser:
    parser = Parser(prog="fastmlp", description="Multilayer perceptrons on CPUs: fast, exact to the bit, small.")
    parser.add_argument("--version", action="version", version=f"fastmlp {fastmlp.__version__}")
    commands = parser.add_subparsers(dest="command", metavar=f"{{{','.join(COMMANDS)}}}", required=True)
    for command in COMMANDS.values():
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str or None, default None
        None: those of this process.

    Returns
    -------
    int
        Exit code.
    """
    open_closed_streams()
    try:
        try:
            return _run(arguments)
        finally:  # here, where it can be told, and not as Python ends; also what argparse wrote
            with naming_stdout():
                sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        return 1
    except OSError as error:
        what = error.strerror if error.errno and error.strerror else str(error)
        return _fail(f"{what}: {error.filename}" if error.errno and error.filename else what, 1)
    except (CommandError, TableError, ImportError, MemoryError, fastmlp.DivergedError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    finally:
        silence_broken_streams()


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is demo.run and options.root is not None and options.data != "mnist":
        parser.error("argument --root: belongs to --data mnist")
    with _progress.on_stderr():
        code: int = options.run(options)
    return code


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody reads it
        print(f"fastmlp: error: {message}" if code == 1 else f"fastmlp: {message}", file=sys.stderr, flush=True)
    return code

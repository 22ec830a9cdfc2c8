"""Files written whole or not at all: beside their target, and renamed when they are on the disk."""

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastmlp._validation import file_path

# In names of temporary files: who writes them. After a restart of a container numbers of processes come again.
_HOST, _PROCESS = f"{zlib.crc32(platform.node().encode()):08x}", secrets.token_hex(4)

# A temporary file of another host that nobody has written to for so long was left behind.
_LEFT_SECONDS = 3600.0

# Names of files that a process has open.
_STREAM = re.compile(r"/dev/(std(in|out|err)|fd/\d+)|/proc/([^/]+/){1,3}fd/\d+")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside the target to write to, renamed to it in the end, or removed where that fails.

    What a process that was killed meanwhile left is removed first. The new file is on the disk before it gets its name,
    and the name before this returns: should the power fail, the old file or the new one is there. Errors name the
    target.
    """
    with replacing_all([target]) as (temporary,), naming(target, temporary):
        yield temporary


@contextlib.contextmanager
def replacing_all(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Paths as of `replacing`, none of which gets its name before all are on the disk."""
    for target in targets:
        _remove_leftovers(target)
    temporaries = [_temporary(target) for target in targets]
    try:
        yield temporaries
        for target, temporary in zip(targets, temporaries, strict=True):
            with naming(target, temporary):
                if target.exists():
                    shutil.copymode(target, temporary)
                _to_disk(temporary)
        for target, temporary in zip(targets, temporaries, strict=True):
            with naming(target, temporary):
                os.replace(temporary, target)
        for folder in {target.parent for target in targets}:
            with contextlib.suppress(OSError):  # a file system, or Windows, that cannot do so with a folder
                _to_disk(folder)
    except BaseException:
        for temporary in temporaries:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        raise


@contextlib.contextmanager
def naming(target: Path, temporary: Path) -> Iterator[None]:
    """Errors of the system name the target, not its temporary file, or none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(target)  # of a full disk it is None
            del error.filename2
        raise


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(target: Path) -> Path:
    """A new name beside the target, which says whose it is."""
    return target.with_name(f".{target.name}.{_HOST}-{os.getpid()}-{_PROCESS}-{secrets.token_hex(4)}.tmp")


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of this target whose process is no more, as this host knows of its own; of what is written
    elsewhere, under a container's earlier name for example, those that nobody has written to for an hour."""
    pattern = re.compile(re.escape(f".{target.name}.") + r"([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{8})-[0-9a-f]{8}\.tmp")
    names: list[str] = []
    with contextlib.suppress(OSError):  # of a folder that may be written to, but not read
        names = os.listdir(target.parent)
    now: float | None = None
    for name in names:
        found = pattern.fullmatch(name)
        if found is None:
            continue
        path = target.parent / name
        with contextlib.suppress(OSError):  # somebody else's, or another was faster
            if found[1] == _HOST and os.name == "posix":  # elsewhere os.kill would end the process
                left = not _is_alive(int(found[2]), found[3])
            else:
                now = _time_of(target) if now is None else now
                left = now - path.stat().st_mtime > _LEFT_SECONDS
            if left:
                path.unlink()


def _time_of(target: Path) -> float:
    """What time it is where the folder is: a file server may have a clock of its own."""
    probe = _temporary(target)
    try:
        with open(probe, "xb") as file:
            return os.fstat(file.fileno()).st_mtime
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _is_alive(pid: int, process: str) -> bool:
    if pid == os.getpid():
        return process == _PROCESS
    try:
        os.kill(pid, 0)  # only asks
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def output_folder(name: Any) -> Path:
    """The folder for results, made if missing, in which files can be made; OSError, the system's, where they cannot."""
    folder = Path(name).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    check_folder(folder)
    return folder


def check_folder(folder: Path) -> None:
    """See that files can be made in a folder; else the system's own error, be it the folder's or the file system's."""
    if os.access(folder, os.W_OK | os.X_OK):
        return
    probe = folder / f".{_HOST}-{os.getpid()}-{_PROCESS}-{secrets.token_hex(4)}.tmp"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, f"cannot write into the folder: {error.strerror}", str(folder)) from None


def writable(path: Any) -> Path:
    """Where to write: a regular file, or a new one in a folder that is there."""
    target = Path(os.path.realpath(file_path("path", path)))
    if _is_stream(os.fspath(path)) or (target.exists() and not target.is_file() and not target.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file; give the name of one, which is written whole", str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save in", str(target.parent))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not os.access(target, os.W_OK):
        try:
            os.close(os.open(target, os.O_WRONLY))  # the system says why
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
    check_folder(target.parent)
    return target


def _is_stream(path: Any) -> bool:
    """Whether a name, or what it links to, is that of an open file: a rename would take away what is behind it."""
    path = os.fsdecode(path)
    for _ in range(40):
        path = os.path.abspath(path)
        if _STREAM.fullmatch(path):
            return True
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError:  # no link
            return False
    return False

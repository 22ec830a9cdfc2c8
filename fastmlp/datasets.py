"""Data sets for examples, tests and benchmarks.

`load_digits` and `load_breast_cancer` read two small data sets shipped with the package (``fastmlp/data``, licences in
its README). `load_mnist` reads MNIST from a folder of yours or downloads it once. `read_idx` reads any IDX file.

Every call returns new, writable, C-contiguous arrays. Nothing is unpickled, nothing is downloaded without TLS, and
MNIST is checked against the SHA-256 of the original files wherever it comes from.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import urllib.request

    from numpy.typing import NDArray

__all__ = [
    "BREAST_CANCER_CLASSES",
    "BREAST_CANCER_FEATURES",
    "load_breast_cancer",
    "load_digits",
    "load_mnist",
    "read_idx",
]

_MEASURES = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points",
             "symmetry", "fractal dimension")  # fmt: skip

#: Names of the 30 columns that `load_breast_cancer` returns, in order.
BREAST_CANCER_FEATURES: tuple[str, ...] = (
    *(f"mean {measure}" for measure in _MEASURES),
    *(f"{measure} error" for measure in _MEASURES),
    *(f"worst {measure}" for measure in _MEASURES),
)

#: Names of the two classes that `load_breast_cancer` returns: class 0, class 1.
BREAST_CANCER_CLASSES: tuple[str, str] = ("malignant", "benign")

# The four files of MNIST: length in bytes and SHA-256 of each, unpacked.
_MNIST_FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
_MNIST_MIRRORS = (  # tried in this order
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_REMEDY = (
    f"Without a network, put the files {', '.join(_MNIST_FILES)}, gzipped (.gz) or not, into a folder and pass it as "
    "load_mnist(root), or into the folder mnist/ of a folder that the environment variable FASTMLP_DATA names."
)
_TIMEOUT = 30.0  # seconds that a server may stay silent
_LEFT_SECONDS = 3600.0  # a download that nobody has written to for so long was left behind
_PACKED_SLACK = 2**16  # bytes by which a gzip file may be longer than what is in it
_CHUNK = 2**18  # bytes read at once: larger is slower to unpack, it no longer fits the L2 cache

# Third byte of an IDX file -> type of its elements (big-endian in the file).
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_MAX_RANK = 32  # NumPy 1 stops here
_IDX_LONGEST_HEADER = 4 + 4 * _IDX_MAX_RANK


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Load 1797 images of handwritten digits, 8 x 8 pixels: the data of scikit-learn's ``load_digits``.

    Returns
    -------
    X : ndarray of shape (1797, 64), uint8
        One image a row, pixel rows one after the other. A value is the number of inked pixels, 0 to 16, in a block of
        4 x 4 pixels of the original bitmap.
    y : ndarray of shape (1797,), int64
        The digit, 0 to 9.

    Notes
    -----
    This is the test part of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak (1998), UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> X, y = datasets.load_digits()
    >>> X.shape, X.dtype.name, y[:5].tolist()
    ((1797, 64), 'uint8', [0, 1, 2, 3, 4])
    """
    with np.load(Path(__file__).parent / "data" / "digits.npz", allow_pickle=False) as file:
        return file["X"], file["y"].astype(np.int64)


def load_breast_cancer() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Load 569 breast tumours, malignant or benign: the data of scikit-learn's ``load_breast_cancer``.

    Returns
    -------
    X : ndarray of shape (569, 30), float64
        Mean, standard error and "worst" (mean of the three largest) of ten measures of the cell nuclei in an image.
        `BREAST_CANCER_FEATURES` names the columns. Their scales differ by a factor of 10^5, so standardise them.
    y : ndarray of shape (569,), int64
        0 malignant (212 times), 1 benign (357 times), as in scikit-learn; see `BREAST_CANCER_CLASSES`.

    Notes
    -----
    This is "Breast Cancer Wisconsin (Diagnostic)", W. Wolberg, O. Mangasarian, N. Street and W. Street (1993), UCI
    Machine Learning Repository, https://doi.org/10.24432/C5DW2B, licence CC BY 4.0. The values are bit for bit those of
    scikit-learn.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> X, y = datasets.load_breast_cancer()
    >>> X.shape, X.dtype.name, datasets.BREAST_CANCER_CLASSES[y[0]]
    ((569, 30), 'float64', 'malignant')
    """
    with np.load(Path(__file__).parent / "data" / "breast_cancer.npz", allow_pickle=False) as file:
        return file["X"], file["y"].astype(np.int64)


def load_mnist(
    root: str | os.PathLike[str] | None = None,
) -> tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 pixels.

    The four IDX files are read, gzipped or not, from the first of these places that is given:

    1. the folder `root`;
    2. the folder ``mnist`` in the folder that the environment variable ``FASTMLP_DATA`` names;
    3. the user's cache: ``fastmlp/mnist`` in ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, in ``~/Library/Caches`` on
       macOS, in ``%LOCALAPPDATA%`` on Windows. What is missing or damaged there is downloaded, 11 MB in all.

    Parameters
    ----------
    root : path-like, optional
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each with or without ``.gz``. Nothing is downloaded into it.

    Returns
    -------
    (X_train, y_train) : tuple of ndarray of shapes (60000, 28, 28) and (60000,), uint8
        Images, from 0 (background) to 255 (ink), and digits, 0 to 9. ``X_train.reshape(60000, 784)`` flattens them.
    (X_test, y_test) : tuple of ndarray of shapes (10000, 28, 28) and (10000,), uint8
        The same for the test images.

    Raises
    ------
    FileNotFoundError
        If a file is missing in `root` or in the folder that ``FASTMLP_DATA`` names.
    ValueError
        If a file there does not have the SHA-256 of the original.
    ConnectionError
        If a file is not in the cache and no mirror gave the original.
    OSError
        If a file cannot be read, or the cache folder cannot be made.

    Notes
    -----
    Authors: Yann LeCun, Corinna Cortes, Christopher J. C. Burges. The licence is commonly stated as CC BY-SA 3.0; the
    data are not shipped with fastmlp. Reference: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), "Gradient-based
    learning applied to document recognition", Proceedings of the IEEE 86(11), 2278-2324.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> (X_train, y_train), (X_test, y_test) = datasets.load_mnist()  # doctest: +SKIP
    >>> X_train.shape, y_train[:5].tolist()  # doctest: +SKIP
    ((60000, 28, 28), [5, 0, 4, 1, 9])
    """
    data = os.environ.get("FASTMLP_DATA")
    if root is not None:
        folder, origin = Path(root).expanduser(), "root"
    elif data:
        folder, origin = Path(data).expanduser() / "mnist", "the environment variable FASTMLP_DATA"
    else:
        X_train, y_train, X_test, y_test = (_load_cached(_cache_folder(), name) for name in _MNIST_FILES)
        return (X_train, y_train), (X_test, y_test)

    paths = {}
    for name in _MNIST_FILES:  # all are looked for before the first is read, which takes a while
        found = _candidates(folder, name)
        if not found:
            raise FileNotFoundError(
                f"There is neither {name} nor {name}.gz in the folder {folder}, which {origin} gives. "
                f"MNIST is the files {', '.join(_MNIST_FILES)}, gzipped (.gz) or not; put them there."
            )
        paths[name] = found[0]
    X_train, y_train, X_test, y_test = (_read_mnist_file(path, name) for name, path in paths.items())
    return (X_train, y_train), (X_test, y_test)


def read_idx(path: str | os.PathLike[str], max_bytes: int = 2**31) -> NDArray[Any]:
    """Read an IDX file, the format of MNIST and its relatives (Fashion-MNIST, EMNIST, KMNIST), gzipped or not.

    Parameters
    ----------
    path : path-like
        The file. Whether it is gzipped is seen from its first bytes, not from its name.
    max_bytes : int, default=2**31
        A file longer than this, unpacked, is refused, so that a hostile one cannot fill the memory.

    Returns
    -------
    ndarray
        Of the shape and type that the file states: uint8, int8, int16, int32, float32 or float64, in native byte order.

    Raises
    ------
    ValueError
        If the file is not a complete IDX file, has bytes left over, is longer than `max_bytes`, or is damaged gzip.
    OSError
        If the file cannot be read.

    Notes
    -----
    The format: two zero bytes, a byte for the type, a byte for the number of dimensions, each dimension as a big-endian
    uint32, then the elements, big-endian, last index fastest.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> datasets.read_idx("train-labels-idx1-ubyte.gz").shape  # doctest: +SKIP
    (60000,)
    """
    path, label = Path(path), os.fspath(path)
    content, problem = _unpack(path, _IDX_LONGEST_HEADER)
    if problem is None:  # no more is unpacked than the header asks for: gzip makes gigabytes of megabytes
        content, problem = _unpack(path, min(max_bytes, _idx_header(content, label)[2]))
    if problem is not None:
        raise ValueError(f"{label} is damaged: it cannot be unpacked ({problem}). Fetch it again.") from problem
    if len(content) > max_bytes:
        raise ValueError(
            f"{label} is longer than {max_bytes} bytes, unpacked; pass a larger max_bytes if you trust it."
        )
    return _parse_idx(content, label)


def _idx_header(content: bytes | bytearray, label: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the type of the elements as stored, the shape, and how many bytes the whole file should have."""
    if len(content) < 4:
        raise ValueError(f"{label} is not an IDX file: it has {len(content)} bytes, the magic number alone has 4.")
    zero, code, rank = int.from_bytes(content[:2], "big"), content[2], content[3]
    if zero != 0 or code not in _IDX_TYPES or not 1 <= rank <= _IDX_MAX_RANK:
        raise ValueError(
            f"{label} is not an IDX file: its magic number is 0x{bytes(content[:4]).hex()}. Expected: two zero bytes, "
            f"a type ({', '.join(f'0x{known:02x}' for known in _IDX_TYPES)}) and 1 to {_IDX_MAX_RANK} dimensions."
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{label} is cut off: it has {len(content)} bytes, its header for rank {rank} has {start}.")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if 0 in shape:  # then the other dimensions could be anything, and exceed what NumPy can represent
        raise ValueError(
            f"{label} states the shape {shape}: it has no elements. Expected are dimensions of at least 1."
        )
    stored = np.dtype(_IDX_TYPES[code])
    return stored, shape, start + math.prod(shape) * stored.itemsize  # Python integers cannot overflow


def _parse_idx(content: bytes | bytearray, label: str = "the data") -> NDArray[Any]:
    """Return the array that the bytes of an IDX file hold; a view of them where they are single-byte elements."""
    stored, shape, expected = _idx_header(content, label)
    native = stored.newbyteorder("=")
    if len(content) != expected:
        raise ValueError(
            f"{label} has {len(content)} bytes{' or more' * (len(content) > expected)}, but its header, shape {shape}, "
            f"type {native.name}, needs {expected}: it is damaged or cut off. Fetch it again."
        )
    flat = np.frombuffer(content, stored, offset=4 + 4 * len(shape))
    return (flat if stored.itemsize == 1 else flat.astype(native)).reshape(shape)


def _unpack(path: Path, limit: int) -> tuple[bytearray, Exception | None]:
    """Return the content of a file, unpacked if it is gzip, but at most ``limit + 1`` bytes, and what broke gzip."""
    import gzip
    import zlib

    content = bytearray()
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.open(raw) if packed else raw as file:
                while len(content) <= limit and (chunk := file.read(min(_CHUNK, limit + 1 - len(content)))):
                    content += chunk
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return content, error
    return content, None


def _read_mnist_file(path: Path, name: str, label: str = "") -> NDArray[np.uint8]:
    """Read one of the files of MNIST from `path` and check it; `label` names it in errors in place of `path`."""
    import hashlib

    n_bytes, expected = _MNIST_FILES[name]
    content, problem = _unpack(path, n_bytes)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        length = f"{len(content)} bytes" if len(content) <= n_bytes else f"more than {n_bytes} bytes"
        raise ValueError(
            f"{label or path} is damaged or not the original {name}. Unpacked, it has {length} and the SHA-256 {actual}"
            f"{f' ({problem})' if problem else ''}; expected are {n_bytes} bytes and {expected}. Fetch it again."
        )
    return _parse_idx(content, label or str(path))


def _candidates(folder: Path, name: str) -> list[Path]:
    """Return which of ``name`` and ``name.gz`` are in the folder."""
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def _cache_folder() -> Path:
    """Return where downloads are kept."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:  # the XDG specification: a relative path counts as not set
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else str(Path.home() / ".cache")
    return Path(base) / "fastmlp" / "mnist"


def _load_cached(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read one of the files of MNIST from the cache; download it if it is missing or damaged there."""
    import http.client

    for path in _candidates(folder, name):
        try:
            return _read_mnist_file(path, name)
        except ValueError:
            continue  # damaged: the download replaces it
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"The cache folder {folder} for MNIST cannot be made ({error}). {_REMEDY}") from error
    problems = []
    for mirror in _MNIST_MIRRORS:
        url = f"{mirror}{name}.gz"
        try:
            return _download(url, folder, name)
        except (OSError, http.client.HTTPException, ValueError) as error:
            problems.append(f"{url}: {error}")
    raise ConnectionError(
        f"MNIST is not in the cache folder {folder} and could not be downloaded ({'; '.join(problems)}). {_REMEDY}"
    )


def _download(url: str, folder: Path, name: str) -> NDArray[np.uint8]:
    """Download one of the files of MNIST, check it, put it into the folder in one step, and return its content."""
    import tempfile

    from tqdm import tqdm

    from fastmlp import _progress

    limit = _MNIST_FILES[name][0] + _PACKED_SLACK
    n_bytes = 0
    handle, part = tempfile.mkstemp(prefix=f"{name}-", suffix=".part", dir=folder)
    now = os.fstat(handle).st_mtime  # by the clock of the file system
    for left in folder.glob(f"{name}-*.part"):  # by a process that was killed
        with contextlib.suppress(OSError):
            if now - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()
    try:
        with (
            os.fdopen(handle, "wb") as file,
            _https_opener().open(url, timeout=_TIMEOUT) as response,
            tqdm(desc=name, total=response.length, unit="B", unit_scale=True, file=_progress.stream()) as bar,
        ):
            while chunk := response.read(_CHUNK):
                n_bytes += len(chunk)
                if n_bytes > limit:
                    raise ValueError(f"the server sent more than {limit} bytes, so it is not {name}.gz")
                file.write(chunk)
                bar.update(len(chunk))
        array = _read_mnist_file(Path(part), name, label="what the server sent")
        os.replace(part, folder / f"{name}.gz")
        return array
    finally:
        Path(part).unlink(missing_ok=True)  # is there only after a failure


def _https_opener() -> urllib.request.OpenerDirector:
    """Return a URL opener that speaks https and nothing else, also where a server redirects it or a proxy is set."""
    import ssl
    from urllib import request

    opener = request.OpenerDirector()  # request.build_opener would add handlers for http, ftp, file and data
    opener.addheaders = [("User-Agent", "fastmlp")]
    handlers: list[request.BaseHandler] = [
        request.ProxyHandler({scheme: proxy for scheme, proxy in request.getproxies().items() if scheme == "https"}),
        request.HTTPSHandler(context=ssl.create_default_context()),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ]
    for handler in handlers:
        opener.add_handler(handler)
    return opener

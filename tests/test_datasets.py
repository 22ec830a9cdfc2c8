"""The data sets: their values, the IDX reader against hostile input, and the download of MNIST against a local server.

No test needs a network or writes outside its temporary folder. Those of the real MNIST need FASTMLP_DATA.
"""

import contextlib
import errno
import gzip
import hashlib
import http.client
import io
import os
import random
import re
import subprocess
import sys
import threading
import tracemalloc
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hostile
import numpy as np
import pytest

from fastmlp import datasets

NAMES = list(datasets._MNIST_FILES)
TRAIN_IMAGES = NAMES[0]


def idx(array):
    """Return the IDX file of an array, as bytes."""
    code = {stored.lstrip(">"): code for code, stored in datasets._IDX_TYPES.items()}[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tiny(monkeypatch):
    """Make `load_mnist` accept tiny files instead of MNIST: name -> unpacked content."""
    rng = np.random.default_rng(0)
    shapes = [(6, 28, 28), (6,), (3, 28, 28), (3,)]
    files = {name: idx(rng.integers(0, 10, shape, np.uint8)) for name, shape in zip(NAMES, shapes, strict=True)}
    monkeypatch.setattr(
        datasets, "_MNIST_FILES", {name: (len(content), sha256(content)) for name, content in files.items()}
    )
    return files


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Return an empty cache folder, and let nothing else be found."""
    folder = tmp_path / "cache" / "fastmlp" / "mnist"
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    monkeypatch.setattr(datasets, "_cache_folder", lambda: folder)
    return folder


class Server:
    """A web server on 127.0.0.1: `replies` maps a path to (status, headers, body), `requests` lists the paths asked."""

    def __init__(self):
        self.replies, self.requests = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                status, headers, body = outer.replies.get(self.path, (404, {}, b"not here"))
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may leave early
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = False  # so that closing waits for them
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def serve(self, files, prefix="/"):
        for name, content in files.items():
            self.replies[f"{prefix}{name}.gz"] = (200, {}, gzip.compress(content))

    def close(self):
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def mirror(monkeypatch, server, cache):
    """Make the server the only mirror, spoken to without TLS and without the proxies of the environment."""

    def http_opener():
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
            urllib.request.HTTPDefaultErrorHandler,
        ):
            opener.add_handler(handler())
        return opener

    monkeypatch.setattr(datasets, "_https_opener", http_opener)
    monkeypatch.setattr(datasets, "_MNIST_MIRRORS", (f"{server.url}/",))
    return server


def write(folder, files, packed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def assert_is(loaded, files):
    (X_train, y_train), (X_test, y_test) = loaded
    for array, content in zip((X_train, y_train, X_test, y_test), files.values(), strict=True):
        assert array.dtype == np.uint8
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert idx(array) == content


# Shipped data


def test_load_digits_has_the_documented_values():
    X, y = datasets.load_digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.uint8, (1797,), np.int64)
    assert (X.min(), X.max()) == (0, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert sha256(X.tobytes()) == "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    assert sha256(y.astype("<i8").tobytes()) == "a3c91c262eddcf7ba8f0e37507c30284493c9b20412ffe4af30d536401f7ba21"


def test_load_breast_cancer_has_the_documented_values():
    X, y = datasets.load_breast_cancer()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((569, 30), np.float64, (569,), np.int64)
    assert np.isfinite(X).all()
    assert X.min() >= 0
    assert np.bincount(y).tolist() == [212, 357]
    assert sha256(X.astype("<f8").tobytes()) == "6b202a2072f9a0385f405a8f8605b1b06f6f36ae6d23d9cd6cbbc0974a416bc7"
    assert sha256(y.astype("<i8").tobytes()) == "1763c0f8cd3f454b9eda72031113884593bb382411c0cd511e3ec6e7ac85cddb"


@pytest.mark.parametrize("load", [datasets.load_digits, datasets.load_breast_cancer])
def test_shipped_data_are_new_and_writable_at_every_call(load):
    X, y = load()
    for array in (X, y):
        assert array.flags.writeable
        assert array.flags.c_contiguous
        array[...] = 0
    again, labels = load()
    assert again.any()
    assert labels.any()


def test_shipped_data_equal_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets", reason="compares the shipped data with scikit-learn's")
    X, y = theirs.load_digits(return_X_y=True)
    np.testing.assert_array_equal(datasets.load_digits()[0], X)
    np.testing.assert_array_equal(datasets.load_digits()[1], y)
    bunch = theirs.load_breast_cancer()
    X, y = datasets.load_breast_cancer()
    assert X.tobytes() == bunch.data.tobytes()
    np.testing.assert_array_equal(y, bunch.target)
    assert list(datasets.BREAST_CANCER_FEATURES) == bunch.feature_names.tolist()
    assert list(datasets.BREAST_CANCER_CLASSES) == bunch.target_names.tolist()


def test_shipped_data_are_small_and_carry_their_licence():
    folder = Path(datasets.__file__).parent / "data"
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) < 130_000
    assert "CC BY 4.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_import_loads_nothing_for_the_network():
    code = "import sys, fastmlp.datasets; print(*sys.modules)"
    package = Path(datasets.__file__).parents[1]  # the one that is tested here, be it installed or built in place
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=package, timeout=200
    )
    modules = done.stdout.split()
    assert "fastmlp.datasets" in modules
    assert not {"sklearn", "tqdm", "urllib.request", "ssl"} & set(modules)


# The IDX format


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (2, 1, 3, 2)])
def test_read_idx_returns_what_was_written(tmp_path, shape, dtype, packed):
    array = (np.arange(np.prod(shape)) - 3).astype(dtype).reshape(shape)
    write(tmp_path, {"some-idx": idx(array)}, packed)
    got = datasets.read_idx(tmp_path / ("some-idx.gz" if packed else "some-idx"))
    assert got.dtype == array.dtype
    assert got.dtype.isnative
    assert got.flags.writeable
    np.testing.assert_array_equal(got, array)


HUGE = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\0\0\x08", "has 3 bytes"),
        (b"\0\x01\x08\x01\0\0\0\x01\x05", "magic number is 0x00010801"),
        (b"\0\0\x0a\x01\0\0\0\x01\x05", "magic number is 0x00000a01"),
        (b"\0\0\x08\x00\x05", "magic number is 0x00000800"),
        (b"\0\0\x08\x21" + b"\0\0\0\x01" * 33 + b"\x05", "1 to 32 dimensions"),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"\x05", "1 to 32 dimensions"),
        (b"\0\0\x08\x03\0\0\0\x01\0\0\0", "has 11 bytes, its header for rank 3 has 16"),
        (b"\0\0\x08\x01\0\0\0\x03\x01\x02", r"has 10 bytes.*shape \(3,\), type uint8, needs 11"),
        (b"\0\0\x08\x01\0\0\0\x01\x01\x02", r"has 10 bytes.*shape \(1,\), type uint8, needs 9"),
        (b"\0\0\x0e\x01\0\0\0\x01" + bytes(7), r"type float64, needs 16"),
        (b"\0\0\x0e\x20" + HUGE * 32 + bytes(64), "needs"),
        (b"\0\0\x0e\x02" + HUGE + b"\x80\0\0\0" + bytes(8), "needs"),
        (b"\0\0\x08\x01\0\0\0\0", "no elements"),
        (b"\0\0\x08\x04\0\0\0\0" + HUGE * 3, "no elements"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx_refuses_what_is_not_idx(tmp_path, content, message, packed):
    path = tmp_path / "hostile"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.read_idx(path)
    assert str(path) in str(caught.value)


def test_mutations():
    """Some thousand damaged and hostile files; reliability/fuzz_readers.py reads a million."""
    with contextlib.closing(hostile.Idx()) as reader:
        hostile.try_mutations(reader, 8000, random.Random(1))
        assert 0.05 < 1 - reader.n_refused / reader.n_read < 0.5


def test_read_idx_unpacks_no_more_than_it_is_allowed(tmp_path):
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb") as file:
        file.write(idx(np.zeros((4, 2**20), np.uint8)))
        for _ in range(60):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        datasets.read_idx(bomb, max_bytes=1000)
    content, problem = datasets._unpack(bomb, 1000)
    assert (len(content), problem) == (1001, None)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="bytes or more, but its header"):  # which asks for less
            datasets.read_idx(bomb)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()
    exact = idx(np.zeros(992, np.uint8))
    (tmp_path / "exact").write_bytes(exact)
    assert datasets.read_idx(tmp_path / "exact", max_bytes=1000).shape == (992,)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: packed[:-8] + bytes(8)])
def test_read_idx_reports_damaged_gzip(tmp_path, damage):
    path = tmp_path / "damaged.gz"
    path.write_bytes(damage(gzip.compress(idx(np.arange(5000, dtype=np.int32)))))
    with pytest.raises(ValueError, match=r"damaged\.gz is damaged: it cannot be unpacked"):
        datasets.read_idx(path)


# MNIST from a folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["root as str", "root as Path", "FASTMLP_DATA"])
def test_load_mnist_reads_a_folder(tmp_path, monkeypatch, tiny, place, packed):
    folder = tmp_path / "mnist"
    write(folder, tiny, packed)
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path if place == "FASTMLP_DATA" else tmp_path / "elsewhere"))
    root = {"root as str": str(folder), "root as Path": folder, "FASTMLP_DATA": None}[place]
    assert_is(datasets.load_mnist(root), tiny)


@pytest.mark.parametrize("place", ["root", "FASTMLP_DATA"])
@pytest.mark.parametrize("missing", NAMES)
def test_load_mnist_names_a_missing_file(tmp_path, monkeypatch, tiny, missing, place):
    folder = tmp_path / "mnist"
    write(folder, {name: content for name, content in tiny.items() if name != missing}, packed=True)
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path))
    pattern = f"neither {missing} nor {missing}.gz in the folder {re.escape(str(folder))}, which .*{place}"
    with pytest.raises(FileNotFoundError, match=pattern):
        datasets.load_mnist(folder if place == "root" else None)


def test_load_mnist_names_a_missing_folder(tmp_path, tiny):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "nowhere"))):
        datasets.load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", ["flipped", "shorter", "longer"])
def test_load_mnist_refuses_a_damaged_file(tmp_path, tiny, change, packed):
    content = tiny[TRAIN_IMAGES]
    damaged = {"flipped": content[:-1] + b"\xff", "shorter": content[:-1], "longer": content + bytes(1000)}[change]
    write(tmp_path, {**tiny, TRAIN_IMAGES: damaged}, packed)
    with pytest.raises(ValueError, match="damaged or not the original") as caught:
        datasets.load_mnist(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / TRAIN_IMAGES) in message
    assert sha256(content) in message
    assert sha256(damaged[: len(content) + 1]) in message
    assert ("more than" in message) == (change == "longer")


def test_load_mnist_refuses_cut_off_gzip(tmp_path, tiny):
    write(tmp_path, tiny, packed=True)
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="ended before") as caught:
        datasets.load_mnist(tmp_path)
    assert len(re.findall(r"\b[0-9a-f]{64}\b", str(caught.value))) == 2
    assert path.exists()  # a user's own file is never replaced


# MNIST from the cache and the network


def test_download_fills_the_cache_once(cache, mirror, tiny, capsys):
    mirror.serve(tiny)
    assert_is(datasets.load_mnist(), tiny)
    assert sorted(mirror.requests) == sorted(f"/{name}.gz" for name in NAMES)
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)
    out, err = capsys.readouterr()
    assert TRAIN_IMAGES in out  # the progress bar
    assert err == ""
    assert_is(datasets.load_mnist(), tiny)
    assert len(mirror.requests) == len(NAMES)


@pytest.mark.parametrize("plain_too", [False, True])
def test_download_replaces_only_what_is_damaged(cache, mirror, tiny, plain_too):
    write(cache, tiny, packed=True)
    (cache / f"{TRAIN_IMAGES}.gz").write_bytes(b"\x1f\x8b damaged")
    if plain_too:
        (cache / TRAIN_IMAGES).write_bytes(b"damaged as well")
    mirror.serve(tiny)
    assert_is(datasets.load_mnist(), tiny)
    assert_is(datasets.load_mnist(), tiny)
    assert mirror.requests == [f"/{TRAIN_IMAGES}.gz"]


def test_download_accepts_what_a_server_unpacked(cache, mirror, tiny):
    for name, content in tiny.items():
        mirror.replies[f"/{name}.gz"] = (200, {}, content)
    assert_is(datasets.load_mnist(), tiny)
    assert_is(datasets.load_mnist(), tiny)


BAD_REPLIES = {
    "404": lambda good: (404, {}, b"gone"),
    "500": lambda good: (500, {}, b"broken"),
    "a login page": lambda good: (200, {"Content-Type": "text/html"}, b"<html>please log in</html>"),
    "nothing": lambda good: (200, {}, b""),
    "other data": lambda good: (200, {}, gzip.compress(idx(np.zeros((6, 28, 28), np.uint8)))),
    "cut off": lambda good: (200, {"Content-Length": str(len(good)), "Connection": "close"}, good[:-100]),
    "too much": lambda good: (200, {}, bytes(2**20)),
    "a bomb": lambda good: (200, {}, gzip.compress(bytes(2**24))),
    "bad length": lambda good: (200, {"Content-Length": "many"}, b"x"),
    "redirect loop": lambda good: (302, {"Location": f"/a/{TRAIN_IMAGES}.gz"}, b""),
}


@pytest.mark.parametrize("reply", BAD_REPLIES)
def test_download_goes_on_to_the_next_mirror(monkeypatch, cache, mirror, tiny, reply):
    monkeypatch.setattr(datasets, "_MNIST_MIRRORS", (f"{mirror.url}/a/", f"{mirror.url}/b/"))
    mirror.serve(tiny, "/a/")
    mirror.serve(tiny, "/b/")
    path = f"/a/{TRAIN_IMAGES}.gz"
    mirror.replies[path] = BAD_REPLIES[reply](mirror.replies[path][2])
    assert_is(datasets.load_mnist(), tiny)
    assert mirror.requests[0] == path
    assert f"/b/{TRAIN_IMAGES}.gz" in mirror.requests
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)


@pytest.mark.parametrize("reply", BAD_REPLIES)
def test_download_leaves_nothing_behind_when_it_fails(cache, mirror, tiny, reply):
    mirror.serve(tiny)
    cache.mkdir(parents=True)
    damaged = cache / f"{TRAIN_IMAGES}.gz"
    damaged.write_bytes(b"damaged")
    mirror.replies[f"/{damaged.name}"] = BAD_REPLIES[reply](mirror.replies[f"/{damaged.name}"][2])
    with pytest.raises(ConnectionError, match=f"{mirror.url}/{TRAIN_IMAGES}.gz: .+FASTMLP_DATA"):
        datasets.load_mnist()
    assert os.listdir(cache) == [damaged.name]
    assert damaged.read_bytes() == b"damaged"


def test_download_reads_no_more_than_its_bound(monkeypatch, cache, tiny):
    class Endless(io.RawIOBase):
        length = None
        n_bytes = 0

        def read(self, size=-1):
            assert size > 0
            self.n_bytes += size
            return bytes(size)

    endless = Endless()

    class Opener:
        def open(self, url, timeout):
            assert 0 < timeout < 120
            return endless

    monkeypatch.setattr(datasets, "_https_opener", Opener)
    monkeypatch.setattr(datasets, "_MNIST_MIRRORS", ("https://127.0.0.1/",))
    with pytest.raises(ConnectionError, match="the server sent more than"):
        datasets.load_mnist()
    assert endless.n_bytes < len(tiny[TRAIN_IMAGES]) + 2**20
    assert os.listdir(cache) == []


@pytest.mark.parametrize("fails", ["read", "replace"])
def test_download_leaves_nothing_behind_when_interrupted(monkeypatch, cache, mirror, tiny, fails):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    mirror.serve(tiny)
    monkeypatch.setattr(*((datasets, "_read_mnist_file") if fails == "read" else (os, "replace")), interrupt)
    with pytest.raises(KeyboardInterrupt):
        datasets.load_mnist()
    assert os.listdir(cache) == []


def test_download_puts_the_file_in_place_in_one_step(monkeypatch, cache, mirror, tiny):
    seen = []
    replace = os.replace

    def watched(source, target):
        assert Path(source).parent == Path(target).parent == cache
        assert not Path(target).exists()
        assert gzip.decompress(Path(source).read_bytes()) == tiny[Path(target).stem]
        seen.append(Path(target).stem)
        replace(source, target)

    mirror.serve(tiny)
    monkeypatch.setattr(os, "replace", watched)
    datasets.load_mnist()
    assert seen == NAMES


def test_what_a_killed_download_left_is_removed(mirror, cache, tiny):
    cache.mkdir(parents=True)
    left, young, other = (cache / f"{name}.part" for name in (f"{NAMES[0]}-old", f"{NAMES[0]}-young", "mine"))
    for path in (left, young, other):
        path.write_bytes(b"?")
    for path in (left, other):
        os.utime(path, (1e9, 1e9))
    mirror.serve(tiny)
    datasets.load_mnist()
    assert sorted(cache.glob("*.part")) == sorted([young, other])


def test_no_network_says_what_to_do(monkeypatch, cache, tiny):
    class Opener:
        def open(self, url, timeout):
            raise urllib.error.URLError(OSError(errno.ENETUNREACH, "Network is unreachable"))

    monkeypatch.setattr(datasets, "_https_opener", Opener)
    with pytest.raises(ConnectionError) as caught:
        datasets.load_mnist()
    message = str(caught.value)
    for part in (*NAMES, *datasets._MNIST_MIRRORS, str(cache), "unreachable", "load_mnist(root)", "FASTMLP_DATA"):
        assert part in message
    assert os.listdir(cache) == []


def test_cache_folder_that_cannot_be_made_says_what_to_do(monkeypatch, tmp_path, cache, tiny):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(datasets, "_cache_folder", lambda: tmp_path / "file" / "fastmlp")
    with pytest.raises(OSError, match=r"cannot be made .*FASTMLP_DATA"):
        datasets.load_mnist()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG_CACHE_HOME is Linux's")
@pytest.mark.parametrize("value", ["absolute", "relative", "", None])
def test_cache_folder_follows_xdg(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg") if value == "absolute" else value)
    base = tmp_path / ("xdg" if value == "absolute" else ".cache")
    assert datasets._cache_folder() == base / "fastmlp" / "mnist"


@pytest.mark.parametrize(("platform", "parts"), [("win32", ("Local",)), ("darwin", ("Library", "Caches"))])
def test_cache_folder_of_other_systems(monkeypatch, tmp_path, platform, parts):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert datasets._cache_folder() == tmp_path.joinpath(*parts) / "fastmlp" / "mnist"


# TLS


def test_mirrors_are_https():
    assert datasets._MNIST_MIRRORS
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in datasets._MNIST_MIRRORS)


@pytest.mark.parametrize("proxy", [None, "http", "https"])
def test_opener_refuses_all_but_https(monkeypatch, server, tmp_path, proxy):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    if proxy:
        monkeypatch.setenv("http_proxy", f"{proxy}://127.0.0.1:9")
    path = tmp_path / "file"
    path.write_text("secret")
    for url in (server.url, path.as_uri(), "ftp://127.0.0.1/x", "data:,x", "HTTP://127.0.0.1/"):
        with pytest.raises(urllib.error.URLError, match="unknown url type"):
            datasets._https_opener().open(url, timeout=5)
    assert server.requests == []


def test_opener_refuses_a_redirect_from_https_to_http(server):
    class Redirecting(urllib.request.BaseHandler):
        handler_order = 0  # before the real https

        def https_open(self, request):
            headers = http.client.HTTPMessage()
            headers["Location"] = f"{server.url}/train"
            response = urllib.request.addinfourl(io.BytesIO(), headers, request.full_url, 302)
            response.msg = "Found"
            return response

    opener = datasets._https_opener()
    opener.add_handler(Redirecting())
    with pytest.raises(urllib.error.URLError, match="unknown url type: http"):
        opener.open("https://127.0.0.1/", timeout=5)
    assert server.requests == []


def test_load_mnist_refuses_a_mirror_without_tls(monkeypatch, cache, server, tiny):
    server.serve(tiny)
    monkeypatch.setattr(datasets, "_MNIST_MIRRORS", (f"{server.url}/",))
    with pytest.raises(ConnectionError, match="unknown url type: http"):
        datasets.load_mnist()
    assert server.requests == []
    assert os.listdir(cache) == []


# The real MNIST


@pytest.mark.skipif(not os.environ.get("FASTMLP_DATA"), reason="FASTMLP_DATA names no folder with mnist/ in it")
def test_real_mnist_has_the_documented_values():
    (X_train, y_train), (X_test, y_test) = datasets.load_mnist()
    assert (X_train.shape, y_train.shape, X_test.shape, y_test.shape) == (
        (60000, 28, 28),
        (60000,),
        (10000, 28, 28),
        (10000,),
    )
    assert X_train.dtype == y_train.dtype == X_test.dtype == y_test.dtype == np.uint8
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The well-known mean and deviation of the training pixels, on a scale of 0 to 1.
    assert round(X_train.mean() / 255, 4) == 0.1307
    assert round(float(X_train.std(dtype=np.float64)) / 255, 4) == 0.3081
    assert X_train.flags.writeable
    # The published MD5 of the unpacked original, a second witness beside our SHA-256.
    md5 = hashlib.md5(idx(X_train), usedforsecurity=False).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"

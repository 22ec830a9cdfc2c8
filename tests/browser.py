"""A browser without a window, for tests of the manual: Chromium, asked by the protocol of its developer tools.

    python tests/browser.py FOLDER PICTURES [PAGE ...]

photographs pages of the manual in FOLDER, all by default, at the widths of a phone, a laptop and a large screen, in
light and dark. The protocol goes through a pair of pipes, JSON ended by a zero, so nothing listens at a port.
"""

import argparse
import base64
import contextlib
import fcntl
import functools
import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WIDTHS = {375: 812, 1280: 800, 1920: 1080}  # and heights, of what is seen of a page
# Quiet: no window, no requests of its own, nothing of the user's. Chromium's sandbox cannot be had as root.
OPTIONS = [
    *("--headless", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--no-default-browser-check", "--hide-scrollbars", "--disable-dev-shm-usage", "--no-sandbox"),
    *("--force-color-profile=srgb", "--remote-debugging-pipe", "about:blank"),
]

# Chromium reads from 3 and writes to 4.
START = "import os, sys; [os.dup2(int(sys.argv[i + 1]), 3 + i) for i in (0, 1)]; os.execv(sys.argv[3], sys.argv[3:])"


def program():
    """Chromium's path, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def served(folder):
    """The address at which a folder can be read while the block runs."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=os.fspath(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(10)


class Browser:
    """One page of a browser, as a context."""

    def __init__(self, patience=60):
        self.patience, self.number, self.left = patience, 0, b""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="fastmlp-browser.", ignore_cleanup_errors=True)
        (theirs, self.out), (self.into, theirs_too) = os.pipe(), os.pipe()
        far = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs, theirs_too)]  # neither is 3 or 4
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, far), program(), f"--user-data-dir={self.folder.name}", *OPTIONS],
            pass_fds=far, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, "HOME": self.folder.name},
        )  # fmt: skip
        for each in (theirs, theirs_too, *far):
            os.close(each)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        os.close(self.out)
        os.close(self.into)
        self.folder.cleanup()

    def call(self, method, **parameters):
        """What a method of the protocol returns."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + self.patience
        while True:
            text, zero, rest = self.left.partition(b"\0")
            if zero:
                self.left = rest
                answer = json.loads(text)
                if answer.get("id") == self.number:
                    if "error" in answer:
                        raise RuntimeError(f"{method}: {answer['error']['message']}")
                    return answer["result"]
                continue
            if not select.select([self.into], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"{method}: no answer within {self.patience} s")
            read = os.read(self.into, 1 << 20)
            if not read:
                raise RuntimeError(f"{method}: the browser ended")
            self.left += read

    def evaluate(self, expression):
        """The value of an expression of JavaScript, a promise's result."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", expression))
        return found["result"].get("value")

    def wait(self, expression):
        """Until an expression of JavaScript is true."""
        until = time.monotonic() + self.patience
        while not self.evaluate(expression):
            if time.monotonic() > until:
                raise TimeoutError(f"not within {self.patience} s: {expression}")
            time.sleep(0.05)

    def look(self, width, dark=False):
        """From now on with a window of this width, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=WIDTHS.get(width, 800),
                  deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, address):
        """Go to an address, until all of the page is there."""
        self.call("Page.navigate", url="about:blank")  # where only what follows # differs nothing would be loaded
        self.wait("location.href == 'about:blank'")
        error = self.call("Page.navigate", url=address).get("errorText")
        if error:
            raise RuntimeError(f"{address}: {error}")
        self.wait("location.href != 'about:blank' && document.readyState == 'complete'")
        self.evaluate("document.fonts.ready.then(() => true)")

    def photograph(self, path, whole=False):
        """What is seen of the page, or all of it, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))


def main():
    """Photograph pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the manual, as Sphinx left it")
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("pages", nargs="*", help="index.html, ...")
    given = parser.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    pages = given.pages or sorted(path.relative_to(given.folder).as_posix() for path in given.folder.rglob("*.html"))
    with served(given.folder) as address, Browser() as browser:
        for page in pages:
            for width in WIDTHS:
                for dark in (False, True):
                    browser.look(width, dark)
                    browser.open(address + page)
                    name = page.partition("?")[0].removesuffix(".html").replace("/", "-")
                    browser.photograph(given.pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    main()

"""Headless Chromium, told what to do over a pipe; needs nothing but the program."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from multiprocessing.connection import wait

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT = 120  # seconds for an answer


class Page:
    """An open page."""

    def __init__(self, process, commands, answers):
        self._process, self._commands, self._answers = process, commands, answers
        self._number, self._session, self._received = 0, None, b""

    def send(self, method, **parameters):
        """Send a command of Chrome's DevTools protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._received:
            assert wait([self._answers], TIMEOUT), "the browser does not answer"
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._received += more
        first, self._received = self._received.split(b"\0", 1)
        return json.loads(first)

    def open(self, path, width=1000, height=1000, dark=False):
        """Show the file `path`, and wait until its program says that it is ready."""
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.send("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        self.wait("document.readyState === 'complete' && document.body.dataset.ready === 'true'")

    def wait(self, condition):
        """Wait until an expression of JavaScript is true."""
        deadline = time.monotonic() + TIMEOUT
        while not self.run(condition):
            assert time.monotonic() < deadline, f"{condition} stays false"
            time.sleep(0.02)

    def run(self, expression):
        """Return the value of an expression of JavaScript."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def mouse(self, x, y, *kinds):
        """Move the pointer to a place, in pixels from the top left, and click if `kinds` say so."""
        for kind in kinds or ("mouseMoved",):
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if not kinds else "left", clickCount=1
            )

    def key(self, name):
        """Press and release a key."""
        text = {"text": name} if len(name) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, **(text if kind == "keyDown" else {}))


@contextlib.contextmanager
def browser(folder):
    """Start Chromium with its files in `folder`; yields a `Page`."""
    (theirs, commands), (answers, ours) = os.pipe(), os.pipe()
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={folder}")
    # The browser reads from descriptor 3 and writes to 4.
    start = ["bash", "-c", f'exec "$0" "$@" 3<&{theirs} 4>&{ours}', CHROMIUM, *flags]
    process = subprocess.Popen(start, pass_fds=(theirs, ours), stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.close(ours)
    try:
        yield Page(process, commands, answers)
    finally:
        process.kill()
        process.wait()
        os.close(commands)
        os.close(answers)

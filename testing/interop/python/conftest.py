"""Starts the server under test (TARGET_CMD, default: the reference); it serves the contract of CONTRACT.md."""

import os
import pathlib
import shlex
import signal
import subprocess
import time

import pytest
from engineio.payload import Payload

# The client takes no more than 16 packets from one poll unless told to; its documentation says to raise that.
Payload.max_decode_packets = 1000

FOLDER = pathlib.Path(__file__).resolve().parent.parent
COMMAND = shlex.split(os.environ.get("TARGET_CMD", "node reference.mjs"))


class Target:
    """One running server process."""

    def __init__(self, *flags):
        self.flags = flags
        self.port = 0
        self.start()

    def start(self):
        """Starts, or starts again on the same port, and waits until it listens."""
        command = [*COMMAND, *self.flags, "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening "):
                self.port = int(line.split()[1])
                return
        raise RuntimeError("the server ended before it listened")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def crash(self):
        """Ends the server without any goodbye."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """Ends the server in the orderly way; it must still have been up."""
        assert self.process.poll() is None, "the server died during the tests"
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(5) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()


@pytest.fixture
def start():
    """A function that starts a server for one test."""
    targets = []

    def begin(*flags):
        target = Target(*flags)
        targets.append(target)
        return target

    yield begin
    for target in targets:
        target.stop()


@pytest.fixture(scope="module")
def target():
    """One server for all tests of a file."""
    server = Target()
    yield server
    server.stop()


def until(check, what, seconds=5.0):
    """Waits until `check()` is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)

"""`sockeye bench` on a server: run to its end, or in the background."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from . import machine

# How long the last clients may take to leave, and the report to be written.
END_SECONDS = 20


class Failed(Exception):
    """Why there is no figure."""


def run(target: Path, words: list[str], url: str, pid: int, cores: list[int], seconds: float) -> dict:
    """Runs a scenario, at most for so long: its report."""
    try:
        done = subprocess.run(
            _command(target, words, url, pid, cores), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the run took longer than {seconds:.0f} s") from error
    return _report(done.stdout, done.stderr)


def problems(report: dict) -> list[str]:
    """What makes the figures of a report worthless."""
    messages = report["messages"]
    lost = messages and messages["lost"] + messages["unsent"]
    return ([f"{lost} messages lost"] if lost else []) + list(report["failures"])


class Background:
    """A scenario that goes on while something else is looked at. Leave the `with` block to be rid of it."""

    def __init__(self, target: Path, words: list[str], url: str, pid: int, cores: list[int], is_meek: bool = False):
        # What is meek runs when nothing else wants its core.
        meek = {"preexec_fn": lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))} if is_meek else {}
        self._process = subprocess.Popen(
            _command(target, words, url, pid, cores), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **meek
        )
        self._connected = threading.Event()
        self._output, self._errors = [], []
        self._readers = [threading.Thread(target=self._read_errors), threading.Thread(target=self._read_output)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()

    def wait_until_connected(self, seconds: float) -> None:
        """Waits until all clients are there."""
        deadline = time.monotonic() + seconds
        while not self._connected.wait(0.05):
            if self._process.poll() is not None:
                self.end()
                raise Failed("the load ended before all clients were connected")
            if time.monotonic() > deadline:
                raise Failed(f"the clients did not connect within {seconds:.0f} s")

    def end(self) -> dict:
        """Ends the load early, if it has not ended: its report."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failed("the load generator does not end") from error
        for reader in self._readers:
            reader.join()
        report = _report("".join(self._output), "".join(self._errors))
        if found := problems(report):
            raise Failed("; ".join(found))
        return report

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self._errors.append(line)
            if line.startswith(("warm-up:", "measuring:")):
                self._connected.set()

    def _read_output(self) -> None:
        self._output += self._process.stdout


def _command(target: Path, words: list[str], url: str, pid: int, cores: list[int]) -> list[str]:
    threads = ["--threads", str(max(len(cores), 1))]
    command = [str(target / "release" / "sockeye"), "bench", *words, *threads, url, "--pid", str(pid), "--json"]
    return machine.pinned(command, cores)


def _report(output: str, errors: str) -> dict:
    try:
        return json.loads(output)
    except ValueError as error:
        raise Failed((errors.strip().splitlines() or ["the load generator said nothing"])[-1]) from error

"""The servers that are compared: how each is built, started, loaded and stopped."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import load, machine

NAMES = ["sockeye", "socketioxide", "node"]
BUILD_SECONDS = 1800
START_SECONDS = 15
RUN_SECONDS = 180


@dataclass
class Server:
    """A server that has been built."""

    name: str
    title: str
    version: str
    # Without the port, which comes last.
    command: list[str]


class CannotBuild(Exception):
    """Why a server is left out."""


def build(root: Path, target: Path, names: list[str]) -> tuple[list[Server], dict[str, str]]:
    """Builds the load generator and the servers with these names; and why some could not be."""
    builders = {"sockeye": _sockeye, "socketioxide": _socketioxide, "node": _node}
    built, left_out = [], {}
    print("building the load generator", flush=True)
    try:
        _run(["cargo", "build", "--release", "--locked", "-p", "sockeye-server", "-p", "sockeye-bench"], root)
    except CannotBuild as error:
        return [], {"the load generator": str(error)}
    for name in names:
        print(f"building {name}", flush=True)
        try:
            built.append(builders[name](root, target))
        except CannotBuild as error:
            print(f"  left out: {error}", flush=True)
            left_out[name] = str(error)
    return built, left_out


@contextmanager
def running(server: Server, cores: dict[str, list[int]], flags: list[str] | None = None) -> Iterator[tuple[int, int]]:
    """Runs a fresh server while the block lasts: its process id and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program, *rest = server.command
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(machine.pinned([program, *(flags or []), *rest, str(port)], cores["server"]), **quiet)
    try:
        if not _is_up(process, port):
            raise load.Failed(f"{server.title} did not start")
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def measure(server: Server, target: Path, words: list[str], cores: dict[str, list[int]]) -> dict:
    """Runs one scenario on a fresh server: its report, or what went wrong."""
    try:
        with running(server, cores) as (pid, port):
            return {"report": load.run(target, words, f"http://127.0.0.1:{port}", pid, cores["load"], RUN_SECONDS)}
    except load.Failed as error:
        return {"problem": str(error)}


def _sockeye(root: Path, target: Path) -> Server:
    version = _run([str(target / "release" / "sockeye"), "version"], root).split()[-1]
    if shutil.which("git") and (root / ".git").exists():
        version += " " + _run(["git", "rev-parse", "--short", "HEAD"], root).strip()
    version += ", " + " ".join(_run(["rustc", "--version"], root).split()[:2])
    return Server("sockeye", "Sockeye", version, [str(target / "release" / "contract-server"), "--port"])


def _socketioxide(root: Path, target: Path) -> Server:
    folder = root / "bench/peers/socketioxide"
    peers = target / "bench-peers"
    _run(["cargo", "build", "--release", "--locked", "--target-dir", str(peers)], folder)
    locked = (folder / "Cargo.lock").read_text()
    version = locked.split('name = "socketioxide"\nversion = "', 1)[1].split('"', 1)[0]
    version += ", " + " ".join(_run(["rustc", "--version"], root).split()[:2])
    return Server("socketioxide", "socketioxide", version, [str(peers / "release/sockeye-peer-socketioxide")])


def _node(root: Path, _target: Path) -> Server:
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise CannotBuild(f"{tool} is not installed")
    folder = root / "bench/peers/node"
    _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder)
    version = json.loads((folder / "package-lock.json").read_text())["packages"]["node_modules/socket.io"]["version"]
    version += ", Node.js " + _run(["node", "--version"], folder).strip().lstrip("v")
    return Server("node", "Node (socket.io)", version, ["node", str(folder / "server.js")])


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, check=True, text=True, timeout=BUILD_SECONDS, stdin=subprocess.DEVNULL, capture_output=True
        )
    except FileNotFoundError as error:
        raise CannotBuild(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{' '.join(command[:2])} took longer than {BUILD_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no output"]
        told = next((line for line in lines if line.startswith(("error", "npm error"))), lines[-1])
        raise CannotBuild(f"{' '.join(command[:2])} failed: {told}") from error
    return done.stdout


def _is_up(process: subprocess.Popen, port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            # What starting costs is over before memory is looked at.
            time.sleep(0.5)
            return process.poll() is None
        except OSError:
            time.sleep(0.05)
    return False

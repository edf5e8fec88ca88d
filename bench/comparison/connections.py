"""What connections cost: while they are idle, when they are made, and when there are more of them."""

import time
from contextlib import ExitStack
from pathlib import Path

from . import load, processor, servers

CONNECT_SECONDS = 90
# The load must not end before it is told.
SPARE_SECONDS = 600
# Processes, and connections of each.
GROWTH = [(1, 1_000), (1, 5_000), (1, 10_000), (1, 19_000), (2, 10_000), (4, 10_000)]


def idle(server: servers.Server, target: Path, cores: dict, clients: int, seconds: float, processes: int = 1) -> dict:
    """Idle connections, in one process or several: CPU microseconds for each and second, bytes for each."""
    with ExitStack() as stack:
        started = [stack.enter_context(servers.running(server, cores)) for _ in range(processes)]
        words = ["idle", "--clients", str(clients), "--duration", f"{seconds + SPARE_SECONDS:.0f}s"]
        # A generator for each: it, too, may not open more files than it is allowed.
        loads = [
            stack.enter_context(load.Background(target, words, f"http://127.0.0.1:{port}", pid, cores["load"]))
            for pid, port in started
        ]
        for background in loads:
            background.wait_until_connected(CONNECT_SECONDS)
        begun, before = time.monotonic(), sum(processor.seconds(pid) for pid, _ in started)
        time.sleep(seconds)
        cpu, passed = sum(processor.seconds(pid) for pid, _ in started) - before, time.monotonic() - begun
        reports = [background.end() for background in loads]
    all_seconds = passed * clients * processes
    return {
        "cpu_us": cpu * 1e6 / all_seconds,
        # Each process's time is told in whole ticks.
        "within_us": processor.TICK * processes * 1e6 / all_seconds,
        "bytes": sum(report["server"]["bytes_per_connection"] for report in reports) / processes,
        "heartbeats": sum(report["heartbeats"] for report in reports) / (clients * processes),
    }


def connect(server: servers.Server, target: Path, cores: dict, clients: int) -> float:
    """CPU microseconds to set a connection up, with WebSocket and the main namespace."""
    words = ["idle", "--clients", str(clients), "--duration", "1s"]
    with servers.running(server, cores) as (pid, port):
        report = load.run(target, words, f"http://127.0.0.1:{port}", pid, cores["load"], CONNECT_SECONDS)
    if found := load.problems(report):
        raise load.Failed("; ".join(found))
    return report["server"]["cpu_us_per_connect"]

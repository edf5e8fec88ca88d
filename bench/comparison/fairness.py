"""Whether a broadcast to many holds up others: the latency of messages in a small room meanwhile."""

from pathlib import Path

from . import load, servers

CONNECT_SECONDS = 90
SPARE_SECONDS = 600
MORE_SECONDS = 30
ROOM = "rooms --clients 2 --room-size 2 --senders 1 --rate 50"
# Broadcasts a second; with none the clients are there and idle.
RATES = [0, 1, 2]


def measure(server: servers.Server, target: Path, cores: dict, clients: int, rate: int, seconds: float) -> dict:
    """The latencies of a room of two while so many broadcasts a second go to so many clients."""
    duration = ["--duration", f"{seconds + SPARE_SECONDS:.0f}s"]
    if rate:
        crowd = ["broadcast", "--clients", str(clients), "--rate", str(rate), "--warmup", "0s", *duration]
    else:
        crowd = ["idle", "--clients", str(clients), *duration]
    with servers.running(server, cores) as (pid, port):
        url = f"http://127.0.0.1:{port}"
        # Meek, so that the room's two clients, on the same core, do not wait for the crowd to read.
        with load.Background(target, crowd, url, pid, cores["load"], is_meek=True) as background:
            background.wait_until_connected(CONNECT_SECONDS)
            words = [*ROOM.split(), "--warmup", "1s", "--duration", f"{seconds}s"]
            report = load.run(target, words, url, pid, cores["load"], seconds + MORE_SECONDS)
            background.end()
    if found := load.problems(report):
        raise load.Failed("; ".join(found))
    return report["messages"]["latency"]

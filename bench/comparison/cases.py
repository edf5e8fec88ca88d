"""The variants of a scenario: what a message costs the server with each, beside the plain case."""

import shlex
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import load, servers, text


@dataclass
class Case:
    """One way to run a scenario."""

    name: str
    title: str
    # The case that it is compared with; its own name if it is plain.
    plain: str
    # Of `contract-server`, and of `sockeye bench`.
    flags: str
    words: str


BROADCAST = "broadcast --clients 1000 --window 4 --payload 1024"
CASES = [
    Case("echo", "echo, 100 clients", "echo", "", "echo --clients 100"),
    Case("polling", "echo by long-polling", "echo", "", "polling --clients 100"),
    Case("binary", "echo of a binary attachment", "echo", "", "echo --clients 100 --binary"),
    Case("msgpack", "echo in MessagePack", "echo", "--parser msgpack", "echo --clients 100 --parser msgpack"),
    Case("tls", "echo over TLS", "echo", "--tls CERT KEY", "echo --clients 100 --insecure"),
    Case("namespaces", "echo in 20 namespaces", "echo", "--namespaces 20", "echo --clients 100 --namespaces 20"),
    Case("broadcast", "broadcast of 1 KiB to 1000", "broadcast", "", BROADCAST),
    Case("broadcast-deflate", "broadcast, permessage-deflate", "broadcast", "--deflate 1024", f"{BROADCAST} --deflate"),
    Case("broadcast-msgpack", "broadcast in MessagePack", "broadcast", "--parser msgpack", f"{BROADCAST} --parser msgpack"),
    Case("rooms", "1000 sockets in rooms of 10", "rooms", "", "rooms --clients 1000 --room-size 10"),
    # As many in a room as in the next case, so that a message is delivered as often.
    Case("small-rooms", "1000 sockets in rooms of 5", "small-rooms", "", "rooms --clients 1000 --room-size 5"),
    Case("many-rooms", "1000 sockets in 50 of 10,000 rooms each (5 in a room)", "small-rooms", "",
         "rooms --clients 1000 --rooms 10000 --rooms-per-client 50 --senders 200"),
]
WARMUP_SECONDS = 1
# Connecting, joining, and the messages that are still under way.
MORE_SECONDS = 60


def certificate(folder: Path) -> list[str] | None:
    """Makes a certificate and its key; none if that cannot be done here."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return [str(cert), str(key)]


def measure(case: Case, server: servers.Server, target: Path, cores: dict, seconds: float, tls: list[str] | None) -> dict:
    """One run of a case: the report of the load."""
    flags = shlex.split(case.flags)
    scheme = "http"
    if "--tls" in flags:
        if tls is None:
            raise load.Failed("there is no certificate: is openssl installed?")
        flags, scheme = ["--tls", *tls], "https"
    words = [*shlex.split(case.words), "--warmup", f"{WARMUP_SECONDS}s", "--duration", f"{seconds}s"]
    with servers.running(server, cores, flags) as (pid, port):
        report = load.run(target, words, f"{scheme}://127.0.0.1:{port}", pid, cores["load"], seconds + MORE_SECONDS)
    if found := load.problems(report):
        raise load.Failed("; ".join(found))
    if report["server"]["cpu_us_per_message"] is None:
        raise load.Failed("nothing came back")
    return report


def table(results: dict[str, list[dict]]) -> str:
    """The figures of all cases that have some."""
    costs = {name: [report["server"]["cpu_us_per_message"] for report in reports] for name, reports in results.items() if reports}
    rows = []
    for case in CASES:
        if case.name not in costs:
            continue
        cost, reports = statistics.median(costs[case.name]), results[case.name]
        ratio = "–"
        if case.plain != case.name and case.plain in costs:
            ratio = f"{cost / statistics.median(costs[case.plain]):.2f} × {case.plain}"
        rows.append([
            case.title, f"{cost:.2f}", f"{min(costs[case.name]):.2f} – {max(costs[case.name]):.2f}", ratio,
            text.number(statistics.median(report["messages"]["received_per_second"] for report in reports), "rate"),
            text.number(statistics.median(report["server"]["cores"] for report in reports), "server_busy"),
            f"`{case.flags}`" if case.flags else "", f"`{case.words}`",
        ])
    headings = ["", "CPU µs a message", "least – most", "ratio", "messages/s", "server busy", "contract-server", "sockeye bench"]
    return text.table(headings, rows)

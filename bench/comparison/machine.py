"""The machine that is measured on, and which cores do what."""

import os
import platform
import resource
import shutil
from pathlib import Path


def cores(server_first: bool = False) -> dict[str, list[int]]:
    """The last core, or the first, for the server, up to four others for the load; without taskset, or with one core, all for
    both."""
    usable = sorted(os.sched_getaffinity(0), reverse=server_first)
    if len(usable) < 2 or not shutil.which("taskset"):
        return {"server": [], "load": []}
    return {"server": usable[-1:], "load": usable[:-1][:4]}


def pinned(command: list[str], to: list[int]) -> list[str]:
    """The command, on these cores only."""
    return ["taskset", "--cpu-list", ",".join(map(str, to)), *command] if to else command


def raise_open_files() -> int:
    """Lets this process and those it starts open as many files as the system allows; how many that is."""
    # Every connection is a file, and not every server raises its limit itself.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def describe(pins: dict[str, list[int]]) -> dict[str, str]:
    """What a reader must know of the machine."""
    if pins["server"]:
        used = f"server on core {pins['server'][0]}, load on {', '.join(map(str, pins['load']))}"
    else:
        used = "not pinned: server and load share what there is"
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": f"{os.cpu_count()} ({used})",
        "memory": _gibibytes(_field("/proc/meminfo", "MemTotal")),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def _field(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


def _gibibytes(field: str | None) -> str:
    return f"{int(field.split()[0]) / 1024**2:.1f} GiB" if field else "unknown"

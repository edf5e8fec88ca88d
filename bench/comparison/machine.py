"""The machine that is measured on, and which cores do what."""

import os
import platform
import shutil
from pathlib import Path


def cores() -> dict[str, list[int]]:
    """One core for the server, up to four others for the load; without taskset, or with one core, all for both."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or not shutil.which("taskset"):
        return {"server": [], "load": []}
    return {"server": usable[-1:], "load": usable[:-1][:4]}


def pinned(command: list[str], to: list[int]) -> list[str]:
    """The command, on these cores only."""
    return ["taskset", "--cpu-list", ",".join(map(str, to)), *command] if to else command


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

"""The CPU time of a process, as Linux tells it in /proc."""

import os
from pathlib import Path

# The times are told in these, in seconds.
TICK = 1 / os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """What a process has used up to now."""
    # The name of the program is in parentheses and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK

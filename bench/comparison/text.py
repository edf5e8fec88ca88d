"""The report in Markdown, and how figures are written."""

SATURATED = 0.8
# key, heading
COLUMNS = [
    ("rate", "messages/s"), ("p50", "p50 ms"), ("p99", "p99 ms"), ("max", "max ms"), ("cpu_us", "CPU µs a message"),
    ("server_busy", "server busy"), ("connection_kib", "KiB a connection"), ("generator_busy", "generator busy"),
]
HOW = (
    "Every scenario ran on every server in turn, each time on a fresh server; the figures are medians. The latency of a scenario at "
    "a fixed rate counts from the time at which a message should have been sent. Where a generator is marked with †, it was busy for "
    "more than 80 % of its time: the messages a second are then what it can do, and the server may do more; the CPU time a message "
    "still compares the servers. Where a rate is marked with ‡, neither the server nor the generator was busy: they waited for one "
    "another, or for other programs on this machine. Every server ran with its default options, on one core where there are several."
)


def number(value: float | None, key: str) -> str:
    """A figure with as many digits as mean something."""
    if value is None:
        return "–"
    if key in ("server_busy", "generator_busy"):
        return f"{value * 100:.0f} %"
    if value >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(scenario: dict, row: dict, key: str) -> str:
    """A figure in the table of a scenario, with its mark."""
    marked = ""
    if key == "generator_busy" and (row.get(key) or 0) > SATURATED:
        marked = " †"
    if key == "rate" and "--rate" not in scenario["command"] and row.get(key) is not None:
        busiest = max(row.get("server_busy") or 0, row.get("generator_busy") or 0)
        marked = " ‡" if busiest < SATURATED else ""
    return number(row.get(key), key) + marked


def columns(scenario: dict) -> list[tuple[str, str]]:
    """The columns that have a figure in this scenario."""
    rows = scenario["medians"].values()
    shown = [(key, heading) for key, heading in COLUMNS if any(row.get(key) is not None for row in rows)]
    # Connections of a scenario with messages are few, and their buffers are full.
    return [column for column in shown if column[0] != "connection_kib" or scenario["name"] == "idle"]


def facts(result: dict) -> list[tuple[str, str]]:
    """What was measured, on what and when."""
    runs = f"{result['runs']}{' (quick: short runs; take them as a smoke test)' if result['quick'] else ''}"
    servers = [(server["title"], server["version"]) for server in result["servers"]]
    left_out = [(f"{name}: left out", why) for name, why in result["left_out"].items()]
    return [("date", result["date"]), ("command", result["command"]), ("runs of each", runs), *result["machine"].items(), *servers, *left_out]


def markdown(result: dict) -> str:
    """The whole report."""
    titles = {server["name"]: server["title"] for server in result["servers"]}
    lines = ["# Socket.IO servers, measured", "", HOW, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts(result)]
    for scenario in result["scenarios"]:
        shown = columns(scenario)
        lines += ["", f"## {scenario['title']}", "", scenario["about"], "", f"`{scenario['command']}`", ""]
        lines += ["| | " + " | ".join(heading for _, heading in shown) + " |", "|---|" + "---:|" * len(shown)]
        for name, row in scenario["medians"].items():
            lines.append(f"| {titles[name]} | " + " | ".join(cell(scenario, row, key) for key, _ in shown) + " |")
        for name, row in scenario["medians"].items():
            lines += [f"\n{titles[name]}: {problem}" for problem in row["problems"]]
    return "\n".join(lines) + "\n"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; all columns but the first hold figures."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return "\n".join(lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows])


def _cell(value: str) -> str:
    return value.replace("|", "\\|")

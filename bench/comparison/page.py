"""The report as one HTML page with bar charts, light and dark."""

from html import escape

from . import text

STYLE = """
:root { color-scheme: light dark; --text: #1c2330; --dim: #5b6676; --page: #fbfbfa; --card: #fff; --line: #e2e5ea;
  --sockeye: #d1432f; --socketioxide: #8292ab; --node: #b3bccb; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --dim: #9aa5b5; --page: #14171c; --card: #1c2027; --line: #2e343e;
  --sockeye: #f0735f; --socketioxide: #7688a6; --node: #525f75; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; } h2 { font-size: 1.2rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; max-width: 48rem; } .dim, figcaption { color: var(--dim); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem 1.4rem; margin: 1.25rem 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem 2rem; margin: 1rem 0; }
figure { margin: 0; } figcaption { font-size: .85rem; margin-bottom: .35rem; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; } svg .track { fill: var(--line); opacity: .45; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
.figures { width: 100%; } .figures td { white-space: nowrap; } th { color: var(--dim); font-weight: 500; white-space: nowrap; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); } tbody tr:last-child > * { border: 0; }
th:first-child, td:first-child, .facts * { text-align: left; } th:first-child, td:first-child { padding-left: 0; }
.facts th { vertical-align: top; } code { font-size: .82rem; overflow-wrap: anywhere; } .problem { color: var(--sockeye); margin: .75rem 0 0; }
"""
WIDTH, BAR, GAP, LABEL, VALUE = 440, 22, 8, 118, 72


def html(result: dict) -> str:
    """The whole page."""
    titles = {server["name"]: server["title"] for server in result["servers"]}
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in text.facts(result))
    sections = "".join(_section(scenario, titles) for scenario in result["scenarios"])
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Socket.IO servers, measured</title>
<style>{STYLE}</style>
<h1>Socket.IO servers, measured</h1>
<p class="dim">{escape(text.HOW)}</p>
<section><h2>What was measured</h2><div class="scroll"><table class="facts">{facts}</table></div></section>
{sections}
</html>
"""


def _section(scenario: dict, titles: dict[str, str]) -> str:
    rows, shown = scenario["medians"], text.columns(scenario)
    head = "".join(f"<th>{escape(heading)}</th>" for _, heading in shown)
    body = "".join(
        f"<tr><td>{escape(titles[name])}</td>" + "".join(f"<td>{text.cell(scenario, row, key)}</td>" for key, _ in shown) + "</tr>"
        for name, row in rows.items()
    )
    figure = scenario["figure"]
    charts = _chart(rows, titles, figure["key"], figure["label"], figure["more_is_better"])
    if figure["key"] != "cpu_us":
        charts += _chart(rows, titles, "cpu_us", "server CPU a message, microseconds", False)
    problems = "".join(
        f'<p class="problem">{escape(titles[name])}: {escape(problem)}</p>' for name, row in rows.items() for problem in row["problems"]
    )
    return f"""<section><h2>{escape(scenario["title"])}</h2>
<p class="dim">{escape(scenario["about"])}</p>
<div class="charts">{charts}</div>
<div class="scroll"><table class="figures"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>{problems}
<p class="dim" style="margin: .8rem 0 0"><code>{escape(scenario["command"])}</code></p></section>
"""


def _chart(rows: dict, titles: dict[str, str], key: str, label: str, more_is_better: bool) -> str:
    values = {name: row[key] for name, row in rows.items() if row.get(key) is not None}
    if not values:
        return ""
    most = max(values.values()) or 1
    room = WIDTH - LABEL - VALUE
    bars, y = [], 0
    for name, value in values.items():
        length = max(value / most * room, 2)
        middle = y + BAR / 2 + 4.5
        bars.append(
            f'<text x="0" y="{middle}">{escape(titles[name])}</text>'
            f'<rect class="track" x="{LABEL}" y="{y}" width="{room}" height="{BAR}" rx="3"/>'
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" style="fill: var(--{name})"/>'
            f'<text x="{LABEL + room + 8}" y="{middle}">{text.number(value, key)}</text>'
        )
        y += BAR + GAP
    hint = "more is better" if more_is_better else "less is better"
    spoken = "; ".join(f"{titles[name]} {text.number(value, key)}" for name, value in values.items())
    return (
        f"<figure><figcaption>{escape(label)} ({hint})</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {y - GAP}" role="img" aria-label="{escape(label)}: {escape(spoken)}">{"".join(bars)}</svg></figure>'
    )

#!/usr/bin/env python3
"""Compares the outcome of an Autobahn run with the expected one.

usage: compare.py [--update] EXPECTED.json REPORT_DIR

The expectation file holds, for each agent and case, the verdict; that on the closing handshake follows where it differs.
Every case of the run must be in it, with the same verdict, and none may be missing from the run. Exit status: 0 or 1.
"""

import json
import sys
from collections import Counter
from pathlib import Path


def number(case):
    return [int(part) for part in case.split(".")]


def verdict(result):
    behavior, close = result["behavior"], result["behaviorClose"]
    return behavior if behavior == close else f"{behavior}, closing {close}"


def main():
    arguments = sys.argv[1:]
    update = "--update" in arguments
    expected_file, report = (Path(argument) for argument in arguments if argument != "--update")
    expected = json.loads(expected_file.read_text()) if expected_file.exists() else {}
    chosen = (report / "cases.txt").read_text().split()
    different = 0
    for agent, cases in json.loads((report / "index.json").read_text()).items():
        found = {case: verdict(result) for case, result in cases.items()}
        known = expected.setdefault(agent, {})
        if update:
            known.update(found)
        for case in sorted({*chosen, *found}, key=number):
            was, now = known.get(case, "not expected"), found.get(case, "not run")
            if was != now:
                different += 1
                print(f"  {agent} {case}: {now}; expected: {was}")
        counts = ", ".join(f"{count} {name}" for name, count in Counter(found.values()).most_common())
        print(f"autobahn, {agent}: {len(found)} cases of {len(chosen)}: {counts}")
        expected[agent] = {case: known[case] for case in sorted(known, key=number)}
    if update:
        expected_file.write_text(json.dumps(expected, indent=1) + "\n")
    return 1 if different or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs cases of Autobahn|Testsuite against a WebSocket server, in the environment that `prepare` has made.

usage: suite.py FOLDER AGENT URL CASE...

Cases may have an asterisk: 7.* or *. The results go into FOLDER: index.json, index.html, and which cases were chosen into cases.txt.
The status is 0 if all of them were run, whatever came of it.
"""

import json
import subprocess
import sys
from pathlib import Path

from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet

# Seconds for all.
LIMIT = 3000


def main() -> int:
    folder, agent, url, *patterns = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True)
    spec = {"outdir": str(folder), "servers": [{"agent": agent, "url": url}], "exclude-agent-cases": {}}
    known = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
    cases = known.parseSpecCases({**spec, "cases": patterns, "exclude-cases": []})
    unknown = [case for case in cases if case not in known.CasesById]
    if unknown or not cases:
        print(f"no such case: {' '.join(unknown or patterns)}")
        return 2
    (folder / "spec.json").write_text(json.dumps({**spec, "cases": cases, "exclude-cases": []}))
    (folder / "cases.txt").write_text("\n".join(cases) + "\n")
    wstest = Path(sys.executable).with_name("wstest")
    command = [sys.executable, "-W", "ignore", "-u", wstest, "-m", "fuzzingclient", "-s", folder / "spec.json"]
    log = folder / "wstest.log"
    with log.open("w") as output:
        try:
            status = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, timeout=LIMIT).returncode
        except subprocess.TimeoutExpired:
            status = f"none after {LIMIT} s"
    text = log.read_text()
    errors = "FUZZER ERROR" in text
    if status != 0 or errors or not (folder / "index.json").exists():
        print(f"the fuzzing client ended with status {status}{', and errors of its own' if errors else ''}:")
        print(text[-3000:])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

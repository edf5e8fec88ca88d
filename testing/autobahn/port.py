#!/usr/bin/env python3
"""Ports the installed package autobahntestsuite 25.10.1 from Python 2 to 3, in place.

The fuzzing client, its cases and its reports stay; all other parts go. Syntax is left to fissix (2to3). The rest are the replacements
below. Each must match as often as it says, so that another version of the package is an error and not a wrong result.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(sysconfig.get_path("purelib")) / "autobahntestsuite"
CASES = PACKAGE / "case"
KEPT = {"__init__.py", "_version.py", "caseset.py", "choosereactor.py", "fuzzing.py", "report.py", "spectemplate.py", "wstest.py"}
SOME = None

# Names in the cases for permessage-deflate that autobahn has renamed since.
DEFLATE = [
    (r"\brequestNoContextTakeover = ", "request_no_context_takeover = ", SOME),
    (r"\brequestMaxWindowBits = ", "request_max_window_bits = ", SOME),
    (r"\b(x|offer)\.requestNoContextTakeover\b", r"\1.request_no_context_takeover", SOME),
    (r"\b(x|offer)\.requestMaxWindowBits\b", r"\1.request_max_window_bits", SOME),
    (r"\boffer\.acceptNoContextTakeover\b", "offer.accept_no_context_takeover", SOME),
    (r"\boffer\.acceptMaxWindowBits\b", "offer.accept_max_window_bits", SOME),
]
# pkg_resources is gone from setuptools.
FOLDER = "os.path.dirname(os.path.abspath(__file__))"

# File, then (pattern, replacement, how often).
CHANGES = {
    "case/case.py": [
        (r"^import pickle$", "from ..py3 import comparable", 1),
        (r"pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)", "comparable(obj1) == comparable(obj2)", 1),
    ],
    "case/case10_1_1.py": [(r"len\(self\.payload\) / self", "len(self.payload) // self", 1)],
    "case/case6_x_x.py": [(r"v\.validate\(vss\[:i\]\)", "v.validate(as_bytes(vss[:i]))", 1)],
    "case/case6_2_1.py": [(r"% \(PAYLOAD, as_hex", "% (as_text(PAYLOAD), as_hex", 1)],
    "case/case6_2_3.py": [(r"% \(PAYLOAD, as_hex", "% (as_text(PAYLOAD), as_hex", 1)],
    "case/case6_2_4.py": [(r"% \(PAYLOAD, as_hex", "% (as_text(PAYLOAD), as_hex", 1)],
    "case/case6_2_2.py": [
        (r"% \(PAYLOAD1, as_hex", "% (as_text(PAYLOAD1), as_hex", 1),
        (r", PAYLOAD2, as_hex", ", as_text(PAYLOAD2), as_hex", 1),
    ],
    "case/case12_x_x.py": [
        *DEFLATE,
        (r"^import copy, os, pkg_resources, hashlib, binascii", "import copy, os, hashlib, binascii", 1),
        (r'pkg_resources\.resource_filename\("autobahntestsuite", (.*)\)$', rf"os.path.join(os.path.dirname({FOLDER}), \1)", 3),
        (r"binascii\.hexlify\((\w+|self\.\w+)\)", r"\1.hex()", 2),
    ],
    "fuzzing.py": [
        (
            r"^import os, json, binascii, time, textwrap, pkg_resources$",
            "import html, os, json, binascii, time, textwrap\nfrom .py3 import Sender, Timer, as_bytes, for_json",
            1,
        ),
        # What a report shows of frames.
        (r"dd = binascii\.b2a_hex\(data\[:maxlen\]\) \+ ellipses", "dd = as_bytes(data[:maxlen]).hex() + ellipses", 1),
        (r"dd = binascii\.b2a_hex\(data\)", "dd = as_bytes(data).hex()", 1),
        (r'^   ellipses = " \.\.\."\n   try:', '   ellipses = " ..."\n   data = as_bytes(data)\n   try:', 1),
        (r"dd = data\[:maxlen\] \+ ellipses", "dd = data[:maxlen] + ellipses.encode()", 1),
        (r"p = ''\.join\(payload\)", "p = b''.join(payload)", 1),
        (r"binascii\.b2a_hex\(frameHeader\.mask\) if", "frameHeader.mask.hex() if", 2),
        (r"mmask = binascii\.b2a_hex\(t\[6\]\)", "mmask = t[6]", 1),
        # What a result has in it.
        (r"self\.http_request_data if", "for_json(self.http_request_data) if", 1),
        (r"self\.http_response_data if", "for_json(self.http_response_data) if", 1),
        (
            r'"(localCloseReason|remoteCloseReason|wasNotCleanReason)": self\.(\w+),',
            r'"\1": self.\2 and for_json(self.\2),',
            3,
        ),
        (r"json\.dumps\(case, sort_keys", "json.dumps(case, default = for_json, sort_keys", 1),
        (
            r"open\(os\.path\.join\(outdir, report_filename\), 'w'\)",
            "open(os.path.join(outdir, report_filename), 'w', encoding = 'utf-8', errors = 'replace')",
            4,
        ),
        (r"""\(('         <tr class="stats_row"><td>%s</td>.*\\n' % \(c\[0\], case\[c\[0\]\], c\[1\]\))\)\.encode\("utf-8"\)\)""", r"\1)", 1),
        (r"ll\.encode\('utf8'\)", "html.escape(ll)", 1),
        # autobahn as it is today.
        (r"self\.failConnection\(\)", "self._fail_connection()", 1),
        (r"^class FuzzingProtocol:$", "class FuzzingProtocol(Sender):", 1),
        (r"^   MAX_WIRE_LOG_DATA = 256$", "   MAX_WIRE_LOG_DATA = 256\n   debug = False", 1),
        (r"(WebSocket(?:Client|Server)Factory)\.__init__\(self, debug = debug, debugCodePaths = debug\)", r"\1.__init__(self)", 2),
        (r"^      self\.resultListeners = \{\}$", "      self.resultListeners = {}\n      self._batched_timer = Timer()", 1),
        # A case that sends byte by byte means it: without this the system collects them.
        (r"^      self\.caseStart = 0$", "      self.transport.setTcpNoDelay(True)\n      self.caseStart = 0", 1),
        # TLS if the URL says so, and to each server in turn.
        (
            r"self\.contextFactory = ssl\.ClientContextFactory\(\)",
            """self.contextFactory = ssl.CertificateOptions() if server["url"].startswith("wss") else None""",
            1,
        ),
        (r"^( +)connectWS\(self\)$", r"\1connectWS(self, contextFactory=self.contextFactory)", 2),
        (r"^      print\(\"Connection to %s failed", '      self.connectFailed = True\n      print("Connection to %s failed', 1),
        (
            r"""pkg_resources\.resource_filename\("autobahntestsuite",\s*"web/fuzzingserver"\)""",
            f"os.path.join({FOLDER}, 'web/fuzzingserver').encode()",
            1,
        ),
        (r"webdir\.putChild\('cwd', curdir\)", "webdir.putChild(b'cwd', curdir)", 1),
    ],
    "report.py": [
        (r"^import jinja2$", "", 1),
        # From here on it is about WAMP.
        (r"(?s)^from zope\.interface import implementer\nfrom interfaces.*\Z", "", 1),
    ],
    "wstest.py": [
        (r", pkg_resources$", "", 1),
        (r"^import (testee|echo|broadcast|massconnect|serializer)\n", "", 5),
        (r"^from autobahn\.websocket\.xormasker import XorMaskerNull$", "", 1),
        (r"print\(\"Using XOR Masker classes %s\" % str\(XorMaskerNull\)\)", "pass", 1),
        (r"^   start\(options, spec\)$", "   from .py3 import print_errors\n   print_errors()\n   start(options, spec)", 1),
        (r"(?s)^   MODES = \[.*?^ +\]$", "   MODES = ['fuzzingclient', 'fuzzingserver']", 1),
    ],
}


def replace(path: Path, changes: list) -> None:
    text = path.read_text()
    for pattern, replacement, times in changes:
        text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if found != times and not (times is SOME and found):
            sys.exit(f"port.py: {path.name} has {pattern!r} {found} times, not {times or 'once or more'}")
    path.write_text(text)


def main() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.name not in KEPT:
            path.unlink()
    # In no list of cases.
    (CASES / "case9_9_1.py").unlink()
    replace(CASES / "__init__.py", [(r"^from case9_9_1 import \*$", "", 1)])
    (PACKAGE / "__init__.py").write_text("from ._version import __version__\n\nversion = __version__\n")
    # Python 2 read literals as the bytes in the file.
    for path in CASES.glob("*.py"):
        path.write_bytes(re.sub(rb"[\x80-\xff]", lambda match: b"\\x%02x" % match[0][0], path.read_bytes()))
    files = [str(path) for path in (*PACKAGE.glob("*.py"), *CASES.glob("*.py"))]
    fissix = [sys.executable, "-W", "ignore", "-m", "fissix", "--write", "--nobackups", "--no-diffs", *files]
    done = subprocess.run(fissix, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"port.py: fissix failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    shutil.copy(Path(__file__).with_name("py3.py"), PACKAGE / "py3.py")
    for path in CASES.glob("*.py"):
        text = path.read_text().replace("(object, Case, )", "(Case, )")
        if "binascii.b2a_hex(" in text:
            text = text.replace("binascii.b2a_hex(", "as_hex(")
            text = re.sub(r"^(from \.case import Case|import binascii.*)$", r"\1\nfrom ..py3 import as_bytes, as_hex, as_text", text, count=1, flags=re.MULTILINE)
        path.write_text(text)
    for name, changes in CHANGES.items():
        replace(PACKAGE / name, changes)


if __name__ == "__main__":
    main()

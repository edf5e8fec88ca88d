"""Emits with the emitter for Python: emit.py PORT, then on standard input a line of JSON for each emit.

A line is {"nsp", "rooms", "event", "args"}; when it was sent, "sent" is printed.
"""

import json
import sys

from socket_io_emitter import Emitter

emitter = Emitter({"host": "127.0.0.1", "port": int(sys.argv[1])})
for line in sys.stdin:
    emit = json.loads(line)
    target = emitter.Of(emit["nsp"])
    if emit["rooms"]:
        target = target.To(*emit["rooms"])
    target.Emit(emit["event"], *emit["args"])
    print("sent", flush=True)

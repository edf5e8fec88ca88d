"""What the ported suite needs in addition. `port.py` puts this file into the package.

In Python 2 the suite's payloads were byte strings. They are `str` now, each character standing for one byte, so that the cases slice and
repeat them as before. They turn into bytes where they are sent, compared or printed.
"""

import sys

from twisted.internet import reactor
from twisted.logger import LogLevel, eventAsText, globalLogPublisher


def as_bytes(value):
    return value.encode("latin-1") if isinstance(value, str) else value


def as_hex(value):
    return as_bytes(value).hex()


def as_text(value):
    return as_bytes(value).decode("utf-8", "replace")


def comparable(events):
    """Events with all strings as bytes: some of them were built by the case, some by autobahn."""
    return [tuple(map(as_bytes, event)) for event in events]


def for_json(value):
    if not isinstance(value, (bytes, bytearray)):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "0x" + value.hex()


def print_errors():
    """autobahn only logs what goes wrong inside the fuzzer; then no result of the run can be trusted."""

    def print_error(event):
        if (event.get("log_level") or LogLevel.debug) >= LogLevel.error:
            print("FUZZER ERROR:", eventAsText(event, includeTimestamp=False), file=sys.stderr, flush=True)

    globalLogPublisher.addObserver(print_error)


class Timer:
    """Delays to the millisecond. autobahn's own timer rounds down to seconds: a second's patience could end at once."""

    class Call:
        def __init__(self, call):
            self.call = call

        def cancel(self):
            if self.call.active():
                self.call.cancel()

    def call_later(self, delay, function, *args, **options):
        return self.Call(reactor.callLater(delay, function, *args, **options))


class Sender:
    """The methods of autobahn's protocol that send, for payloads of either kind."""

    def sendFrame(self, opcode, payload=b"", **options):
        return super().sendFrame(opcode, as_bytes(payload), **options)

    def sendMessage(self, payload, *args, **options):
        return super().sendMessage(as_bytes(payload), *args, **options)

    def sendMessageFrameData(self, payload, *args, **options):
        return super().sendMessageFrameData(as_bytes(payload), *args, **options)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        return super().sendCloseFrame(code, as_bytes(reasonUtf8), isReply)

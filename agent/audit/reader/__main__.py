"""Reads auditd's af_unix plugin, and writes what our rules have caught to standard output.

Run by the agent as `/usr/bin/python3 -I .../reader --socket PATH --key KEY`, since distributions
build auparse for the system's Python only. Python 3.9 syntax, standard library and auparse. A frame
is four bytes of length and so much JSON. Ends when the agent has gone.
"""

import argparse
import fcntl
import json
import os
import re
import select
import socket
import struct
import sys
import time

import netlink
from serials import Serials

try:
    import auparse
    import events
except ImportError as error:
    sys.exit("holdfast audit reader: no auparse (%s); install python3-audit" % error)

_LINE = re.compile(rb"(?:node=\S+ )?type=(\S+) msg=audit\(\d+\.\d+:(\d+)\): ?")
_LONGEST = 1 << 20
_TICK_S = 1.0
_STATUS_S = 5.0
_PROBE_S, _ANSWER_S, _IDLE_S = 0.1, 6.0, 60.0
_SETPIPE_SZ = 1031


class Reader:
    """One reader, for as long as its agent lives."""

    def __init__(self, path, key, out):
        self._path, self._key, self._out = path, key, out
        self._nonce = "holdfast-reader-" + os.urandom(8).hex()
        self._lost = self._status_at = 0
        self._away_since = None
        self._serials = Serials()
        self._told_rules = 0.0
        self._rules_changed = False
        self._said = ""

    def run(self):
        """Connect, read until auditd goes away, and connect again; never returns."""
        pause = 0.1
        while True:
            try:
                with self._connected() as channel:
                    pause = 0.1
                    self._read(channel)
                why = "it has closed the connection"
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
            if why != self._said:
                self._said = why
                self._send({"type": "away", "why": why})
            self._sleep(pause)
            pause = min(pause * 2, 2.0)

    def _connected(self):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        channel.connect(self._path)
        return channel

    # -- one connection -----------------------------------------------------------------------

    def _read(self, channel):
        """Read until the end. Nothing counts before a message of our own has come through."""
        self._parser = events.PARSER(auparse.AUSOURCE_FEED)
        # It takes plain functions only.
        self._parser.add_callback(lambda parser, kind, _: self._on_event(parser, kind), None)
        self._before = self._serials.highest
        self._serials = Serials()
        self._heard = False
        self._rest = b""
        began = asked = last = time.monotonic()
        netlink.say("op=%s" % self._nonce)
        while True:
            readable = self._wait(channel, _TICK_S if self._heard else _PROBE_S)
            now = time.monotonic()
            if readable:
                data = channel.recv(1 << 16)
                if not data:
                    return
                last = now
                self._take(data, now)
            elif not self._heard:
                if now - began > _ANSWER_S:
                    raise OSError(0, "it passes nothing on; another program may be reading it")
                netlink.say("op=%s" % self._nonce)
            elif now - last > _IDLE_S:
                # An auditd that has stopped passing on looks like a host where nothing happens.
                if asked > last:
                    raise OSError(0, "it has stopped passing records on")
                asked = now
                netlink.say("op=%s" % self._nonce)
            if now - last > _TICK_S:
                # Never while records come: on a busy host they are old, and would end an event
                # of which the rest is still to come.
                self._parser.feed_age_events()
            self._tick(now)

    def _take(self, data, now):
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST:
            self._rest = b""
            self._garbled("a record of more than %d bytes" % _LONGEST)
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                if line.strip():
                    self._garbled(repr(line[:80]))
                continue
            # The mark of an event's end says nothing if all else of it was dropped.
            if found.group(1) != b"EOE":
                self._serials.saw(int(found.group(2)), now)
            if not self._heard and self._nonce.encode() in line:
                self._since = int(found.group(2))
                self._begin()
            self._parser.feed(line + b"\n")

    def _begin(self):
        self._heard = True
        self._said = ""
        away = 0.0 if self._away_since is None else time.monotonic() - self._away_since
        self._away_since = None
        self._send({"type": "connected", "away_s": away, "missed": self._missed()})

    def _missed(self):
        """Return how many events came while there was no connection, None if nobody can tell."""
        before, now = self._before, self._serials.highest
        missed = None if before is None or now is None else now - before - 1
        return missed if missed is not None and 0 <= missed < 1 << 31 else None

    def _on_event(self, parser, kind):
        if kind != auparse.AUPARSE_CB_EVENT_READY:
            return
        try:
            found = events.frame(parser, self._key)
        except events.GarbledError as error:
            self._garbled(str(error))
            return
        if found is None:
            return
        if found["type"] == "rules":
            self._rules_changed = True
        elif found["type"] == "missing" and not self._ours_to_count(parser):
            pass
        else:
            self._send(found)

    def _ours_to_count(self, parser):
        """Return whether an event came whole to this connection, not half to one before it."""
        _, serial = events.stamp(parser)
        return self._heard and serial > self._since

    def _tick(self, now):
        missing = self._serials.lost(now)
        if missing and self._heard:
            self._send({"type": "missing", "count": missing})
        if self._rules_changed and now - self._told_rules > _TICK_S:
            self._rules_changed, self._told_rules = False, now
            self._send({"type": "rules"})
        if now - self._status_at > _STATUS_S or missing:
            self._status_at = now
            found = netlink.status()
            if found["lost"] != self._lost:
                self._lost = found["lost"]
                self._send({"type": "lost", "count": self._lost})

    # -- the agent ----------------------------------------------------------------------------

    def _garbled(self, why):
        self._send({"type": "garbled", "why": why})

    def _wait(self, channel, seconds):
        """Return whether there is something to read; ends the reader if the agent has gone."""
        poll = select.poll()
        poll.register(self._out, 0)
        if channel is not None:
            poll.register(channel, select.POLLIN)
        found = dict(poll.poll(seconds * 1000))
        if self._out in found:
            sys.exit(0)
        return bool(found)

    def _sleep(self, seconds):
        self._wait(None, seconds)

    def _send(self, frame):
        data = json.dumps(frame).encode("ascii")
        data = struct.pack("=I", len(data)) + data
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except BrokenPipeError:
                sys.exit(0)


def main():
    """Read until the agent has gone."""
    parser = argparse.ArgumentParser(prog="reader")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--after", type=float, default=0.0, help="seconds to wait at the start")
    options = parser.parse_args()
    try:
        fcntl.fcntl(1, _SETPIPE_SZ, _LONGEST)
    except OSError:
        pass  # a host may allow less; then auditd waits a little sooner
    reader = Reader(options.socket, options.key, 1)
    reader._sleep(options.after)
    reader.run()


if __name__ == "__main__":
    main()

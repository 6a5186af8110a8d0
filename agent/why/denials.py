"""What a session may read of its last denial: a file of its own, of which it can change nothing.

It says whether a person said no, or nobody said anything; which person is not its business.
"""

import json
import logging
import os
import re
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.holds.model import Doom, Hold, Limit
from wire.acts import Act
from wire.ids import HoldId
from wire.messages import Ground
from wire.targets import target

log = logging.getLogger("holdfast.agent.why")

_MOST_FILES = 1024
_MOST_HOLDS = 4096
_LONGEST = 500
_SESSION = re.compile(r"[0-9]{1,10}-[0-9]{1,20}")
_WHO = {
    Ground.DECISION: "person",
    Ground.BREAK_GLASS: "person",
    Ground.TIMEOUT_POLICY: "silence",
    Ground.RULE: "rule",
    Ground.EMERGENCY: "operator",
}
_LIMITS = {Limit.SESSION: "limit", Limit.SUBJECT: "limit", Limit.REPEATS: "again", None: ""}
_WORDS = {
    "person": "A person denied it.",
    "silence": "Nobody answered in time. That is no refusal by a person.",
    "rule": "A rule of this host denies it; nobody was asked.",
    "limit": "Too many requests of this session or user wait; nobody was asked about this one.",
    "again": "This very act was denied so often of late that nobody is asked about it again.",
    "operator": "Whoever runs this host ended everything that was held.",
}


class Denials:
    """Files `<session>.json`, the newest. It never raises: a hold matters more than its echo."""

    def __init__(self, directory: Path | None) -> None:
        """`directory` is root's; None keeps nothing."""
        self._directory = directory
        self._acts: OrderedDict[HoldId, tuple[str, int]] = OrderedDict()  # words and uid
        self._told: OrderedDict[HoldId, None] = OrderedDict()
        self._heard: OrderedDict[str, str] = OrderedDict()  # session, and the hold of its news

    def seen(self, hold: HoldId, act: Act) -> None:
        """Remember what a hold is about, and whose process it is."""
        self._acts[hold] = (_words(act), act.process.uid)
        if len(self._acts) > _MOST_HOLDS:
            self._acts.popitem(last=False)

    def look(self, hold: Hold, now_ns: int) -> None:
        """Write a file if a hold has come to be denied; each hold is told of once."""
        if self._directory is None or not isinstance(hold.fate, Doom) or hold.id in self._told:
            return
        self._told[hold.id] = None
        if len(self._told) > _MOST_HOLDS:
            self._told.popitem(last=False)
        why = hold.fate.why
        what, uid = self._acts.pop(hold.id, ("", 0))
        who = _LIMITS.get(hold.capped) or _WHO.get(why.ground, why.ground.value)
        facts = {
            "request": hold.id,
            "what": what,
            "rule": hold.rule,
            "who": who,
            "words": _WORDS.get(who, f"It was ended on the ground {who}."),
            "reason": why.reason if who == "person" else "",
            "time_ns": now_ns,
        }
        try:
            self._write(hold.session, facts, uid)
        except OSError as error:
            log.warning("session %s cannot be told of its denial: %s", hold.session, error)

    def last(self, session: str) -> dict[str, Any] | None:
        """Return the last denial of a session, None if there was none."""
        if self._directory is None or not _SESSION.fullmatch(session):
            return None
        try:
            found = json.loads((self._directory / f"{session}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def news(self, session: str) -> dict[str, Any] | None:
        """Return the last denial of a session, each once."""
        found = self.last(session)
        if found is None or self._heard.get(session) == found.get("request"):
            return None
        self._heard[session] = str(found.get("request"))
        self._heard.move_to_end(session)
        if len(self._heard) > _MOST_FILES:
            self._heard.popitem(last=False)
        return found

    def _write(self, session: str, facts: dict[str, Any], uid: int) -> None:
        if self._directory is None or not _SESSION.fullmatch(session):
            return
        path = self._directory / f"{session}.json"
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(facts, file)
            # Whoever has sent it to root reads it through the socket.
            with suppress(OSError):
                os.fchown(file.fileno(), uid, -1)
        fresh.replace(path)
        self._prune()

    def _prune(self) -> None:
        assert self._directory is not None
        files = list(self._directory.glob("*.json"))
        if len(files) > _MOST_FILES:
            files.sort(key=lambda file: file.stat().st_mtime_ns)
            for file in files[: len(files) - _MOST_FILES]:
                file.unlink(missing_ok=True)


def _words(act: Act) -> str:
    text = target(act)
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{act.kind.value}: {cut}"

"""Says to this host's Holdfast agent why an AI session is about to act, and reads its last denial.

One file with nothing but the standard library of Python 3.9 or later. It speaks for the session
that the calling process is of, and needs no token: the agent sees who connects. What is said is a
claim. Nothing here stops anything: where there is no agent, or it does not listen, that is an error
to report and no reason not to go on, since the kernel holds what is to be held.
"""

import argparse
import json
import os
import socket
import sys
from typing import Any, Dict, Optional, Sequence

SOCKET = "/run/holdfast-why/agent.sock"
LONGEST_TEXT = 1000
LONGEST_NAME = 100
_ANSWER_S = 3.0
_LARGEST = 1 << 16


class WhyFailed(Exception):
    """The agent did not take it; the message says why."""


def state(text: str, session: str = "") -> None:
    """Say why this session is about to act; `session` is what it calls itself."""
    _ask({"do": "why", "text": text, "session": session})


def last_denial() -> Optional[Dict[str, Any]]:
    """Return the last denial of this session, None if there was none.

    `who` is person, silence, rule, limit, again or operator; `words` says that in a sentence,
    `reason` is what the person gave, `what` the act, `time_ns` when (since the epoch).
    """
    found = _ask({"do": "last"}).get("denial")
    return found if isinstance(found, dict) else None


def new_denial() -> Optional[Dict[str, Any]]:
    """Return the last denial of this session if this has not returned it before, else None."""
    found = _ask({"do": "news"}).get("denial")
    return found if isinstance(found, dict) else None


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of at most so many bytes, with a mark where it is cut."""
    raw = " ".join(text.split()).encode("utf-8", "replace")
    if len(raw) <= longest:
        return raw.decode()
    return raw[: longest - 3].decode("utf-8", "ignore") + "…"


def words_of(denial: Dict[str, Any]) -> str:
    """Return a denial as one text, for a person or a model to read."""
    reason = f" The reason given: {denial['reason']}" if denial.get("reason") else ""
    return f"Holdfast denied {denial.get('what', '')!r}. {denial.get('words', '')}{reason}"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run `holdfast why`: exit 0 if it was said or read, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="holdfast why",
        description="Say why this AI session is about to act; reviewers see it as a claim.",
    )
    parser.add_argument("text", nargs="?", help="what is about to be done, and why")
    parser.add_argument("--session", default="", metavar="NAME", help="what the session is called")
    parser.add_argument("--last", action="store_true", help="print the last denial instead")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if given.last == bool(given.text):
        parser.error("give a text, or --last")
    try:
        if not given.last:
            state(given.text, given.session)
            return 0
        denial = last_denial()
    except WhyFailed as error:
        sys.stderr.write(f"holdfast: {error}\n")
        return 1
    if given.json:
        print(json.dumps(denial))
    else:
        # As ASCII: a reason may hold what a terminal would obey.
        words = words_of(denial) if denial else "nothing of this session was denied"
        print(words.encode("ascii", "backslashreplace").decode().replace("\x1b", "\\x1b"))
    return 0


def _ask(question: Dict[str, Any]) -> Dict[str, Any]:
    path = os.environ.get("HOLDFAST_WHY_SOCKET") or SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_ANSWER_S)
            peer.connect(path)
            peer.sendall(json.dumps(question).encode() + b"\n")
            said = b""
            while not said.endswith(b"\n") and len(said) < _LARGEST:
                piece = peer.recv(_LARGEST)
                if not piece:
                    break
                said += piece
        answer = json.loads(said)
    except OSError as error:
        raise WhyFailed(f"{path}: the agent does not answer ({error}); is it running?") from error
    except ValueError as error:
        raise WhyFailed(f"{path}: the agent did not answer; it may have been asked too much") from (
            error
        )
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise WhyFailed(str(answer.get("error")) if isinstance(answer, dict) else "no answer")
    return answer


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""MCP server on standard input and output: a model states its intent, and reads its last denial.

JSON-RPC 2.0, one message a line, with the system's Python alone. It runs as a child of the coding
agent, so the host's agent sees which session it speaks for.
"""

import json
import os
import sys
from typing import Any, Dict, Optional

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import holdfast_why

_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_LARGEST = 1 << 20
_TOOLS = [
    {
        "name": "state_intent",
        "description": (
            "Say what you are about to do on this host and why, before you do it. A person who is "
            "asked to approve it reads this as your claim. It approves nothing by itself."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "why": {"type": "string", "description": "What, and why, in a sentence or two."},
                "session": {"type": "string", "description": "A name for this session."},
            },
            "required": ["why"],
        },
    },
    {
        "name": "last_denial",
        "description": (
            "Read what of this session was denied last: whether a person said no or nobody "
            "answered, and the reason given. Use it when a command was killed unexpectedly."
        ),
        "inputSchema": {"type": "object", "properties": {}},
    },
]


def main() -> None:
    """Serve until standard input ends."""
    for line in iter(lambda: sys.stdin.buffer.readline(_LARGEST), b""):
        try:
            asked = json.loads(line)
        except ValueError:
            _send({"id": None, "error": {"code": -32700, "message": "this is no JSON"}})
            continue
        answer = _answer(asked) if isinstance(asked, dict) else None
        if answer is not None:
            _send(answer)


def _answer(asked: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    if "id" not in asked:
        return None  # a notification
    method, given = asked.get("method"), asked.get("params")
    given = given if isinstance(given, dict) else {}
    if method == "initialize":
        wanted = given.get("protocolVersion")
        result: Dict[str, Any] = {
            "protocolVersion": wanted if wanted in _VERSIONS else _VERSIONS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "holdfast", "version": "1"},
        }
    elif method == "ping":
        result = {}
    elif method == "tools/list":
        result = {"tools": _TOOLS}
    elif method == "tools/call":
        result = _call(given)
    else:
        return {"id": asked["id"], "error": {"code": -32601, "message": "no such method"}}
    return {"id": asked["id"], "result": result}


def _call(given: Dict[str, Any]) -> Dict[str, Any]:
    name, values = given.get("name"), given.get("arguments")
    values = values if isinstance(values, dict) else {}
    try:
        if name == "state_intent":
            holdfast_why.state(str(values.get("why", "")), str(values.get("session", "")))
            return _text("Noted. Reviewers see it as your claim; it approves nothing by itself.")
        if name == "last_denial":
            denial = holdfast_why.last_denial()
            return _text(holdfast_why.words_of(denial) if denial else "Nothing was denied.")
    except holdfast_why.WhyFailed as error:
        return _text(str(error), failed=True)
    return _text("There is no such tool.", failed=True)


def _text(text: str, *, failed: bool = False) -> Dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _send(message: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

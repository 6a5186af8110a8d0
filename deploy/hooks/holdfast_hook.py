#!/usr/bin/env python3
"""Hook of coding agents: says why a tool is about to run, and tells the model of a denial.

For Claude Code (PreToolUse, PostToolUse, PostToolUseFailure), Gemini CLI (BeforeTool, AfterTool)
and Cursor (beforeShellExecution, beforeMCPExecution). It reads one JSON object on standard input,
decides nothing and never fails a tool: what is to be held is held by the kernel.
"""

import json
import os
import sys
import time
from typing import Any, Dict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import holdfast_why

_BEFORE = {"PreToolUse", "BeforeTool", "beforeShellExecution", "beforeMCPExecution"}
_AFTER = {"PostToolUse", "PostToolUseFailure", "AfterTool"}
# Of a denial that is older than this the model has heard by other ways, or an agent was restarted.
_NEWS_S = 120
_LARGEST = 1 << 20


def main() -> None:
    """Serve one event; whatever goes wrong, the agent goes on."""
    try:
        given = json.loads(sys.stdin.buffer.read(_LARGEST))
        event = str(given.get("hook_event_name", ""))
        answer = _serve(event, given)
    except (ValueError, AttributeError, holdfast_why.WhyFailed) as error:
        sys.stderr.write(f"holdfast: {error}\n")
        answer = {}
    print(json.dumps(answer))


def _serve(event: str, given: Dict[str, Any]) -> Dict[str, Any]:
    if event in _BEFORE:
        name = str(given.get("session_id") or given.get("conversation_id") or "")
        holdfast_why.state(
            holdfast_why.shortened(_claim(given)),
            holdfast_why.shortened(name, holdfast_why.LONGEST_NAME),
        )
    elif event in _AFTER:
        denial = holdfast_why.new_denial()
        if denial and time.time() - float(denial.get("time_ns", 0)) / 1e9 < _NEWS_S:
            words = holdfast_why.words_of(denial)
            return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": words}}
    return {}


def _claim(given: Dict[str, Any]) -> str:
    """Return what the agent itself gives as its purpose, else which tool it is about to use."""
    tool = str(given.get("tool_name") or "shell")
    asked = _asked(given.get("tool_input"))
    for key in ("description", "instruction", "purpose"):
        if isinstance(asked.get(key), str) and asked[key].strip():
            return f"{tool}: {asked[key]}"
    for key in ("command", "file_path", "path", "url", "query"):
        # Beside the tool of an MCP server, Cursor names the command or address of the server.
        value = asked.get(key) or ("" if "tool_name" in given else given.get(key))
        if isinstance(value, str) and value.strip():
            return f"{tool}: {value}"
    return f"{tool}, without a purpose given"


def _asked(given: Any) -> Dict[str, Any]:
    """Return the parameters of a tool; Cursor gives those of an MCP tool as JSON in a text."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return {}
    return given if isinstance(given, dict) else {}


if __name__ == "__main__":
    main()

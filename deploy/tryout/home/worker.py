"""The demonstration's AI worker: gets a task by line, runs it as a tool, tells what came of it.

Knows nothing of Holdfast. An AI agent's tool calls look like this to the kernel: one long-lived
process, and a child for each call. Standard library only; runs as a user of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
OUTBOX = HOME / "outbox"


def tools(outside: str) -> dict[str, list[str]]:
    """Return the tool behind each task; `outside` is "address port"."""
    return {
        "command": [str(HOME / "bin" / "export-customers"), "--all", str(OUTBOX / "customers.csv")],
        "file": ["cat", str(HOME / ".secrets" / "payment-api.key")],
        "connection": [str(HOME / "bin" / "upload-report"), *outside.split()],
    }


def say(**fields: object) -> None:
    """Tell one fact, as a line of JSON."""
    print(json.dumps(fields), flush=True)


def work(task: str, argv: list[str]) -> None:
    """Run one tool to its end; a negative return code is the signal that killed it."""
    say(task=task, state="started", argv=argv)
    process = subprocess.run(argv, cwd=HOME, capture_output=True, text=True, check=False)
    say(
        task=task,
        state="ended",
        returncode=process.returncode,
        output=process.stdout,
        complaint=process.stderr,
    )


def main() -> None:
    """Do one task per line of standard input, until it ends."""
    known = tools(sys.argv[1])
    say(task="", state="ready")
    for line in sys.stdin:
        task = line.strip()
        work(task, known[task])


main()

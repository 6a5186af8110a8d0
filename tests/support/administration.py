"""Runs `holdfast-collector` commands for tests.

Each is a process of its own. Where importing the collector takes half a minute, in a VM's software
emulation, one process imports it and each command is a fork of that one.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.support.inside import PATIENCE

_REPOSITORY = Path(__file__).parents[2]
_LONGEST_S = 120 * PATIENCE


def collector_command(words: Sequence[str]) -> str:
    """Run one to its end; return its output, fail on an error."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        code = (_forked if PATIENCE > 1 else _started)(words, output.fileno(), errors.fileno())
        output.seek(0)
        errors.seek(0)
        said = output.read()
        assert code == 0, f"{json.dumps(words)} failed:\n{said}{errors.read()}"
        return said


def _started(words: Sequence[str], output: int, errors: int) -> int:
    return subprocess.run(
        [sys.executable, "-m", "collector", *words],
        cwd=_REPOSITORY,
        timeout=_LONGEST_S,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
    ).returncode


def _forked(words: Sequence[str], output: int, errors: int) -> int:
    process = _imported()
    assert process.stdin is not None
    assert process.stdout is not None
    # The other process opens what is open here, so that it needs no descriptors from us.
    streams = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in (output, errors)]
    process.stdin.write(json.dumps([list(words), *streams]).encode() + b"\n")
    process.stdin.flush()
    return int(process.stdout.readline())


@cache
def _imported() -> "subprocess.Popen[bytes]":
    """Start the process that has the collector imported; it ends with its input, and so with us."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.administration"],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def serve() -> None:
    """Fork for each line of input, and print the exit code."""
    from collector import admin, enrol, setup  # noqa: F401 - so that no fork has to
    from collector.__main__ import main

    for line in sys.stdin.buffer:
        words, output, errors = json.loads(line)
        child = os.fork()
        if not child:
            for path, descriptor in ((output, 1), (errors, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = ["holdfast-collector", *words]
            os._exit(_code_of(main))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _code_of(main: object) -> int:
    assert callable(main)
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it is the command's end
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve()

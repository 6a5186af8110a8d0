"""Runs `holdfast-collector` commands for tests.

Each is a process of its own. Where importing the collector takes half a minute, in a VM's software
emulation, one process of the VM imports it beforehand, and each command is a fork of that one:
`python -m tests.support.administration SOCKET`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.inside import ADMINISTRATION, PATIENCE

_REPOSITORY = Path(__file__).parents[2]
_LONGEST_S = 120 * PATIENCE


def collector_command(words: Sequence[str]) -> str:
    """Run one to its end; return its output, fail on an error."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        run = _forked if ADMINISTRATION else _started
        code = run(words, output.fileno(), errors.fileno())
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
    # The other process opens what is open here, so that it needs no descriptors from us.
    streams = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in (output, errors)]
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_LONGEST_S)
        one.connect(ADMINISTRATION)
        one.sendall(json.dumps([list(words), *streams]).encode() + b"\n")
        with one.makefile() as answer:
            return int(answer.readline())


def serve(path: str) -> None:
    """Fork for each line that comes, and answer with the exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        # Whoever comes while the imports still run waits for them.
        server.bind(path)
        server.listen()
        from collector import admin, enrol, setup  # noqa: F401 - so that no fork has to
        from collector.__main__ import main

        while True:
            one, _ = server.accept()
            with one, one.makefile() as asked:
                words, output, errors = json.loads(asked.readline())
                child = os.fork()
                if not child:
                    _become(words, output, errors)
                    os._exit(_code_of(main))
                _, status = os.waitpid(child, 0)
                one.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(words: Sequence[str], output: str, errors: str) -> None:
    for path, descriptor in ((output, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.argv = ["holdfast-collector", *words]


def _code_of(main: Callable[[], None]) -> int:
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
    serve(sys.argv[1])

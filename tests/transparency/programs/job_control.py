"""An interactive bash on a terminal, with jobs that are stopped, continued and waited for.

What is compared is what bash says of its jobs, between one prompt and the next.
"""

import os
import pty
import re
import select
import signal
import sys
import time

from tests.transparency.programs.said import say

PROMPT = b"<ready>"
LINE = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\r")
PID = re.compile(r"^(\[\d+\]) \d+$")
JUST_A_MOMENT_S = 0.4


class Terminal:
    """A shell at the other end of a terminal."""

    def __init__(self) -> None:
        quiet, self.pipe = os.pipe()
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.dup2(quiet, 7)
            os.environ["PS1"] = PROMPT.decode()
            os.environ["TERM"] = "dumb"
            os.environ["HISTFILE"] = "/dev/null"
            os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])  # noqa: S606
        self.rest = b""

    def until(self, wanted: bytes, timeout_s: float = 60) -> bytes:
        """Read until something has been said; return what came before it."""
        end = time.monotonic() + timeout_s
        while wanted not in self.rest:
            ready, _, _ = select.select([self.end], [], [], max(end - time.monotonic(), 0))
            if not ready:
                return b"(nothing more came) " + self.rest
            self.rest += os.read(self.end, 4096)
        before, _, self.rest = self.rest.partition(wanted)
        return before

    def does(self, key: str, line: str, then: bytes = PROMPT) -> None:
        """Type a line and say what is printed until the next prompt."""
        os.write(self.end, line.encode() + b"\n")
        printed = LINE.sub("", self.until(then).decode(errors="replace"))
        words = [PID.sub(r"\1 N", one.strip()) for one in printed.splitlines()[1:]]
        say(key, " / ".join(word for word in words if word))

    def types_line(self, line: str, then: bytes = b"") -> None:
        """Type a line, and wait for its echo, or for what is said then."""
        os.write(self.end, line.encode() + b"\n")
        self.until(then or line.encode())

    def types(self, key: str, character: bytes) -> None:
        """Type a control character and say what comes until the next prompt."""
        time.sleep(JUST_A_MOMENT_S)
        os.write(self.end, character)
        printed = LINE.sub("", self.until(PROMPT).decode(errors="replace"))
        say(key, " / ".join(word.strip() for word in printed.splitlines() if word.strip()))


def main() -> None:
    """Go through it."""
    shell = Terminal()
    shell.until(PROMPT)
    shell.does("a builtin", "echo $((1 + 1))")
    # Descriptor 7 is a pipe; what comes out of it is put in from here.
    shell.does("a job of the shell's own", "(read x <&7; echo got $x) &")
    shell.does("it runs", "jobs")
    shell.types_line("fg", b"got $x )")
    os.write(shell.pipe, b"text\n")
    say("it ends in the foreground", shell.until(PROMPT).decode().strip())
    shell.types_line("(echo begun; read x <&7)", b"begun\r\n")
    shell.types("stopped by Ctrl-Z", b"\x1a")
    shell.does("in the background", "bg; jobs")
    shell.does("ended and waited for", "kill %1; wait %1; echo $?")
    # Programs that are started from here on may be held, and then the shell sees them stop.
    shell.does("a program in the foreground", "/bin/true; echo $?")
    say("end", "reached")
    os.kill(shell.pid, signal.SIGHUP)
    os.waitpid(shell.pid, 0)
    sys.stdout.flush()


main()

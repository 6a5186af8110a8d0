"""The module subprocess, in the ways that people use it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.transparency.programs.said import say, tried

HERE = Path()
PYTHON = "/usr/bin/python3"


def output(*words: str, **options: Any) -> str:
    """Return what a command prints."""
    done: Any = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, **options)
    return str(done.stdout).strip()


def main() -> None:
    """Try each."""
    script = HERE / "script.py"
    script.write_text(f"#!{PYTHON}\nimport sys\nprint(sys.argv[1:], sys.stdin.read())\n")
    script.chmod(0o755)
    tried("run", lambda: subprocess.run(["/bin/true"], check=False).returncode)
    tried("run, failing", lambda: subprocess.run(["/bin/false"], check=False).returncode)
    tried("run a script", lambda: output("./script.py", "a b", input="text"))
    tried("run nothing", lambda: subprocess.run(["./absent"], check=False))
    tried("run what is no program", lambda: subprocess.run(["./script.txt"], check=False))
    tried("run by a shell", lambda: output("sh", "-c", "echo $0 $1; exit 0", "x", "y"))
    tried("a pipe of three", lambda: output("sh", "-c", "echo one two | tr a-z A-Z | cat"))
    tried("in another directory", lambda: output("pwd", cwd="/tmp"))  # noqa: S108
    tried("with other variables", lambda: output("sh", "-c", "echo $GIVEN", env={"GIVEN": "yes"}))
    tried(
        "in a session of its own",
        lambda: output(
            PYTHON, "-c", "import os; print(os.getsid(0) == os.getpid())", start_new_session=True
        ),
    )
    tried(
        "with a function before",
        lambda: output("sh", "-c", "umask", preexec_fn=lambda: os.umask(0o077) and None),
    )
    reading, writing = os.pipe()
    os.write(writing, b"passed")
    os.close(writing)
    tried(
        "with a descriptor passed",
        lambda: output(
            PYTHON, "-c", f"import os; print(os.read({reading}, 9))", pass_fds=[reading]
        ),
    )
    tried(
        "ended by a signal",
        lambda: subprocess.run(["sh", "-c", "kill -TERM $$"], check=False).returncode,
    )
    tried("talked to", talked_to)
    tried("a timeout", timed_out)
    tried("terminated", terminated)
    tried("many at once", many_at_once)
    tried("os.system", lambda: os.waitstatus_to_exitcode(os.system("exit 9")))  # noqa: S605
    tried("os.popen", lambda: os.popen("echo out; exit 4").read().strip())  # noqa: S605
    tried(
        "os.posix_spawn",
        lambda: os.waitstatus_to_exitcode(
            os.waitpid(os.posix_spawn("/bin/false", ["false"], os.environ), 0)[1]
        ),
    )
    say("children left", subprocess.run(["true"], check=False).returncode)
    sys.stdout.flush()


def talked_to() -> str:
    """Talk to a child line by line."""
    with subprocess.Popen(
        ["sh", "-c", "while read line; do echo got $line; done"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        said = []
        for word in ("one", "two", "three"):
            child.stdin.write(f"{word}\n")
            said.append(child.stdout.readline().strip())
        child.stdin.close()
        return f"{said} {child.wait()}"


def timed_out() -> str:
    """Give up on a child."""
    try:
        subprocess.run(["sleep", "60"], timeout=1.5, check=False)
    except subprocess.TimeoutExpired as error:
        return f"timed out: {error.cmd}"
    return "it ended"


def terminated() -> int:
    """End a child that says when it is ready."""
    child = subprocess.Popen(["sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    child.stdout.close()
    return child.wait()


def many_at_once() -> list[int]:
    """Start some before waiting for any."""
    children = [subprocess.Popen(["sh", "-c", f"exit {n}"]) for n in range(6)]
    return [child.wait() for child in children]


main()

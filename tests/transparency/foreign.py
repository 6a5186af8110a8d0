"""Cases that nobody here wrote: CPython's own tests of what it does with system calls.

Debian packages them beside its Python. Each of their tests is one line of a case, with what came of
it: ok, skipped, or in which way it failed. `tests/run --full` runs more of the modules.
"""

import os

from tests.transparency.cases import Case

# Modules of the package `test`: what it tests, in the words of the page.
_ALWAYS = {
    "test_posix": "the module posix: most calls that take a path or a descriptor",
    "test_fcntl": "locks, leases, pipe sizes",
    "test_epoll": "epoll",
    "test_mmap": "mapped files",
    "test_pty": "terminals",
    "test_popen": "commands by a shell",
}
_LONG = {
    "test_os": "the module os: files, directories, processes, extended attributes, memfd, splice",
    "test_subprocess": "children in all ways",
    "test_signal": "handlers, masks, timers, wake-up descriptors, under stress",
    "test_threadsignals": "signals and locks between threads",
    "test_eintr": "calls that a signal interrupts and that are made again",
    "test_select": "select",
    "test_poll": "poll",
    "test_selectors": "all ways of waiting for descriptors",
    "test_socket": "sockets of every family: addresses, timeouts, passed descriptors",
    "test_wait3": "wait3",
    "test_wait4": "wait4",
    "test_fork1": "fork, also from threads",
    "test_tempfile": "temporary files",
    "test_shutil": "copying, moving, removing and packing trees",
    "test_pathlib": "paths",
    "test_fileio": "unbuffered files",
    "test_threading": "threads, also over fork and exec",
}
MODULES = {**_ALWAYS, **_LONG}

# What these fail at twice in three runs without an agent, or depends on how busy the machine is.
LEFT_OUT: dict[str, str] = {}


def _case(module: str, about: str) -> Case:
    return Case(
        name=module,
        program="foreign.py",
        arguments=(module, *(name for name in LEFT_OUT if name.startswith(f"test.{module}."))),
        about=about,
        holds={"exec": 1},
    )


def foreign(*, full: bool) -> tuple[Case, ...]:
    """Return the cases: all of them with `full`, else those that take seconds."""
    return tuple(_case(*item) for item in (MODULES if full else _ALWAYS).items())


FOREIGN = foreign(full=int(os.environ.get("HOLDFAST_TEST_EXAMPLES", "1")) > 1)
EVERY = foreign(full=True)

"""Users and a group for tests, all named holdfast-test*, gone when the tests are over."""

import grp
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

WATCHED = "holdfast-test-ai"
OTHER = "holdfast-test-other"
GROUP = "holdfast-test-group"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Ids of the watched user, of one that nobody watches, and of a group that neither is in."""

    watched: pwd.struct_passwd
    other: pwd.struct_passwd
    group: grp.struct_group


@contextmanager
def accounts(names: tuple[str, str, str] = (WATCHED, OTHER, GROUP)) -> Iterator[Accounts]:
    """Have two users and a group; also when a run before this one was cut off.

    Tests that do not wait for others that use the kernel have names of their own.
    """
    assert all(name.startswith("holdfast-test") for name in names)
    _remove(names)
    try:
        for name in names[:2]:
            shell = "/usr/sbin/nologin"
            _run("useradd", "--system", "--user-group", "--shell", shell, "--home-dir", "/", name)
        _run("groupadd", "--system", names[2])
        watched, other = map(pwd.getpwnam, names[:2])
        yield Accounts(watched, other, grp.getgrnam(names[2]))
    finally:
        _remove(names)


def _remove(names: tuple[str, str, str]) -> None:
    for name in names[:2]:
        with suppress(KeyError):
            end_processes(pwd.getpwnam(name).pw_uid)
            _run("userdel", name)
    with suppress(KeyError):
        grp.getgrnam(names[2])
        _run("groupdel", names[2])


def end_processes(uid: int) -> None:
    """End what runs as a user that only tests make: what a run that was cut off left behind."""
    assert uid != 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            descriptor = os.pidfd_open(process.pid)
            try:
                if process.uids().real == uid:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

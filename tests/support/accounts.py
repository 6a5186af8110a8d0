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
def accounts() -> Iterator[Accounts]:
    """Have the users and the group; also when a run before this one was cut off."""
    _remove()
    try:
        for name in (WATCHED, OTHER):
            shell = "/usr/sbin/nologin"
            _run("useradd", "--system", "--user-group", "--shell", shell, "--home-dir", "/", name)
        _run("groupadd", "--system", GROUP)
        yield Accounts(pwd.getpwnam(WATCHED), pwd.getpwnam(OTHER), grp.getgrnam(GROUP))
    finally:
        _remove()


def _remove() -> None:
    for name in (WATCHED, OTHER):
        with suppress(KeyError):
            end_processes(pwd.getpwnam(name).pw_uid)
            _run("userdel", name)
    with suppress(KeyError):
        grp.getgrnam(GROUP)
        _run("groupdel", GROUP)


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

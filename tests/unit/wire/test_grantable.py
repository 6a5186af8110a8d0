"""Which acts no grant may cover, whatever anybody asks."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.wire_host import exec_act
from wire.acts import Act, Guarantee, Kind, Transport
from wire.grantable import why_never
from wire.orders import FileState, covered
from wire.wrappers import never_granted

PROGRAM = exec_act("pg_dump", executable="/usr/bin/pg_dump", environment={"PATH": "/usr/bin"})
FILE = replace(PROGRAM, kind=Kind.OPEN, argv=(), path="/x", inode=2, flags=("read",))
ADDRESS = replace(
    PROGRAM, kind=Kind.CONNECT, argv=(), transport=Transport.TCP, address="192.0.2.1", port=443
)


@pytest.mark.parametrize(
    "name",
    "bash sh python3 python3.11 /usr/bin/python3.11-minimal perl perl5.36.0 node env sudo busybox "
    "xargs nohup timeout ssh docker nc.openbsd vim.basic bash-static lua5.4 ruby-3.1 mawk psql "
    "/lib64/ld-linux-x86-64.so.2 make".split(),
)
def test_shells_interpreters_and_wrappers_are_known_by_name(name: str) -> None:
    """With a directory, a version or a flavour."""
    assert never_granted(name)
    assert why_never(replace(PROGRAM, executable=name))


@pytest.mark.parametrize("name", "pg_dump curl rsync kubectl aws tar systemctl bashful".split())
def test_other_programs_may_be_granted(name: str) -> None:
    """Also those whose names only begin like one."""
    assert never_granted(name) is None


@pytest.mark.parametrize("act", [PROGRAM, FILE, ADDRESS], ids=lambda act: str(act.kind))
def test_commands_files_and_addresses_may_be_granted(act: Act) -> None:
    """If nothing of the act speaks against it."""
    assert why_never(act) is None


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        *((act, {"guarantee": Guarantee.LATE}) for act in (PROGRAM, FILE, ADDRESS)),
        (PROGRAM, {"argv_cut": True}),
        (PROGRAM, {"environment": None}),
        (PROGRAM, {"environment": {"(not read)": "1 of 2 bytes"}}),
        (PROGRAM, {"argv": ()}),
        (PROGRAM, {"filename": "/bin/sh"}),
        (FILE, {"path_cut": True}),
        (FILE, {"path_resolved": False}),
        (FILE, {"inode": 0}),
        *((FILE, {"flags": ("write", flag)}) for flag in ("create", "truncate", "shared")),
        (ADDRESS, {"addresses_cut": True}),
        (ADDRESS, {"transport": Transport.RAW}),
        (ADDRESS, {"port": 0}),
        (ADDRESS, {"transport": Transport.UNIX, "address": "", "path": "@abstract"}),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Act) else str(value),
)
def test_what_was_not_seen_whole_or_has_happened_is_never_granted(
    act: Act, changes: dict[str, Any]
) -> None:
    """A grant compares what it knows, so it must know all of it."""
    assert why_never(replace(act, **changes))


def test_two_acts_are_the_same_only_if_everything_that_counts_is() -> None:
    """Process, time and session are not part of it; rule, program and file are."""
    state = FileState(device=1, inode=2, size=3, changed_ns=4)
    again = replace(PROGRAM, boot_ns=PROGRAM.boot_ns + 1, session="9-9", tid=9)
    assert covered(PROGRAM, "r", state) == covered(again, "r", state)
    assert covered(PROGRAM, "r", state) != covered(PROGRAM, "s", state)
    assert covered(PROGRAM, "r", state) != covered(PROGRAM, "r", replace(state, changed_ns=5))
    assert covered(PROGRAM, "r", state) != covered(replace(PROGRAM, cwd="/"), "r", state)

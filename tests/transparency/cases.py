"""The cases: programs of every kind that we wrote for it, and what of each must have been held.

A case is one program of programs/, in C, Python, shell or JavaScript; it prints `key: value`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One program and what is asked of it.

    `holds` says of which kinds of acts at least one must have been held and approved, so that
    nothing passes because nothing was held; `gate_holds` what is otherwise under a gate, which
    holds an open that makes a file as a create. `delay_s` is how long the approver thinks. `brings`
    are other programs that it finds in its directory.
    """

    name: str
    program: str
    about: str
    holds: Mapping[str, int]
    gate_holds: Mapping[str, int] = field(default_factory=dict)
    delay_s: float = 0.0
    brings: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    needs: str = ""  # a program that it runs, named in the skip where it is missing

    @property
    def source(self) -> Path:
        """Where its program is."""
        return PROGRAMS / self.program


_LONG = 0.7  # seconds, longer than a case takes to send what shall come while it is held

CASES: tuple[Case, ...] = (
    Case(
        name="open",
        program="open_flags.c",
        about="open, openat2 and creat with every flag; fifos",
        holds={"open": 20},
        gate_holds={"open": 15, "create": 5},
    ),
    Case(
        name="names",
        program="names.c",
        about="rename, link, symlink, chmod, chown, truncate, mkdir, mknod, unlink",
        holds={"open": 5},
        gate_holds={
            "create": 3, "rename": 3, "link": 2, "symlink": 1, "chmod": 2, "chown": 2,
            "truncate": 2, "delete": 4,
        },
    ),
    Case(
        name="connect",
        program="connecting.c",
        about="connect, blocking and not; datagrams, sendmmsg, TCP Fast Open, IPv6",
        holds={"connect": 6, "send": 3},
    ),
    Case(
        name="unix-sockets",
        program="unix_sockets.c",
        about="streams, packets, datagrams and passed descriptors",
        holds={"connect": 4, "send": 1},
    ),
    Case(
        name="children",
        program="children.c",
        about="fork, vfork, posix_spawn, system, popen, fexecve, execveat, memfd, scripts",
        holds={"exec": 15, "open": 5},
        brings=("says.c",),
    ),
    Case(
        name="threads",
        program="threads.c",
        about="threads that open at once, and start children",
        holds={"open": 20},
        gate_holds={"open": 5, "create": 20},
    ),
    Case(
        name="signals",
        program="signals.c",
        about="handlers, masks, queues, signalfd and alarms while an act is held",
        holds={"open": 9},
        delay_s=_LONG,
    ),
    Case(
        name="timers",
        program="timers.c",
        about="sleeps, timers and timeouts while an act is held",
        holds={"open": 8},
        delay_s=_LONG,
    ),
    Case(
        name="waits",
        program="waits.c",
        about="calls that wait in one thread while another's act is held",
        holds={"open": 20},
        delay_s=0.1,
    ),
    Case(
        name="parents",
        program="parents.c",
        about="what a parent is told, and a program's own handler of SIGCONT",
        holds={"open": 5},
        delay_s=0.2,
    ),
    Case(
        name="relatives",
        program="relatives.c",
        about="children and parents of what is held run on",
        holds={"open": 4},
        delay_s=1.5,
    ),
    Case(
        name="tracing",
        program="tracing.c",
        about="a program that traces its child",
        holds={"open": 2},
    ),
    Case(
        name="debuggers",
        program="debuggers.sh",
        about="strace",
        holds={"exec": 2},
        needs="strace",
    ),
    Case(
        name="namespaces",
        program="namespaces.c",
        about="namespaces, mounts, overlays, chroot",
        holds={"open": 2},
    ),
    Case(
        name="io_uring",
        program="uring.c",
        about="io_uring, or read where there is no ring",
        holds={"open": 2},
        gate_holds={"open": 1, "create": 1},
    ),
    Case(name="aio", program="aio.c", about="AIO, sendfile, splice, mmap", holds={"open": 3}),
    Case(
        name="inotify-and-locks",
        program="watching.c",
        about="events in their order; locks between processes",
        holds={"open": 6},
        gate_holds={"open": 4, "create": 3},
    ),
    Case(
        name="filters-and-limits",
        program="filters.c",
        about="seccomp, its supervisor, limits",
        holds={"open": 5},
        gate_holds={"open": 2, "create": 2},
    ),
    Case(
        name="subprocess",
        program="py_subprocess.py",
        about="Python's subprocess",
        holds={"exec": 25},
    ),
    Case(
        name="workers",
        program="py_workers.py",
        about="Python's multiprocessing, threads and asyncio",
        holds={"exec": 2, "open": 10, "connect": 2},
        gate_holds={"open": 5, "create": 8},
    ),
    Case(
        name="files",
        program="py_files.py",
        about="SQLite, temporary files, tar, a virtual environment",
        holds={"exec": 6, "open": 20},
    ),
    Case(
        name="tools",
        program="tools.sh",
        about="git, make -j with a compiler, tar, sed, xargs",
        holds={"exec": 40, "open": 40},
        needs="git",
    ),
    Case(
        name="node",
        program="node.mjs",
        about="node's children, files and sockets",
        holds={"exec": 5, "open": 6, "connect": 2},
        gate_holds={"open": 1, "create": 5},
        needs="node",
    ),
    Case(
        name="job-control",
        program="job_control.py",
        about="an interactive bash with jobs",
        holds={"exec": 3},
    ),
)  # fmt: skip

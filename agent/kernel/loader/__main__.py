"""Compile, check, pin and attach the BPF programs, then exit, so that no compiler stays in memory.

Run by the agent as `/usr/bin/python3 -I .../loader --pin /sys/fs/bpf/holdfast`, since distributions
install bcc for the system's Python only. Python 3.9 syntax, standard library and bcc. Says what it
did as one JSON line; a failure is one line on stderr and exit status 1.
"""

import argparse
import json
import os
import shutil
import struct
import sys
import time

import build
import hooks
import image
import kernel
import offsets
import probe
import selfcheck
from btf import Btf, BtfError
from digest import programs_id, records_digest, version_digest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(os.path.dirname(HERE), "programs")

# Program, raw tracepoint, and whether it is attached at once. The others are attached by the agent
# while a rule needs them: any system call tracepoint costs every process of the host.
TRACEPOINTS = (
    ("on_fork", "sched_process_fork", True),
    ("on_exec", "sched_process_exec", True),
    ("on_exit", "sched_process_exit", True),
    ("on_signal", "signal_generate", True),
    ("on_cgroup_mkdir", "cgroup_mkdir", False),
    ("on_cgroup_rmdir", "cgroup_rmdir", False),
    ("on_socket_state", "inet_sock_set_state", False),
    ("on_open_return", "sys_exit", False),
    ("on_network_return", "sys_exit", False),
    ("on_call_return", "sys_exit", False),
    ("on_quarantine_return", "sys_exit", False),
)
# In gate mode: labels, exec and quarantine as before; all else is asked of the security functions.
_IN_GATE = "on_fork on_exec on_exit on_cgroup_mkdir on_cgroup_rmdir on_quarantine_return".split()
_GATE_TRACEPOINTS = tuple(row for row in TRACEPOINTS if row[0] in _IN_GATE)
STOP = "stop"
_NOT_PINNED = ("hf_check", "hf_facts", "hf_walk")
# What an upgrade goes on with: who is watched and held, and what was lost. The tables of the rules
# are made anew, and so is what has records in it, where their layout has changed.
_LIVES_ON = (
    "hf_active hf_counters hf_labels hf_subjects hf_guarded hf_resumed hf_wake hf_resumes "
    "hf_heartbeat hf_scripts hf_quarantines hf_caught hf_traced"
).split()
_RECORDS = (
    "hf_holds hf_acts hf_execs hf_tickets hf_threads hf_granted hf_terms hf_taken hf_uses"
).split()


class LoadError(Exception):
    """What prevents the load, and what to do about it."""


def _tracepoints(mode):
    return TRACEPOINTS if mode == STOP else _GATE_TRACEPOINTS


def _program_names(mode):
    own = [] if mode == STOP else [hooks.GUARD, *hooks.HOOKS]
    return ["check_offsets", *[row[0] for row in _tracepoints(mode)], *own]


def _version(mode):
    return version_digest(os.path.dirname(HERE), mode)


def _image(arguments, direct):
    """Return (image, its name, whether it was kept from an earlier start)."""
    try:
        btf = Btf.of_running_kernel()
        header = offsets.header(btf, os.uname().machine, arguments.shift, direct)
        header += hooks.header(btf)
    except BtfError as error:
        raise LoadError(str(error)) from error
    header += "#define PROGRAMS_ID %dU\n" % programs_id(_version(arguments.mode))
    if arguments.holds:
        header += "#define MAXIMUM_HOLDS %d\n" % arguments.holds
    header += "".join("#define %s 0\n" % layer for layer in arguments.without)
    name = "%s-%s" % (arguments.mode, image.key(_version(arguments.mode), header))
    kept = image.read(arguments.cache, name) if arguments.cache else None
    if kept is not None:
        return kept, name, True
    made = _compile(header, arguments.mode)
    if arguments.cache:
        image.keep(arguments.cache, name, made)
    return made, name, False


def _compile(header, mode):
    text, _ = build.sources(PROGRAMS, "stop.c" if mode == STOP else "gate.c")
    try:
        from bcc import lib
    except ImportError as error:
        raise LoadError(
            "bcc is not installed for %s; install python3-bpfcc (Debian, Ubuntu) or python3-bcc "
            "(Fedora, RHEL), not the bcc of PyPI" % sys.executable
        ) from error
    try:
        return image.extract(
            build.compile_programs(header + text).module, lib, _program_names(mode)
        )
    except Exception as error:
        raise LoadError("bcc cannot compile the programs here: %s" % error) from error


def _living(directory):
    """Return descriptors, by name, of the maps of the programs at `directory` that live on."""
    if not directory:
        return {}
    maps = os.path.join(directory, "maps")
    about = kernel.element(kernel.open_pinned(os.path.join(maps, "hf_about")), 0, 64)
    same = about[32:] == records_digest(os.path.dirname(HERE))
    names = [*_LIVES_ON, *_RECORDS] if same else _LIVES_ON
    there = set(os.listdir(maps))
    return {name: kernel.open_pinned(os.path.join(maps, name)) for name in names if name in there}


def _targets(mode):
    """Return {program: (sort, number of the function)}, and {program: why this kernel has none}."""
    if mode == STOP:
        return {}, {}
    btf = Btf.of_running_kernel()
    found, lacking = {}, {}
    for name in (hooks.GUARD, *hooks.HOOKS):
        sort, function = hooks.target(name, mode)
        number = btf.function(function)
        if number is None:
            lacking[name] = "this kernel has no function %s" % function
        else:
            found[name] = (sort, number)
    return found, lacking


def _install(arguments, direct):
    """Return (maps, programs, kept, lacking): descriptors by name; kept images that fail are made
    anew. `lacking` says why this kernel has no place for a program.

    Where the kernel does not take programs that read its memory directly, helpers read for them.
    """
    made, name, kept = _image(arguments, direct)
    targets, lacking = _targets(arguments.mode)
    try:
        maps, programs, refused = image.install(
            made, _living(arguments.upgrade), targets, optional=set(hooks.HOOKS) - hooks.NEEDED
        )
        lacking.update((one, why) for one, why in refused.items() if one not in lacking)
        return maps, programs, kept, lacking
    except (image.ImageError, KeyError, TypeError, ValueError, struct.error) as error:
        if kept:
            image.forget(arguments.cache, name)
        elif direct:
            print("holdfast loader: without direct reads, since: %s" % error, file=sys.stderr)
            direct = False
        else:
            raise LoadError("the programs do not load on this kernel: %s" % error) from error
    return _install(arguments, direct)


def _take_over_guard(programs, upgraded):
    """Return the link of the guard that is attached there, if of the same program; else None.

    Who is stopped sleeps in the function at whose end the guard is. If the set of programs there
    changes meanwhile, the kernel has such a sleeper pass by all of them. So it must not change.
    """
    place = os.path.join(upgraded, "%s", hooks.GUARD) if upgraded else ""
    if hooks.GUARD not in programs or not place or not os.path.exists(place % "links"):
        return None
    there = kernel.open_pinned(place % "programs")
    if kernel.program_tag(there) != kernel.program_tag(programs[hooks.GUARD]):
        return None
    programs[hooks.GUARD] = there
    return kernel.open_pinned(place % "links")


def _pin(directory, maps, programs, mode, upgraded=None):
    """Pin everything under another name, and give it the right one at the end: all or nothing."""
    guard = _take_over_guard(programs, upgraded)
    making = directory + "-loading"
    _remove(making)
    os.makedirs(os.path.dirname(making), exist_ok=True)
    os.mkdir(making, 0o700)  # makedirs would give its parents other modes than its last
    for part in ("maps", "programs", "links"):
        os.mkdir(os.path.join(making, part), 0o700)
    kernel_directory = os.path.dirname(HERE)
    about = _version(mode) + records_digest(kernel_directory)
    kernel.set_element(maps["hf_about"], 0, about)
    for name, descriptor in maps.items():
        if name not in _NOT_PINNED:
            kernel.pin(descriptor, os.path.join(making, "maps", name))
    for name in programs:
        if name != "check_offsets":
            kernel.pin(programs[name], os.path.join(making, "programs", name))
    for name, tracepoint, at_once in _tracepoints(mode):
        if at_once:
            link = kernel.attach_raw_tracepoint(programs[name], tracepoint)
            kernel.pin(link, os.path.join(making, "links", name))
    # These are about what is held, whatever the rules are; the agent attaches the others.
    for name in hooks.ALWAYS if mode != STOP else ():
        taken = guard if name == hooks.GUARD else None
        link = kernel.attach_to_function(programs[name]) if taken is None else taken
        kernel.pin(link, os.path.join(making, "links", name))
    os.rename(making, directory)


def _remove(directory):
    if os.path.isdir(directory):
        shutil.rmtree(directory)


def _is_on_bpffs(directory):
    with open("/proc/self/mounts") as file:
        mounts = [line.split() for line in file]
    while not os.path.ismount(directory):
        directory = os.path.dirname(directory)
    # The last one that was mounted there hides those before it.
    return [fields[2] for fields in mounts if fields[1] == directory][-1:] == ["bpf"]


def run(arguments):
    """Do the work; return what to report. Raises LoadError."""
    started = time.monotonic()
    if arguments.pin and os.path.isdir(arguments.pin):
        raise LoadError("%s is there already: an agent's programs are loaded" % arguments.pin)
    if arguments.pin and not _is_on_bpffs(os.path.dirname(arguments.pin)):
        raise LoadError("cannot pin under %s: no bpffs is mounted there" % arguments.pin)
    maps, programs, kept, lacking = _install(arguments, not arguments.helpers)
    loaded = time.monotonic()
    try:
        wrong = selfcheck.differences(programs["check_offsets"], maps["hf_check"])
    except OSError as error:
        raise LoadError("the self-check cannot run on this kernel: %s" % error) from error
    if wrong:
        raise LoadError(
            "field offsets differ from this kernel's; nothing was attached: " + "; ".join(wrong)
        )
    if arguments.pin:
        try:
            _pin(arguments.pin, maps, programs, arguments.mode, arguments.upgrade)
        except OSError as error:
            _remove(arguments.pin + "-loading")
            raise LoadError("cannot pin under %s: %s" % (arguments.pin, error)) from error
    return {
        "compiled": not kept,
        "load_s": round(loaded - started, 3),
        "all_s": round(time.monotonic() - started, 3),
        "lacking": lacking,
    }


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="holdfast-loader", description=__doc__)
    parser.add_argument(
        "--pin", metavar="DIRECTORY", help="pin and attach under this new directory of bpffs"
    )
    parser.add_argument(
        "--mode",
        choices=(STOP, *hooks.SORTS),
        default=STOP,
        help="stop, or gate mode by programs of this sort; what works is what --probe says",
    )
    parser.add_argument(
        "--cache", metavar="DIRECTORY", help="keep what was compiled here for the next start"
    )
    parser.add_argument(
        "--upgrade", metavar="DIRECTORY", help="go on with the maps of the programs pinned here"
    )
    parser.add_argument(
        "--probe", action="store_true", help="say what kinds of programs this kernel takes"
    )
    # For tests: move one offset, read by helpers as older kernels must, have room for fewer holds,
    # leave out a layer of the guard.
    parser.add_argument("--shift", help=argparse.SUPPRESS)
    parser.add_argument("--helpers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--times", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--holds", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--without",
        action="append",
        choices=("STOPS_AGAIN", "KILLS_FOR_RUNNING"),
        default=[],
        help=argparse.SUPPRESS,
    )
    arguments = parser.parse_args()
    try:
        print(json.dumps(probe.trials() if arguments.probe else run(arguments)))
    except LoadError as error:
        print("holdfast loader: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

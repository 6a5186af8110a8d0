"""Programs that no grant may cover, since what they do is not in what a grant compares.

Each has its reason. The names are those of files, without a directory and without a version.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

_SHELL = "a shell runs whatever it reads"
_INTERPRETER = "an interpreter runs whatever a file says"
_CONSOLE = "a console takes its commands from its input"
_LAUNCHER = "it starts another program, in other circumstances"
_ELSEWHERE = "it starts programs where this host does not see them"
_BUILDER = "it runs what the files of a project, or the network, say"

_NAMES: Mapping[str, str] = {
    _SHELL: (
        "sh bash rbash dash ash zsh ksh mksh pdksh oksh yash fish csh tcsh elvish nu pwsh rc es "
        "osh ysh"
    ),
    _INTERPRETER: (
        "python pypy perl raku ruby irb node nodejs deno bun php lua luajit tclsh wish expect "
        "guile racket sbcl java jshell groovy kotlin scala dotnet mono R Rscript julia octave erl "
        "elixir iex ghci runghc ocaml swift awk gawk mawk nawk sed ed ex vi vim nvim view emacs "
        "swipl gforth gnuplot m4 bc dc gdb lldb bpftrace stap jq yq qemu-x86_64 wasmtime wine"
    ),
    _CONSOLE: "psql mysql mariadb sqlite3 duckdb mongo mongosh redis-cli cqlsh sqlcmd sqlplus",
    _LAUNCHER: (
        "env sudo sudoedit su doas runuser setpriv pkexec run0 busybox toybox xargs parallel nohup "
        "timeout nice ionice chrt taskset numactl stdbuf setsid setarch unshare nsenter chroot "
        "capsh prlimit time watch flock find script screen tmux dtach at batch crontab "
        "start-stop-daemon systemd-run strace ltrace perf valgrind catchsegv ld.so ld-linux "
        "ld-linux-x86-64.so ld-linux-aarch64.so ld-musl-x86_64.so ld-musl-aarch64.so bwrap "
        "firejail coreutils gosu su-exec sg newgrp choom runcon systemd-cat systemd-inhibit tini "
        "dumb-init cgexec rlwrap sshpass proot"
    ),
    _ELSEWHERE: (
        "ssh mosh rsh telnet nc ncat netcat socat docker podman nerdctl ctr crictl runc crun lxc "
        "lxc-attach incus machinectl systemd-nspawn flatpak snap distrobox toolbox vagrant ansible"
    ),
    _BUILDER: (
        "make gmake ninja cmake meson bazel cargo go npm npx yarn pnpm uv uvx pip pipx mvn gradle "
        "just task rake"
    ),
}
WRAPPERS: Mapping[str, str] = {
    name: reason for reason, names in _NAMES.items() for name in names.split()
}
# Whoever is given a text by these may have it read by a shell, or as a program.
_READERS = frozenset(
    name
    for reason in (_SHELL, _INTERPRETER, _ELSEWHERE, _BUILDER)
    for name in _NAMES[reason].split()
) | {"su", "runuser", "watch", "xargs", "parallel", "script", "screen", "tmux", "at", "batch"}
# python3.11, perl5.36.0, lua5.4, ruby-3.1, mawk-1.3, php8.2, ld-linux-x86-64.so.2
_VERSION = re.compile(r"[-.]?\d[\d.]*$")
_SEVERAL = re.compile(r"(?<=\w)[.-](?=[a-z])")


def never_granted(name: str) -> str | None:
    """Return why no grant covers the program of a file of this name, None if one may."""
    return next((WRAPPERS[form] for form in _forms(name) if form in WRAPPERS), None)


@lru_cache(maxsize=4096)
def hands_on_text(name: str) -> bool:
    """Return whether a program of this name may read its arguments as commands or programs."""
    return any(form in _READERS for form in _forms(name))


def _forms(name: str) -> tuple[str, ...]:
    base = name.rpartition("/")[2]
    # Also nc.openbsd, bash-static, python3.11-minimal: one too many costs a question, no more.
    first = _SEVERAL.split(base)[0]
    return base, _VERSION.sub("", base), _VERSION.sub("", first)

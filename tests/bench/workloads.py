"""What the measured users run: the C program beside this file, and a C project to compile."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

_LONGEST_S = 600
_HEADER = """#ifndef SHARED_H
#define SHARED_H
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
struct item { char name[32]; long value; struct item *next; };
#endif
"""
_SOURCE = """#include "shared.h"
#include "part{number}.h"
static int order(const void *a, const void *b)
{{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}}
long part{number}(struct item *items, size_t count)
{{
    long sum = {number};
    qsort(items, count, sizeof *items, order);
    for (size_t n = 0; n < count; n++) {{
        snprintf(items[n].name, sizeof items[n].name, "item-%zu-%d", n, {number});
        items[n].value = strtol(items[n].name + 5, NULL, 10) * {number};
        sum += items[n].value % 7 ? items[n].value : -items[n].value;
    }}
    return sum;
}}
"""


def compiled(place: Path) -> Path:
    """Compile the program of the workloads and return its path. It is static: it opens nothing."""
    program = place / "workload"
    source = Path(__file__).with_name("workload.c")
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(program)]
    subprocess.run([*command, str(source)], check=True)
    program.chmod(0o755)
    return program


def project(place: Path, sources: int, users: Sequence[pwd.struct_passwd]) -> Path:
    """Write a C project that everybody may read, and a script that builds it; return the script.

    `sh build.sh DIRECTORY` compiles each source by itself and links them; each user has a
    directory of the user's name to build in.
    """
    place.mkdir()
    (place / "shared.h").write_text(_HEADER)
    names = [f"part{number}" for number in range(1, sources + 1)]
    for number, name in enumerate(names, 1):
        (place / f"{name}.h").write_text(f"long {name}(struct item *, size_t);\n")
        (place / f"{name}.c").write_text(_SOURCE.format(number=number))
    calls = "".join(f"    sum += {name}(items, 8);\n" for name in names)
    headers = "".join(f'#include "{name}.h"\n' for name in names)
    (place / "main.c").write_text(
        f'#include "shared.h"\n{headers}int main(void)\n{{\n    static struct item items[8];\n'
        f'    long sum = 0;\n{calls}    printf("%ld\\n", sum);\n    return 0;\n}}\n'
    )
    build = place / "build.sh"
    build.write_text(
        f'set -e\ncd {place}\nfor source in *.c; do\n  gcc -O1 -c -o "$1/${{source%.c}}.o" '
        '"$source"\ndone\ngcc -o "$1/program" "$1"/*.o\n'
    )
    for user in users:
        own = place / user.pw_name
        own.mkdir()
        os.chown(own, user.pw_uid, user.pw_gid)
    return build


def run(user: pwd.struct_passwd, command: Sequence[str], *, temporary: Path) -> tuple[int, int]:
    """Run a workload as a test user to its end; return the operations and nanoseconds it says."""
    assert user.pw_uid != 0
    done = subprocess.run(
        command,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=_LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, f"{command} as {user.pw_name}: {done}"
    operations, nanoseconds = map(int, done.stdout.split())
    assert operations > 0, f"{command} did nothing"
    return operations, nanoseconds

"""Runs a case as the watched user, and compares what two runs have come to.

A run is the same in every setting: a directory of its own and nothing of the test's. What it comes
to are the lines that it prints, how it ends, and the files that it leaves.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import end_processes
from tests.support.inside import PATIENCE
from tests.transparency.cases import CASES, PROGRAMS, Case

_WAIT_S = 280 * PATIENCE
_INTERPRETERS = {".py": "/usr/bin/python3", ".sh": "/bin/sh", ".mjs": "node"}
# Their names or contents hold times, numbers of processes or sizes that vary by nature.
_VARYING = (".git", "__pycache__", "environment", "make.log", "trace.log", "tree.tar.gz")
_VARYING_ENDS = (".db", ".db-wal", ".db-shm", ".o")


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has come to: a value for each key. The second of the same key has `#2`."""

    values: Mapping[str, str]

    def differences(self, other: "Result") -> dict[str, tuple[str, str]]:
        """Return, by key, what this one has and what the other has; `(nothing)` for neither."""
        keys = dict.fromkeys((*self.values, *other.values))
        pairs = {key: (self._of(key), other._of(key)) for key in keys}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    def _of(self, key: str) -> str:
        return self.values.get(key, "(nothing)")


class Runner:
    """Programs that are ready to run, and one user to run them as."""

    def __init__(self, place: Path) -> None:
        """`place` is a directory that the user can reach; the programs are put there."""
        # A package as it is here, so that programs in Python find what they share.
        self.imports = place / "imports"
        self.programs = self.imports / "tests" / "transparency" / "programs"
        self.work = place / "work"
        self.work.mkdir()
        shutil.copytree(PROGRAMS, self.programs, ignore=shutil.ignore_patterns("__pycache__"))
        for package in (self.programs, *self.programs.parents[:2]):
            (package / "__init__.py").touch()
        wanted = {name for case in CASES for name in (case.program, *case.brings)}
        for name in sorted(one for one in wanted if one.endswith(".c")):
            _compile(self.programs / name)

    def run(self, case: Case, user: pwd.struct_passwd) -> Result:
        """Run a case to its end; whatever it leaves running is ended too."""
        assert user.pw_uid != 0
        work = self.work / case.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name in case.brings:
            shutil.copy(self._program(name), work / Path(name).stem)
        if case.program == "debuggers.sh":
            (work / "held").write_text("content")
        os.chown(work, user.pw_uid, user.pw_gid)
        process = subprocess.Popen(
            self._command(case),
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            umask=0o022,
            cwd=work,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "HOME": str(work),
                "PYTHONPATH": str(self.imports),
                "PYTHONDONTWRITEBYTECODE": "1",
                "SETTING": "the same in all",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=_WAIT_S)
        except subprocess.TimeoutExpired:
            end_processes(user.pw_uid)
            out, err = process.communicate()
            err += f"\nit was ended after {_WAIT_S} s"
        finally:
            end_processes(user.pw_uid)
        values = dict(_lines(out))
        values["(how it ended)"] = str(process.returncode)
        values["(standard error)"] = err
        values["(files)"] = "\n".join(_tree(work))
        return Result(values)

    def _command(self, case: Case) -> list[str]:
        interpreter = _INTERPRETERS.get(case.source.suffix)
        program = str(self._program(case.program))
        return [*([interpreter] if interpreter else []), program, *case.arguments]

    def _program(self, name: str) -> Path:
        path = self.programs / name
        return path.with_suffix("") if path.suffix == ".c" else path


def _compile(source: Path) -> None:
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
            "-o",
            source.with_suffix(""),
            source,
        ],
        check=True,
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    seen: Counter[str] = Counter()
    for line in text.splitlines():
        key, colon, value = line.partition(": ")
        if not colon:
            key, value = "(a line without a key)", line
        seen[key] += 1
        yield (key if seen[key] == 1 else f"{key} #{seen[key]}"), value


def _tree(top: Path) -> Iterator[str]:
    """Yield a line for each file: its kind and mode, and a digest of what is in it."""
    for directory, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name not in _VARYING)
        for name in sorted((*names, *files)):
            if name in _VARYING or name.endswith(_VARYING_ENDS):
                continue
            path = Path(directory, name)
            found = path.lstat()
            what = ""
            if stat.S_ISREG(found.st_mode):
                what = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            elif stat.S_ISLNK(found.st_mode):
                what = os.readlink(path)
            yield f"{path.relative_to(top)} {found.st_mode:06o} {what}".rstrip()

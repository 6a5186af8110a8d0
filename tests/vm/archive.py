"""Debian packages of any release from the machine's own mirror, without touching its apt."""

import os
import subprocess
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from deploy.bootstrap.commands import run
from deploy.bootstrap.errors import CommandError, SetupError
from deploy.bootstrap.progress import Progress
from tests.vm import cache

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_DEFAULT = "http://deb.debian.org/debian"
_FRESH_S = 86400


class Archive:
    """One release of Debian with its updates, in an apt of its own."""

    def __init__(self, suite: str, progress: Progress) -> None:
        self._suite = suite
        self._progress = progress
        self._place = cache.PLACE / f"apt-{suite}"

    @cached_property
    def sources(self) -> str:
        """The lines of sources.list."""
        main = _mirror()
        options = f"[signed-by={_KEYRING}]"
        return "".join(
            f"deb {options} {site} {suite} main\n"
            for site, suite in (
                (main, self._suite),
                (main, f"{self._suite}-updates"),
                (f"{main}-security", f"{self._suite}-security"),
            )
        )

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Return the newest version of each package; raise SetupError for one that is not there."""
        self._refresh()
        asked = self._ask("apt-cache", "show", "--no-all-versions", *packages)
        found: dict[str, str] = {}
        name = ""
        for line in asked.splitlines():
            if line.startswith("Package: "):
                name = line.split()[1]
            elif line.startswith("Version: "):
                found[name] = line.split()[1]
        missing = [name for name in packages if name not in found]
        if missing:
            raise SetupError(f"{self._suite} has no package {', '.join(missing)}")
        return {name: found[name] for name in packages}

    def kernel_package(self) -> tuple[str, str]:
        """Return name and version of the newest kernel for cloud machines."""
        self._refresh()
        for line in self._ask("apt-cache", "depends", "linux-image-cloud-amd64").splitlines():
            words = line.split()
            if words[0] == "Depends:" and words[1].startswith("linux-image-"):
                return words[1], self.versions([words[1]])[words[1]]
        raise SetupError(f"{self._suite} has no linux-image-cloud-amd64")

    def unpack(self, package: str, into: Path) -> None:
        """Download a package and unpack it, without what it depends on and without its scripts."""
        self._refresh()
        run(["apt-get", *self._options(), "download", package], cwd=str(into))
        (file,) = into.glob("*.deb")
        run(["dpkg-deb", "-x", str(file), str(into)])
        file.unlink()

    def _refresh(self) -> None:
        """Have lists that are at most a day old; older ones do where the mirror is away."""
        with cache.locked(f"apt-{self._suite}"):
            stamp = self._place / "fresh"
            if stamp.exists() and time.time() - stamp.stat().st_mtime < _FRESH_S:
                return
            for name in ("lists/partial", "cache/archives/partial"):
                (self._place / name).mkdir(parents=True, exist_ok=True)
            (self._place / "sources.list").write_text(self.sources, encoding="utf-8")
            with self._progress.step(f"look what Debian {self._suite} has") as step:
                try:
                    run(["apt-get", *self._options(), "update"], step=step)
                except CommandError:
                    if not stamp.exists():
                        raise
                    return
            stamp.touch()

    def _options(self) -> tuple[str, ...]:
        settings = {
            "Dir::Etc::SourceList": f"{self._place}/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": f"{self._place}/lists",
            "Dir::Cache": f"{self._place}/cache",
            "APT::Sandbox::User": "root",
            "APT::Get::List-Cleanup": "0",
            "APT::Update::Error-Mode": "any",
        }
        return tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))

    def _ask(self, tool: str, *words: str) -> str:
        return subprocess.run(
            [tool, *self._options(), *words],
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def _mirror() -> str:
    """Return where this machine has Debian from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    sites = [line.rstrip("/") for line in listed.splitlines()]
    return next((site for site in sites if site.endswith("/debian")), _DEFAULT)

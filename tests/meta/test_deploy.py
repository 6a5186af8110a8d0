"""What is deployed parses, and names only what is there."""

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
VAGRANTFILE = CHECKOUT / "Vagrantfile"
UNITS = sorted((CHECKOUT / "deploy" / "systemd").glob("*.service"))
SCRIPTS = sorted((CHECKOUT / "deploy" / "provision").glob("*.sh"))


def test_the_vagrantfile_is_valid(tmp_path: Path) -> None:
    """By vagrant itself where it is installed (tests/run --full), else by what can be seen."""
    text = VAGRANTFILE.read_text(encoding="utf-8")
    named = re.findall(r"deploy/provision/[\w.-]+", text)
    assert named
    assert [name for name in named if not os.access(CHECKOUT / name, os.X_OK)] == []
    if shutil.which("vagrant"):
        # Without any provider it has nothing to validate the machines' own settings against.
        plugins = Path("/usr/share/rubygems-integration/all/specifications")
        provider = any(plugins.glob("vagrant-libvirt-*.gemspec"))
        check = ["vagrant", "validate", *([] if provider else ["--ignore-provider"])]
    elif shutil.which("ruby"):
        check = ["ruby", "-c", str(VAGRANTFILE)]
    else:
        return
    own = {"VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot")}
    done = subprocess.run(
        check, cwd=CHECKOUT, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.name))
def test_every_provisioning_script_parses(script: Path) -> None:
    """By the shell that runs it on Debian and, as sh, on RHEL."""
    subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_every_unit_starts_a_program_that_is_installed(unit: Path) -> None:
    """Into /opt/holdfast come the commands of pyproject.toml, and nats-server has its own place."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    known = {f"/opt/holdfast/bin/{name}" for name in project["project"]["scripts"]}
    assert parser["Service"]["ExecStart"].split()[0] in known | {"/usr/local/bin/nats-server"}
    assert parser["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_systemd_knows_every_setting_of_a_unit(unit: Path) -> None:
    """A misspelt hardening setting would be ignored, with a line in a log that nobody reads."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    wrong = [line for line in ours if "is not executable" not in line]
    assert wrong == []


def test_everything_that_is_no_module_is_packaged() -> None:
    """An installed agent has its BPF programs, and whoever installs it the rule packs."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = [
        f"{package}/{pattern}"
        for package, listed in project["tool"]["setuptools"]["package-data"].items()
        for pattern in listed
    ]
    data = [
        path.relative_to(CHECKOUT)
        for package in ("agent", "collector", "rules", "wire")
        for path in sorted((CHECKOUT / package).rglob("*"))
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    ]
    assert data
    missing = [str(path) for path in data if not any(map(path.match, patterns))]
    assert not missing, missing


def test_every_directory_of_modules_is_a_package() -> None:
    """setuptools leaves out what has no __init__.py."""
    lost = {
        str(path.parent.relative_to(CHECKOUT))
        for package in ("agent", "collector", "rules", "wire")
        for path in (CHECKOUT / package).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert not lost, sorted(lost)

"""The loader works with the capabilities and the places that the unit of the agent leaves it."""

import configparser
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

CHECKOUT = Path(__file__).resolve().parents[2]
UNIT = CHECKOUT / "deploy" / "systemd" / "holdfast-agent.service"
# As ProtectSystem=strict does, in a mount namespace that ends with the command.
_READ_ONLY = (
    'for each in /run /tmp; do mount --bind "$each" "$each" && mount -o remount,bind,ro "$each"'
    ' || exit 9; done; exec "$@"'
)


def setting(name: str) -> list[str]:
    """Return the words of a setting of the unit's service."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"][name].split()


def test_the_loader_runs_as_the_unit_has_it() -> None:
    """It compiles, loads and checks itself; nothing is attached or pinned."""
    kept = ",".join(
        f"+{name.removeprefix('CAP_').lower()}" for name in setting("CapabilityBoundingSet")
    )
    variables = dict(word.split("=", 1) for word in setting("Environment"))
    assert variables["TMPDIR"] in {f"/run/{name}" for name in setting("RuntimeDirectory")}
    with tempfile.TemporaryDirectory(prefix="holdfast-test-", dir="/var/tmp") as own:
        done = subprocess.run(
            [
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", _READ_ONLY, "sh"),
                *("setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs"),
                *("/usr/bin/python3", "-I", "-B", str(CHECKOUT / "agent/kernel/loader")),
            ],
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "TMPDIR": own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not list(Path(own).iterdir())

"""Holdfast as units of systemd, on a machine that is only for this: nothing here is undone.

What the agent, the collector, NATS and journald write lies on a file system of its own, so that
this disk can hang and the machine's cannot.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx

from tests.support.house import Request, Watcher

CHECKOUT = Path(__file__).resolve().parents[3]
PREFIX, BIN = Path("/opt/holdfast/bin"), Path("/opt/holdfast/venv/bin")
DISK = Path("/srv/soak")
SECRETS = Path("/srv/secrets")
_ON_DISK = {
    "agent": "/var/lib/holdfast-agent",
    "collector": "/var/lib/holdfast-collector",
    "journal": "/var/log/journal",
}
STATE = Path(_ON_DISK["collector"])
AGENT, COLLECTOR, NATS = (f"holdfast-{name}.service" for name in ("agent", "collector", "nats"))
SUBJECT, PLAIN, CENTRE = "holdfast-test-subject", "holdfast-test-plain", "holdfast"
API = "127.0.0.1:8420"
NATS_PORT = 4222
_WAIT_S = 300
_RULES = f"""
rules:
  - id: soak.secret
    description: Reads a secret.
    severity: critical
    match: {{ open: {{ path: "{SECRETS}/asked*" }} }}
    action: ask
    timeout: 1h
  - id: soak.seen
    description: Opens what is only watched.
    severity: info
    match: {{ open: {{ path: "{SECRETS}/seen" }} }}
    action: observe
"""
_UNIT = f"""
[Service]
Type=oneshot
User={PLAIN}
ExecStart=/bin/true
"""


class Site:
    """Once all of it runs. `login` logs the plain user in; whoever connects to `port` may."""

    def __init__(self) -> None:
        self.subject, self.plain = pwd.getpwnam(SUBJECT), pwd.getpwnam(PLAIN)
        self.home = Path(self.plain.pw_dir)
        self.unit = "holdfast-soak.service"
        self.token = as_centre(
            *("holdfast-collector", "token", "create", "--name", "ann@example.com"),
            *("--role", "reviewer", "--config", f"{STATE}/collector.toml"),
        ).strip()
        self.watcher = Watcher(f"http://{API}", self.token)
        self.login = [
            *("ssh", "-i", "/root/soak-key", "-o", "StrictHostKeyChecking=no"),
            *("-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"{PLAIN}@127.0.0.1"),
            "true",
        ]
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self._started: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End what was started and is still there, held or not."""
        self.watcher.close()
        for one in self._started:
            one.kill()
            one.communicate()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:  # it is closed
                return
            one.close()

    def start(self, code: str) -> "subprocess.Popen[str]":
        """Start Python code as the subject."""
        one = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-S", "-c", code],
            user=self.subject.pw_uid,
            group=self.subject.pw_gid,
            extra_groups=[],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self._started.append(one)
        return one

    def asked(self, wanted: Callable[[Request], bool]) -> Request:
        """Return the request of an act that is held and wanted."""
        return self.watcher.wait(
            lambda one: one["state"] == "open" and wanted(one), timeout_s=_WAIT_S
        )

    def approve(self, pid: int) -> None:
        """Approve what a process of the subject is held for; return once it was let go."""
        found = self.asked(lambda one: bool(one["act"]["process"]["pid"] == pid))
        self.call(
            f"/requests/{found['request']}/decision",
            {"answer": "approve", "reason": "soaked", "digest": found["digest"]},
        )
        settled = self.watcher.wait(
            lambda one: one["request"] == found["request"] and one["outcome"] is not None,
            timeout_s=_WAIT_S,
        )
        assert settled["outcome"] == "released"

    def sql(self, text: str) -> list[list[Any]]:
        """Ask the trail."""
        found = self.call("/trail/query", {"sql": text, "limit": 1000})
        return cast("list[list[Any]]", found["rows"])

    def sql_until(self, text: str, wanted: Callable[[list[list[Any]]], bool]) -> None:
        """Ask the trail again until its answer is wanted."""
        end = time.monotonic() + _WAIT_S
        while not wanted(rows := self.sql(text)):
            assert time.monotonic() < end, f"the trail still says {rows}"
            time.sleep(0.5)

    def call(self, path: str, body: object) -> Any:
        """Call the API."""
        response = httpx.post(
            f"http://{API}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            json=body,
            timeout=_WAIT_S,
        )
        assert response.status_code == 200, response.text
        return response.json()


def prepare() -> None:
    """Make the disk, the users, sshd and the units; nothing of ours runs yet."""
    _disk()
    for name in (SUBJECT, PLAIN):
        run("useradd", "--create-home", "--shell", "/bin/sh", name)
    run("useradd", "--system", "--home-dir", str(STATE), "--shell", "/usr/sbin/nologin", CENTRE)
    if not PREFIX.exists():
        PREFIX.symlink_to(BIN)
    Path("/usr/local/bin/nats-server").symlink_to(BIN / "nats-server")
    SECRETS.mkdir(mode=0o755)
    for name in ("asked", "seen"):
        (SECRETS / name).write_text(name)
        (SECRETS / name).chmod(0o644)
    _sshd()
    _units()


def stop_agent() -> None:
    """End the agent, and take what it has pinned out of the kernel with what it holds."""
    run("systemctl", "stop", AGENT)
    run(str(PREFIX / "holdfast-agent"), "unload", "--force")


def keep_journal() -> None:
    """Write what all units have said where it outlives this VM."""
    place = Path(os.environ["HOLDFAST_TEST_LOGS"]) / "journal.txt"
    place.write_text(run("journalctl", "--no-pager", "--output=short-monotonic"), encoding="utf-8")


def remove_users() -> None:
    """Take the test users away, whom other tests would find."""
    for name in (SUBJECT, PLAIN):
        run("userdel", "--force", "--remove", name)


def _disk() -> None:
    run("modprobe", "loop")
    image = Path("/srv/soak.ext4")
    run("truncate", "-s", "400M", str(image))
    run("mke2fs", "-q", "-t", "ext4", str(image))
    DISK.mkdir()
    run("mount", "-o", "loop", str(image), str(DISK))
    run("journalctl", "--relinquish-var")  # or it goes on with the file that it has open
    for name, place in _ON_DISK.items():
        (DISK / name).mkdir()
        Path(place).mkdir(exist_ok=True)
        run("mount", "--bind", str(DISK / name), place)
    run("journalctl", "--flush")
    assert list((DISK / "journal").rglob("system.journal")), "journald writes elsewhere"


def _sshd() -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/soak-key")
    place = Path(pwd.getpwnam(PLAIN).pw_dir) / ".ssh"
    place.mkdir(mode=0o700)
    shutil.copy("/root/soak-key.pub", place / "authorized_keys")
    run("chown", "-R", f"{PLAIN}:", str(place))
    run("ssh-keygen", "-A")
    run("systemctl", "start", "ssh")


def _units() -> None:
    for name in (AGENT, COLLECTOR, NATS):
        shutil.copy(CHECKOUT / "deploy" / "systemd" / name, "/etc/systemd/system")
        # Software emulation takes long to start anything.
        place = Path(f"/etc/systemd/system/{name}.d")
        place.mkdir()
        (place / "slow.conf").write_text("[Service]\nTimeoutStartSec=900\n")
    Path("/etc/systemd/system/holdfast-soak.service").write_text(_UNIT)
    run("systemctl", "daemon-reload")


def start_centre() -> None:
    """Start NATS and the collector; return once the API answers."""
    run("chown", f"{CENTRE}:{CENTRE}", str(STATE))
    STATE.chmod(0o700)
    as_centre(
        *("holdfast-collector", "init", "--state", str(STATE), "--nats-host", "127.0.0.1"),
        *("--nats-port", str(NATS_PORT), "--api-listen", API),
    )
    run("systemctl", "start", NATS, COLLECTOR, timeout_s=900)
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            httpx.get(f"http://{API}/", timeout=_WAIT_S)
            return
        except httpx.TransportError:
            assert time.monotonic() < end, run("journalctl", "-n", "50", "-u", COLLECTOR)
            time.sleep(0.5)


def start_agent() -> None:
    """Enrol this host and start the agent; return once acts are held."""
    as_centre(
        *("holdfast-collector", "enroll", "soaked", "--out", f"{STATE}/host.toml"),
        *("--config", f"{STATE}/collector.toml"),
    )
    place = Path("/etc/holdfast")
    (place / "rules").mkdir(parents=True)
    run(str(PREFIX / "holdfast-agent"), "join", f"{STATE}/host.toml")
    (place / "rules" / "rules.yaml").write_text(_RULES)
    (place / "agent.toml").write_text(
        'mode = "gate"\nrules = ["/etc/holdfast/rules"]\n'
        f'[[subjects]]\nname = "ai"\nusers = [{json.dumps(SUBJECT)}]\n'
        'responsible = "olga@example.com"\n'
    )
    (place / "agent.toml").chmod(0o600)
    # Compiled outside, where it takes seconds.
    shutil.copytree(
        os.environ["HOLDFAST_TEST_PROGRAMS"], "/var/cache/holdfast-agent", dirs_exist_ok=True
    )
    run("systemctl", "start", AGENT, timeout_s=900)


def as_centre(*command: str) -> str:
    """Run a command of ours as the collector's user; return its output."""
    return run("runuser", "-u", CENTRE, "--", f"{PREFIX}/{command[0]}", *command[1:])


def run(*command: str, timeout_s: float = 600) -> str:
    """Run a command; return its output, fail with that if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout

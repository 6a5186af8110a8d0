"""Enrolment with servers running, stopped, and in the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.centre import REPOSITORY, centre
from tests.support.wire_host import read_bundle, wire_host

pytestmark = pytest.mark.nats


async def test_a_host_enrolled_while_all_runs_can_work_at_once(tmp_path: Path) -> None:
    """No restart: its key is admitted and its consumer is there when the command returns."""
    with centre(tmp_path) as running:
        async with wire_host(running.enroll("web-1")) as host:
            await host.open()
            info = await host.client.jetstream().consumer_info(
                "HF_VERDICTS", f"host-{host.bundle.host}"
            )
            assert info.config.filter_subject == f"hf.verdict.{host.bundle.host}.*"


async def test_a_host_enrolled_while_nothing_runs_works_after_the_start(tmp_path: Path) -> None:
    """The note says so, and the daemon makes what is missing."""
    with centre(tmp_path, start=False) as made:
        done = _enroll(made.config, "web-1", tmp_path / "web-1.toml")
        assert done.returncode == 0
        assert "note:" in done.stderr
        assert (tmp_path / "web-1.toml").stat().st_mode & 0o777 == 0o600
        made.start_nats()
        made.start_collector()
        async with wire_host(tmp_path / "web-1.toml") as host:
            await host.open()
            await host.client.jetstream().consumer_info("HF_VERDICTS", f"host-{host.bundle.host}")


def test_a_stale_pid_file_harms_nobody(tmp_path: Path) -> None:
    """The pid belongs to another program now: it gets no signal."""
    with centre(tmp_path, start=False) as made:
        bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            (made.state / "nats" / "nats.pid").write_text(str(bystander.pid), encoding="ascii")
            assert _enroll(made.config, "web-1", tmp_path / "web-1.toml").returncode == 0
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()


def test_an_enrolment_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A name that is taken, a file in the way, a directory that is not there."""
    with centre(tmp_path, start=False) as made:
        first = made.enroll("web-1")
        hosts = (made.state / "nats" / "hosts.conf").read_text(encoding="utf-8")
        for name, out, words in (
            ("web-1", tmp_path / "again.toml", "enrolled already"),
            ("db-1", first, "exists already"),
            ("db-1", tmp_path / "no" / "such" / "db-1.toml", "cannot be written"),
            ("bad name", tmp_path / "bad.toml", "letters, digits"),
        ):
            done = _enroll(made.config, name, out)
            assert done.returncode == 1
            assert words in done.stderr
            assert "Traceback" not in done.stderr
        assert (made.state / "nats" / "hosts.conf").read_text(encoding="utf-8") == hosts
        assert not (tmp_path / "again.toml").exists()
        bundle = read_bundle(made.enroll("db-1"))
        assert bundle.name == "db-1"
        assert bundle.host in (made.state / "nats" / "hosts.conf").read_text(encoding="utf-8")


def _enroll(config: Path, name: str, out: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, "-m", "collector", "enroll", name),
            *("--out", str(out), "--config", str(config)),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

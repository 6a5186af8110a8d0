"""The loader's trial of what a kernel takes: honest, quick, and nothing of it stays."""

import json
import subprocess
import time
from pathlib import Path

import pytest

import agent.kernel

pytestmark = pytest.mark.kernel

_LOADER = Path(agent.kernel.__file__).parent / "loader"
_BPFTOOL = "/usr/sbin/bpftool"
_KINDS = {"bpf", "raw_tracepoint", "signal", "lsm", "fmod_ret", "fexit"}


def there(what: str) -> list[str]:
    """Return the programs or maps in the kernel that are called as the trial's are."""
    said = subprocess.run([_BPFTOOL, "--json", what, "list"], capture_output=True, check=True)
    return [one["name"] for one in json.loads(said.stdout) if one.get("name") == "hf_probe"]


def probe(*, user: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run the trial under the system's Python."""
    return subprocess.run(
        ["/usr/bin/python3", "-I", "-B", str(_LOADER), "--probe"],
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )


def test_each_kind_is_taken_or_refused_in_words_and_nothing_stays() -> None:
    """Where these tests run raw tracepoints work; of the others the kernel has the last word."""
    done = probe()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.keys() == _KINDS
    assert said["bpf"] is said["raw_tracepoint"] is said["signal"] is True
    assert all(one is True or len(one) > 10 for one in said.values()), said
    lsms = Path("/sys/kernel/security/lsm")
    if lsms.exists() and "bpf" not in lsms.read_text(encoding="ascii").strip().split(","):
        assert said["lsm"] is not True
    end = time.monotonic() + 10
    while there("prog") or there("map"):  # the kernel takes them apart a moment later
        assert time.monotonic() < end, "the trial has left something in the kernel"
        time.sleep(0.01)


def test_who_is_not_root_is_told_what_is_missing() -> None:
    """No trial is passed off as a kernel that takes nothing."""
    done = probe(user=65534)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    # Anybody may make a map where kernel.unprivileged_bpf_disabled is 0.
    assert "EPERM" in done.stdout
    assert {kind for kind, answer in said.items() if answer is True} <= {"bpf"}

"""What doctor prints: for people, and for programs under names that the page of it lists."""

import json
from pathlib import Path
from typing import Any

from agent.doctor import render
from agent.doctor.finding import Level
from agent.doctor.modes import PROMISES
from agent.doctor.report import examine
from tests.support.hosts import LSMS, UBUNTU, host, kernel, settings, tools, trials

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "doctor.md").read_text(encoding="utf-8")
REPORT = examine(
    host(
        system=UBUNTU,
        kernel=kernel(release="6.8.0-45-generic", lsms=LSMS, settings={}),
        trials=trials(lsm="it attaches and is never called"),
        tools=tools(cgroup2=""),
        running="stop",
    ),
)


def keys(value: Any, above: str = "") -> set[str]:
    """Return every key of a JSON value, each with those above it; promises by their shape only."""
    if isinstance(value, list):
        return {key for one in value for key in keys(one, above)}
    if not isinstance(value, dict):
        return set()
    found = set()
    for name, one in value.items():
        shown = {"promises": "MODE", "promises.MODE.acts": "KIND"}.get(above, str(name))
        place = f"{above}.{shown}" if above else shown
        found |= {place, *keys(one, place)}
    return found


def test_the_text_says_the_mode_first_then_what_matters_most() -> None:
    """With what is missing for a better way, and each remedy on one line to be copied."""
    lines = render.as_text(REPORT).splitlines()
    assert lines[:4] == [
        "Ubuntu 24.04.1 LTS, Linux 6.8.0-45-generic, x86_64",
        "",
        "mode: gate, by fmod_ret",
        "  fmod_ret works here, and no mode promises more",
    ]
    assert "for gate, by BPF LSM, this host lacks" in lines
    assert any("lsm=lockdown,landlock,yama,apparmor,bpf" in line for line in lines)
    titles = [line.split(",")[0] for line in lines if line[:1].isupper() and line.isupper()]
    assert titles == ["NOTES", "GOOD"]
    assert lines.index("WARNINGS, doors that somebody watched may use") < lines.index("NOTES")
    assert "  exec       held     not one instruction of the new program has run" in lines
    assert lines[-1] == (
        f"0 problems, {REPORT.count(Level.WARNING)} warnings, {REPORT.count(Level.NOTE)} notes"
    )
    long = [line for line in lines if len(line) > 100 and not line.lstrip().startswith("do:")]
    assert not long


def test_a_host_without_a_mode_reads_about_all_of_them() -> None:
    """There is nothing that it promises."""
    said = render.as_text(examine(host(trials=trials(bpf="no"), tools=tools(auditd=""))))
    assert "mode: none" in said
    for mode, promise in PROMISES.items():
        assert f"{mode} is {promise.words[:20]}" in said
    assert said.endswith("1 problem, 0 warnings, 1 note")


def test_the_json_has_the_same_and_is_json() -> None:
    """Numbers, mode, ways with what each lacks, promises and findings."""
    said = json.loads(json.dumps(render.as_json(REPORT)))
    assert (said["version"], said["mode"], said["by"]) == (1, "gate", "fmod_ret")
    assert [one["possible"] for one in said["ways"]] == [False, True, True, True]
    assert said["warnings"] == sum(one["level"] == "warning" for one in said["findings"])
    assert said["promises"]["stop"]["acts"]["send"]["guarantee"] == "late"
    assert said["running"] == "stop"


def test_the_page_names_every_key_of_the_json() -> None:
    """Who writes a program against it finds each."""
    report = examine(host(trials=trials(lsm="no"), kernel=settings()))
    missing = sorted(key for key in keys(render.as_json(report)) if f"`{key}`" not in PAGE)
    assert not missing, missing


def test_the_page_names_every_check() -> None:
    """Who reads a finding finds what it looks at."""
    missing = [one.check for one in REPORT.findings if f"| `{one.check}` |" not in PAGE]
    assert not missing, missing

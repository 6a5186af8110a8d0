"""Audit rules from subjects and tables: narrow where audit can be, and never too narrow."""

from pathlib import Path

import pytest

from agent.audit.ruleset import Files, audit_rules, files_of
from agent.sensor.interface import Subject
from rules.load import PACKS, load, load_texts
from rules.modes import HostMode
from rules.superset import KernelTables, compile_tables

AI = Subject(index=1, name="ai", uids=(4242,), gids=(4343,))


def _tables(match: str) -> KernelTables:
    text = f"""
rules:
  - id: test.one
    description: One rule.
    severity: info
    match: {match}
    action: observe
"""
    return compile_tables(load_texts([("rules.yaml", text.encode())]), HostMode.AUDIT)


def test_a_rule_names_each_way_to_be_a_subject() -> None:
    """User, effective user, login user; group and effective group; both sorts of programs."""
    made = audit_rules([AI], _tables('{ exec: { path: "**" } }'), key="holdfast", machine="x86_64")
    who = ("uid=4242", "euid=4242", "auid=4242", "gid=4343", "egid=4343")
    assert made == [
        f"-a always,exit -F arch={arch} -S execve,execveat -F {one} -F success=1 -F key=holdfast"
        for arch in ("b64", "b32")
        for one in who
    ]


def test_elsewhere_only_calls_that_are_there_are_named() -> None:
    """arm64 never had open or creat, and auditctl refuses a call that there is not."""
    made = audit_rules([AI], _tables('{ open: { path: "**" } }'), key="k", machine="aarch64")
    assert {line.split(" -S ")[1].split(" ")[0] for line in made} == {"openat,openat2"}
    assert {line.split("arch=")[1].split(" ")[0] for line in made} == {"b64"}


def test_what_reaches_out_through_socketcall_is_named_too() -> None:
    """A 32-bit program has one call for all, whose first argument says which."""
    made = audit_rules([AI], _tables("{ connect: { port: 22 } }"), key="k", machine="x86_64")
    first = [line for line in made if "uid=4242" in line and "socketcall" in line]
    assert {line.split("a0=")[1].split(" ")[0] for line in first} == {"0x3", "0xb", "0x10", "0x14"}
    assert all("saddr_fam!=0" in line for line in made if "socketcall" not in line)


@pytest.mark.parametrize(
    ("path", "there", "expected"),
    [
        ("/srv/keys/**", {"/srv/keys", "/srv", "/"}, Files(("/srv/keys",), ())),
        # Not there yet: from the nearest directory that is.
        ("/srv/keys/**", {"/srv", "/"}, Files(("/srv",), ())),
        ("/srv/keys/aa*", {"/srv/keys", "/srv", "/"}, Files(("/srv/keys",), ())),
        ("/srv/keys/one", {"/srv/keys", "/srv", "/"}, Files((), ("/srv/keys/one",))),
        ("/srv/keys/one", {"/"}, None),
        # auditctl takes a space for the end of a word.
        ("/srv/my keys/**", {"/srv/my keys", "/srv", "/"}, Files(("/srv",), ())),
        ("/srv/my keys/one", {"/srv/my keys", "/srv", "/"}, Files(("/srv",), ())),
        # Nothing that audit can compare.
        ("**/*.pem", {"/"}, None),
        ("**/.ssh/id_*", {"/"}, None),
        ("**", {"/"}, None),
    ],
)
def test_opens_are_reported_below_directories_where_rules_name_some(
    path: str, there: set[str], expected: Files | None
) -> None:
    """Else all opens of the subject are."""
    tables = _tables(f'{{ open: {{ path: "{path}" }} }}')
    assert files_of(tables, there.__contains__) == expected


def test_what_lies_below_a_directory_is_named_once() -> None:
    """Each rule on a directory is compared at every call of every process."""
    tables = _tables('{ open: { path: ["/srv/a/**", "/srv/a/b/**", "/srv/a/c", "/srv/d"] } }')
    found = files_of(tables, {"/srv/a", "/srv/a/b", "/srv", "/"}.__contains__)
    assert found == Files(("/srv/a",), ("/srv/d",))


def test_more_directories_than_audit_should_compare_are_none() -> None:
    """One rule for all opens of a subject costs others less than so many."""
    paths = ", ".join(f'"/srv/{n}/**"' for n in range(20))
    assert files_of(_tables(f"{{ open: {{ path: [{paths}] }} }}"), lambda path: True) is None


def test_a_name_that_is_a_link_is_watched_at_both_ends(tmp_path: Path) -> None:
    """A watch is on a name in a directory, and an open through the link reaches the other."""
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    found = files_of(_tables(f"{{ open: {{ path: {tmp_path}/link }} }}"))
    assert found == Files((), (f"{tmp_path}/link", f"{tmp_path}/real"))


def test_all_packs_together_make_few_rules() -> None:
    """Every process of the host pays for each of them, at each of its calls."""
    made = audit_rules(
        [AI], compile_tables(load([PACKS]), HostMode.AUDIT), key="holdfast", machine="x86_64"
    )
    hashed = [line for line in made if "-F path=" in line]
    assert len(made) - len(hashed) <= 70
    assert all(line.endswith(" -F key=holdfast") and "  " not in line for line in made)

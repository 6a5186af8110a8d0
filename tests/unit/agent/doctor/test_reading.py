"""What is read of a host: files of others' making, and the words of sudo and of the loader."""

import os
from pathlib import Path

import pytest

from agent.doctor import accounts, host, owners
from agent.doctor.facts import NOT_TRIED
from agent.doctor.trial import trials_of

LISTED = """\
Matching Defaults entries for ai-worker on web-1:
    env_reset, mail_badpass, secure_path=/usr/local/sbin\\:/usr/local/bin, use_pty

User ai-worker may run the following commands on web-1:
    (ALL : ALL) NOPASSWD: ALL
    (root) /usr/bin/systemctl restart a-service-with-a-name-that-sudo-has-to-break,
        /usr/bin/apt-get update
"""


@pytest.mark.parametrize(
    ("listed", "rules"),
    [
        (
            LISTED,
            (
                "(ALL : ALL) NOPASSWD: ALL",
                "(root) /usr/bin/systemctl restart a-service-with-a-name-that-sudo-has-to-break, "
                "/usr/bin/apt-get update",
            ),
        ),
        ("User ai-worker is not allowed to run sudo on web-1.\n", ()),
        ("", ()),
    ],
)
def test_the_rules_of_sudo_are_what_it_lists(listed: str, rules: tuple[str, ...]) -> None:
    """One that it has broken over two lines is one."""
    assert accounts.sudo_rules(listed) == rules


@pytest.mark.parametrize(
    ("allow", "deny", "otherwise", "may"),
    [
        (None, None, True, True),
        (None, None, False, False),
        ("root\nai-worker\n", None, False, True),
        ("root\n", None, True, False),
        ("", "", True, False),
        (None, "ai-worker\n", True, False),
        (None, "", False, True),
        ("ai-worker\n", "ai-worker\n", False, True),
    ],
)
def test_who_is_allowed_counts_before_who_is_denied(
    tmp_path: Path, allow: str | None, deny: str | None, otherwise: bool, may: bool
) -> None:
    """As cron and at say of their files."""
    for name, text in (("cron.allow", allow), ("cron.deny", deny)):
        if text is not None:
            (tmp_path / name).write_text(text, encoding="utf-8")
    assert accounts.allowed("cron", "ai-worker", otherwise=otherwise, etc=tmp_path) is may


def test_what_others_may_write_is_found_with_who_may(tmp_path: Path) -> None:
    """The file, the directories above it, and where a link leads; a sticky one above is fine."""
    place = tmp_path / "etc"
    place.mkdir(mode=0o755)
    file = place / "agent.toml"
    file.touch(mode=0o644)
    assert owners.loose([file, place / "not-there"]) == ()
    file.chmod(0o646)
    assert owners.loose([file]) == ((str(file), "everybody"),)
    file.chmod(0o644)
    place.chmod(0o777)
    assert owners.loose([file]) == ((str(place), "everybody"),)
    place.chmod(0o1777)
    assert owners.loose([file]) == ()
    assert owners.loose([place]) == ((str(place), "everybody"),)
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(0o646)
    assert owners.loose([link]) == ((str(file), "everybody"),)


def test_a_file_of_somebody_else_names_its_owner(tmp_path: Path) -> None:
    """By number where there is no name."""
    file = tmp_path / "rules.yaml"
    file.touch(mode=0o644)
    os.chown(file, 54_321, 0)
    assert owners.loose([file]) == ((str(file), "its owner 54321"),)
    os.chown(file, 0, 54_322)
    file.chmod(0o664)
    assert owners.loose([file]) == ((str(file), "group 54322"),)


def test_the_trials_are_what_the_loader_says() -> None:
    """What it does not know was not tried; what it knows more of is passed over."""
    said = trials_of({"bpf": True, "lsm": "no", "raw_tracepoint": True, "kernel": "6.1"})
    assert (said.bpf, said.raw_tracepoint, said.lsm) == (True, True, "no")
    assert said.fmod_ret == NOT_TRIED


def test_a_configuration_that_is_not_there_is_a_fact(tmp_path: Path) -> None:
    """Doctor is also for before the first configuration."""
    found = host.facts(tmp_path / "agent.toml")
    assert "there is no such file" in found.configuration.problem
    assert found.accounts == ()
    assert found.kernel.release == os.uname().release

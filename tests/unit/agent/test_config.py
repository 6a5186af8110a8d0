"""Configuration and identity: good ones load, bad ones name the file, the key and the remedy."""

import os
import pwd
from pathlib import Path

import pytest

from agent import config, identity
from agent.errors import ConfigError
from agent.subjects import resolve

GOOD = """
rules = ["rules"]
[[subjects]]
name = "ai-worker"
users = [4242]
groups = [4243]
cgroups = ["/sys/fs/cgroup/system.slice/ai.service", "/ai"]
responsible = "alice@example.com"
"""
BUNDLE = f"""
host = "{"a" * 32}"
name = "web-1"
nats_url = "nats://127.0.0.1:4222"
nats_seed = "SU{"A" * 56}"
centre_keys = ["{"b" * 64}"]
"""


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_good_configuration_has_its_defaults(tmp_path: Path) -> None:
    """Paths are the documented ones, and relative ones are relative to the file."""
    loaded = config.load(written(tmp_path / "agent.toml", GOOD))
    assert loaded.identity == Path("/etc/holdfast/host.toml")
    assert loaded.state == Path("/var/lib/holdfast-agent")
    assert loaded.run == Path("/run/holdfast-agent")
    assert loaded.bpffs == Path("/sys/fs/bpf/holdfast")
    assert loaded.rules == (tmp_path / "rules",)
    assert loaded.spool_limit_mib == 256
    assert (loaded.holds_per_session, loaded.holds_per_subject) == (20, 100)
    assert loaded.denials_per_minute == 60


def test_subjects_are_resolved(tmp_path: Path) -> None:
    """Names become ids, and cgroups are as in /proc/PID/cgroup."""
    loaded = config.load(written(tmp_path / "agent.toml", GOOD))
    (subject,) = resolve(loaded.subjects, place="agent.toml")
    assert (subject.index, subject.name, subject.responsible) == (
        1,
        "ai-worker",
        "alice@example.com",
    )
    assert (subject.uids, subject.gids) == ((4242,), (4243,))
    assert subject.cgroups == ("/system.slice/ai.service", "/ai")


def test_a_subject_that_nobody_is_responsible_for_is_named(tmp_path: Path) -> None:
    """Its processes may come from no login, and then nobody could be refused as requester."""
    nobodys = GOOD.replace('responsible = "alice@example.com"\n', "")
    assert config.load(written(tmp_path / "agent.toml", GOOD)).nobodys == ()
    assert config.load(written(tmp_path / "agent.toml", nobodys)).nobodys == ("ai-worker",)
    blank = GOOD.replace("alice@example.com", " ")
    assert config.load(written(tmp_path / "agent.toml", blank)).nobodys == ("ai-worker",)


def test_the_old_name_of_responsible_is_still_read(tmp_path: Path) -> None:
    """And both at once are not: one of them would be forgotten."""
    old = GOOD.replace("responsible", "owner")
    assert config.load(written(tmp_path / "agent.toml", old)).subjects[0].responsible == (
        "alice@example.com"
    )
    both = old.replace("owner =", 'responsible = "bob"\nowner =')
    with pytest.raises(ConfigError, match="both responsible and owner"):
        config.load(written(tmp_path / "agent.toml", both))


@pytest.mark.parametrize("who", ["a\\u0007b", "x" * 1001])
def test_who_is_responsible_can_be_shown(tmp_path: Path, who: str) -> None:
    """Neither control characters nor a book."""
    bad = GOOD.replace("alice@example.com", who)
    with pytest.raises(ConfigError, match=r"responsible: .* write names or addresses"):
        config.load(written(tmp_path / "agent.toml", bad))


def test_a_user_is_found_by_name(tmp_path: Path) -> None:
    """Any user but root."""
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    text = GOOD.replace("[4242]", f'["{user.pw_name}"]')
    loaded = config.load(written(tmp_path / "agent.toml", text))
    assert resolve(loaded.subjects, place="x")[0].uids == (user.pw_uid,)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[4242]", '["no-such-holdfast-test"]', "no user 'no-such-holdfast-test'"),
        ("[4243]", '["no-such-holdfast-test"]', "no group 'no-such-holdfast-test'"),
        ("[4242]", '["root"]', "watch root's AI service by its cgroup"),
        ("[4242]", "[0]", "watch root's AI service by its cgroup"),
        ("[4243]", "[0]", "root's group"),
        ("[4242]", "[-1]", "not an id"),
        ("[4242]", "[4294967295]", "not an id"),
        ('"/ai"', '"/"', "the whole host"),
        ('"/ai"', '"/sys/fs/cgroup/"', "the whole host"),
        ('"/ai"', '"ai"', "not a path under the cgroup mount"),
        ('"/ai"', '"/a/../b"', "not a path under the cgroup mount"),
    ],
)
def test_a_subject_that_cannot_be_meant_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """The error names the subject and what to write instead."""
    loaded = config.load(written(tmp_path / "agent.toml", GOOD.replace(old, new)))
    with pytest.raises(ConfigError, match="ai-worker") as error:
        resolve(loaded.subjects, place="agent.toml")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "colour = 1", "colour"),
        ("colour = 1\n" + GOOD, "colour"),
        (GOOD.replace('["rules"]', '"rules"'), "rules"),
        (GOOD.replace('["rules"]', "[]"), "names no file"),
        ("rules = ['x']\nsubjects = []", "nobody is watched"),
        (GOOD + GOOD.split("\n", 2)[2], "used twice"),
        ("rules = ['x']\n[[subjects]]\nname = 'a'", "matches nobody"),
        (GOOD.replace('"ai-worker"', '""'), "name"),
        (GOOD.replace("ai-worker", "a" * 64), "64 bytes"),
        (GOOD.replace("ai-worker", "ä" * 32), "64 bytes"),
        (GOOD.replace("ai-worker", r"ai\nworker"), "control characters"),
        (GOOD.replace("ai-worker", r"ai\u0000"), "control characters"),
        ("spool_limit_mib = 0\n" + GOOD, "spool_limit_mib"),
        ("holds_per_session = 0\n" + GOOD, "holds_per_session: must be from 1 to 512"),
        ("denials_per_minute = 0\n" + GOOD, "denials_per_minute: must be from 1 to 100000"),
        ("holds_per_subject = 513\n" + GOOD, "holds_per_subject: must be from 1 to 512"),
        ("rules = [", "not TOML"),
    ],
)
def test_a_broken_configuration_names_the_file_and_the_key(
    tmp_path: Path, text: str, words: str
) -> None:
    """And nothing of it is taken."""
    path = written(tmp_path / "agent.toml", text)
    with pytest.raises(ConfigError, match=r"agent\.toml") as error:
        config.load(path)
    assert words in str(error.value)


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    """63 bytes are what the kernel keeps of it."""
    name = "ä" * 31 + "b"
    loaded = config.load(written(tmp_path / "agent.toml", GOOD.replace("ai-worker", name)))
    assert loaded.names == {name}


def test_a_configuration_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With the place to read about it."""
    with pytest.raises(ConfigError, match=r"docs/agent\.md"):
        config.load(tmp_path / "agent.toml")


def test_an_identity_loads_and_hides_its_seed(tmp_path: Path) -> None:
    """It may be printed in a log."""
    loaded = identity.load(written(tmp_path / "host.toml", BUNDLE))
    assert loaded.host == "a" * 32
    assert loaded.centre_keys == frozenset({"b" * 64})
    assert loaded.nats_seed not in repr(loaded)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o400, 0o700])
def test_an_identity_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """It is a secret; the mode is exactly 0600."""
    with pytest.raises(ConfigError, match="chmod 0600"):
        identity.load(written(tmp_path / "host.toml", BUNDLE, mode))


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root: sudo tests/run")
def test_an_identity_that_somebody_else_owns_is_refused(tmp_path: Path) -> None:
    """Its owner could make this host obey another key."""
    path = written(tmp_path / "host.toml", BUNDLE)
    os.chown(path, 4242, 4242)
    with pytest.raises(ConfigError, match="uid 4242"):
        identity.load(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a" * 32, "web-1", "host"),
        ("nats://", "http://", "nats_url"),
        ("SUA", "UAA", "nats_seed"),
        ("b" * 64, "b" * 63, "centre_keys"),
        (f'["{"b" * 64}"]', "[]", "centre_keys"),
        ("web-1", "", "name"),
        ("name", "nom", "nom"),
    ],
)
def test_a_broken_identity_names_the_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    """A host that obeys nobody, or anybody, does not start."""
    with pytest.raises(ConfigError, match=words):
        identity.load(written(tmp_path / "host.toml", BUNDLE.replace(old, new)))


def test_joining_puts_a_private_file_in_place(tmp_path: Path) -> None:
    """Whatever the mode of the bundle was; and joining again with the same is fine."""
    bundle = written(tmp_path / "bundle.toml", BUNDLE, 0o644)
    place = tmp_path / "etc" / "host.toml"
    for _ in range(2):
        identity.join(bundle, place)
        assert identity.load(place).name == "web-1"
    assert [path.name for path in place.parent.iterdir()] == ["host.toml"]


def test_joining_does_not_replace_another_identity_unasked(tmp_path: Path) -> None:
    """Its open holds would be orphaned."""
    place = written(tmp_path / "host.toml", BUNDLE)
    other = written(tmp_path / "bundle.toml", BUNDLE.replace("a" * 32, "c" * 32))
    with pytest.raises(ConfigError, match="--replace"):
        identity.join(other, place)
    assert identity.load(place).host == "a" * 32
    identity.join(other, place, replace=True)
    assert identity.load(place).host == "c" * 32

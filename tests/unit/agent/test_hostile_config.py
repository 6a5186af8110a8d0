"""Configuration and identity of any content: one error with place and remedy, nothing changed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import config, identity
from agent.__main__ import main
from agent.errors import ConfigError
from agent.subjects import resolve
from tests.support.damage import damaged, odd_files, put, snapshot

GOOD = """
rules = ["rules"]
identity = "host.toml"
state = "state"
run = "run"
bpffs = "/sys/fs/bpf/holdfast"
cache = "cache"
spool_limit_mib = 256
[[subjects]]
name = "ai-worker"
users = [4242, "nobody"]
groups = [4243]
cgroups = ["/system.slice/ai.service"]
responsible = "alice@example.com"
"""
BUNDLE = f"""
host = "{"a" * 32}"
name = "web-1"
nats_url = "nats://127.0.0.1:4222"
nats_seed = "SU{"A" * 56}"
centre_keys = ["{"b" * 64}"]
"""


def said(error: ConfigError, path: Path) -> str:
    """Return an error's text after a look at its form."""
    words = str(error)
    assert words.startswith(str(path)), words
    assert "\n" not in words.strip() and len(words) < 6_000
    return words


@given(damaged(GOOD))
def test_any_configuration_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """And what loads can be used: every path is one, and subjects resolve or are refused."""
    path = put(tmp_path_factory.getbasetemp() / "agent.toml", data)
    try:
        found = config.load(path)
        resolve(found.subjects, place=str(path))
    except ConfigError as error:
        said(error, path)
        return
    for one in (found.identity, found.state, found.run, found.bpffs, found.cache, *found.rules):
        one.exists()  # raises for what is no path
    assert found.subjects


@given(damaged(BUNDLE))
def test_any_identity_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """A host that is somebody else by a slip of the hand obeys nobody."""
    path = put(tmp_path_factory.getbasetemp() / "host.toml", data)
    try:
        found = identity.load(path)
    except ConfigError as error:
        assert found_seed(data) not in said(error, path), "a secret is in the error"
        return
    assert len(found.host) == 32 and found.centre_keys
    assert found.nats_url.startswith(("nats://", "tls://"))


def found_seed(data: bytes) -> str:
    """Return the secret of a bundle if it is still whole there."""
    seed = "SU" + "A" * 56
    return seed if seed.encode() in data else "no secret is left"


@pytest.mark.parametrize("text", [GOOD, BUNDLE], ids=["configuration", "identity"])
def test_a_file_that_was_cut_at_any_byte_is_refused_or_whole(tmp_path: Path, text: str) -> None:
    """A half-written configuration watches nobody in silence never."""
    path = tmp_path / "cut.toml"
    load = config.load if text is GOOD else identity.load
    for length in range(len(text)):
        put(path, text[:length].encode())
        try:
            load(path)
        except ConfigError as error:
            said(error, path)
        else:
            # Only keys with a default, or the last line's end, are missing.
            assert text is GOOD or length >= len(text.rstrip())


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO would hold up the start, a device would fill the memory."""
    for path in odd_files(tmp_path):
        for load in (config.load, identity.load):
            with pytest.raises(ConfigError) as caught:
                load(path)
            said(caught.value, path)
    put(tmp_path / "large.toml", b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        config.load(tmp_path / "large.toml")


@pytest.mark.parametrize("mode", [0o400, 0o644, 0o640, 0o660, 0o700, 0o000, 0o4600])
def test_only_a_private_identity_is_taken(tmp_path: Path, mode: int) -> None:
    """Whatever else is in it."""
    path = put(tmp_path / "host.toml", BUNDLE.encode(), mode)
    with pytest.raises(ConfigError, match="chmod 0600"):
        identity.load(path)


READING = (["check"], ["status"], ["reload"])
# They make what the configuration names, so they are only tried with one that is refused.
WRITING = (["run"], ["unload"], ["release", "--all", "--reason", "x"])


@given(damaged(GOOD), st.sampled_from(READING), st.sampled_from(WRITING))
def test_no_command_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    reading: list[str],
    writing: list[str],
) -> None:
    """Each says one thing and changes nothing on disk: no identity is there to go on with."""
    directory = tmp_path_factory.getbasetemp() / "commands"
    directory.mkdir(exist_ok=True)
    path = put(directory / "agent.toml", data)
    before = snapshot(directory)
    assert main([*reading, "--config", str(path)]) in (1, 3)
    try:
        config.load(path)
    except ConfigError:
        assert main([*writing, "--config", str(path)]) == 1
    assert snapshot(directory) == before


@given(damaged(BUNDLE), st.booleans())
def test_a_bundle_is_put_in_place_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, replace: bool
) -> None:
    """The identity that is in place stays."""
    directory = tmp_path_factory.mktemp("join")
    bundle = put(directory / "bundle", data)
    place = put(directory / "host.toml", BUNDLE.encode())
    before = snapshot(directory)
    words = ["join", str(bundle), "--identity", str(place), *(["--replace"] if replace else [])]
    if main(words) == 0:
        identity.load(place)
        assert place.read_bytes() in (data, BUNDLE.encode())
        assert set(snapshot(directory)) == set(before)
    else:
        assert snapshot(directory) == before


def test_a_bundle_that_cannot_be_put_anywhere_says_so(tmp_path: Path) -> None:
    """In one line, whatever is in the way."""
    bundle = put(tmp_path / "bundle", BUNDLE.encode())
    for place in odd_files(tmp_path):
        if place.name in ("nothing", "fifo", "device", "loop"):
            continue  # it can be put there
        assert main(["join", str(bundle), "--identity", str(place), "--replace"]) == 1

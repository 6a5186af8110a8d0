"""The state directory: made once, secret, never replaced; and what is in the documents of it."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collector import config
from collector.api.errors import documented
from collector.config import Trail
from collector.errors import StateError
from collector.identity.people import Role
from collector.keys import (
    new_nats_key,
    read_nats_key,
    read_signer,
    write_atomically,
)
from collector.nats.server_config import hosts_conf
from collector.setup import init
from collector.trail import schema
from collector.trail.macros import MACROS
from collector.trail.schema import EVENTS, EVENTS_TAIL
from collector.trail.store import open_trail
from collector.trail.views import VIEWS

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"


def _init(state: Path) -> tuple[Path, ...]:
    return init(
        state,
        nats_host="127.0.0.1",
        nats_port=4222,
        monitor_port=None,
        api_listen="127.0.0.1:8420",
    )


def test_init_makes_everything_secret_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    """Keys and files are for their owner alone; nothing that exists is replaced."""
    state = tmp_path / "state"
    made = _init(state)
    assert {path.name for path in made} == {
        "signing.key",
        "collector.nk",
        "hosts.conf",
        "nats.conf",
        "collector.toml",
    }
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    for path in (state, *state.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert _init(state) == ()
    assert {path: path.read_bytes() for path in before} == before
    loaded = config.load(state / "collector.toml")
    assert read_signer(Path(loaded.signing.key_file)).key_id
    assert read_nats_key(Path(loaded.nats.seed_file)).public.startswith("U")


def test_nats_server_takes_the_configuration(tmp_path: Path) -> None:
    """The server itself reads what init writes and finds no fault; it holds no secret."""
    _init(tmp_path / "state")
    conf = tmp_path / "state" / "nats" / "nats.conf"
    binary = Path(sys.executable).with_name("nats-server")
    done = subprocess.run(
        [str(binary), "-t", "-c", str(conf)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seed = (tmp_path / "state" / "keys" / "collector.nk").read_text(encoding="utf-8").strip()
    text = conf.read_text(encoding="utf-8") + conf.with_name("hosts.conf").read_text("utf-8")
    assert seed not in text
    assert "sync_interval: always" in text
    assert "max_payload" not in text


def test_each_role_has_its_own_user() -> None:
    """The collector alone without hosts; nobody without a key."""
    key = new_nats_key()
    text = hosts_conf(key.public, ())
    assert text.count("nkey:") == 1
    assert key.public in text
    assert key.seed not in text


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The error gives the command that mends it."""
    path = tmp_path / "seed"
    write_atomically(path, new_nats_key().seed)
    read_nats_key(path)
    path.chmod(0o640)
    with pytest.raises(StateError, match=f"chmod 600 {re.escape(str(path))}"):
        read_nats_key(path)


@pytest.mark.parametrize("text", ["", "SU", "SUAAAA", "x" * 58])
def test_a_broken_seed_names_its_file(tmp_path: Path, text: str) -> None:
    """Also the signing key; and neither error repeats the secret."""
    path = tmp_path / "seed"
    write_atomically(path, text)
    for read in (read_nats_key, read_signer):
        with pytest.raises(StateError, match=re.escape(str(path))) as caught:
            read(path)
        assert not text or text not in str(caught.value)


def test_a_state_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """A file in the way is no traceback."""
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(StateError, match="choose another --state"):
        _init(tmp_path / "state")


@pytest.mark.parametrize("table", schema.TABLES, ids=lambda table: str(table.name))
def test_every_table_and_its_columns_are_documented(table: schema.Table) -> None:
    """docs/trail.md has a section for each table, with each column."""
    text = (DOCS / "trail.md").read_text(encoding="utf-8")
    section = text.partition(f"### `{table.name}`\n")[2].partition("\n### ")[0]
    missing = [name for name in table.schema.names if f"| `{name}` |" not in section]
    assert section and not missing, missing


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_documented(view: str) -> None:
    """docs/trail.md says what each view answers."""
    assert f"| `{view}` |" in (DOCS / "trail.md").read_text(encoding="utf-8")


def test_every_column_of_every_view_is_documented(tmp_path: Path) -> None:
    """With its type, once for all views: a name means the same in each. And nothing else is."""
    text = (DOCS / "trail.md").read_text(encoding="utf-8")
    section = text.partition("### Columns of the views\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` \| ([A-Z\[\]]+) \| .+ \|$", section, re.MULTILINE))
    connection = open_trail(Trail(file=str(tmp_path / "trail.duckdb")))
    sources = [*VIEWS, *(f"{name}(TIMESTAMP '2026-01-01')" for name in MACROS)]
    found = {
        (str(name), str(kind))
        for source in sources
        for name, kind, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()
    }
    connection.close()
    assert told == found


@pytest.mark.parametrize("macro", MACROS)
def test_every_macro_is_documented(macro: str) -> None:
    """docs/trail.md says how to call it."""
    assert f"FROM {macro}(" in (DOCS / "trail.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [EVENTS_TAIL, EVENTS], ids=lambda table: str(table.name))
def test_events_have_their_columns_documented(table: schema.Table) -> None:
    """The view and the table of the tail, which are described the same."""
    text = (DOCS / "trail.md").read_text(encoding="utf-8")
    section = text.partition(f"### `{table.name}`\n")[2].partition("\n### ")[0]
    assert not [name for name in table.schema.names if f"| `{name}` |" not in section]


def test_every_error_code_of_the_api_is_documented() -> None:
    """docs/api.md lists each code that the collector's source can answer with."""
    sources = [
        path.read_text(encoding="utf-8")
        for room in ("api", "approvals", "identity", "oidc", "trail")
        for path in (REPOSITORY / "collector" / room).glob("*.py")
    ]
    codes = set()
    for source in sources:
        codes |= set(re.findall(r"Refusal\(\s*\d{3},\s*\"([a-z_]+)\"", source))
    codes |= {"expired", "cancelled", "superseded", "unknown_request", "not_found"}
    codes |= {"method_not_allowed", "http_error"}
    assert len(codes) > 15
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert not [code for code in sorted(codes) if f"`{code}`" not in text]


def test_documented_failures_have_a_phrase() -> None:
    """OpenAPI needs a description for each."""
    assert all(answer["description"] for answer in documented(401, 413, 422).values())


def _words(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "collector", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "TERM": "dumb"},
    )


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("enroll", "web-1"),
        ("token", "list"),
        ("token", "revoke", "x"),
        ("token", "create", "--name", "x", "--role", "viewer"),
    ],
)
def test_without_a_configuration_each_command_says_what_to_do(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """One line, the file and the remedy; no traceback; exit code 1."""
    done = _words(*words, "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 1
    assert str(tmp_path / "none.toml") in done.stderr
    assert "holdfast-collector init" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_is_documented() -> None:
    """docs/collector.md shows each verb."""
    text = (DOCS / "collector.md").read_text(encoding="utf-8")
    for verb in ("init", "enroll", "run", "token create", "token list", "token revoke"):
        assert f"holdfast-collector {verb}" in text, verb
    for role in Role:
        assert f"`{role.value}`" in text

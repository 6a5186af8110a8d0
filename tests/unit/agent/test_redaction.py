"""Secrets on the host: no byte of one in what leaves it or is written down, and all still works."""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent import redaction
from agent.config import load
from agent.errors import ConfigError
from agent.rows import act_row
from agent.why.claims import Claims
from rules.model import Action
from tests.support.children import Child, child
from tests.support.keeping import Bench, asking, every_letter
from tests.support.ordering import exec_act, give, grant, held
from wire import codec
from wire.acts import Act, act_digest
from wire.ids import HoldId
from wire.messages import Answer, HoldOpened, HoldStateName
from wire.redaction.redactor import Redactor
from wire.redaction.settings import Settings

S = HoldStateName
PLANTED = "hunter2-and-more"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    """A stopped process of a program of its own, which is no wrapper."""
    program = tmp_path / "export"
    shutil.copy("/usr/bin/sleep", program)
    with child((str(program), "3600")) as one:
        one.stop()
        yield one


def opened(bench: Bench, hold: HoldId) -> HoldOpened:
    """Return what the centre is told of a hold."""
    message = bench.said(hold)[0]
    assert isinstance(message, HoldOpened)
    return message


def on_disk(directory: Path) -> bytes:
    """Return everything that is in the files of a journal."""
    return b"".join(path.read_bytes() for path in directory.glob("journal.db*"))


async def test_a_held_secret_is_in_no_message_and_not_in_the_journal(
    bench: Bench, sleeper: Child
) -> None:
    """And an approval of what is shown lets the very act pass."""
    act = exec_act(sleeper, "export", f"--password={PLANTED}", "--all")
    hold = bench.hold(act)
    told = opened(bench, hold)
    assert told.act.argv[0::2] == ("export", "--all")
    assert told.act.argv[1].startswith("--password=«redacted:password:")
    assert told.digest == act_digest(told.act) == bench.kept(hold).digest
    for letter in every_letter(bench.journal):
        assert PLANTED.encode() not in letter.data
    assert PLANTED.encode() not in on_disk(bench.directory)
    assert PLANTED not in repr(bench.keeper.holds())
    bench.answer(hold, Answer.APPROVE)
    assert sleeper.runs()
    assert PLANTED.encode() not in on_disk(bench.directory)


async def test_a_verdict_on_the_same_act_with_another_secret_releases_nothing(
    bench: Bench, sleeper: Child
) -> None:
    """The digest that is approved is of one act, though the secret is in none of it."""
    one = exec_act(sleeper, "export", f"--password={PLANTED}")
    hold = bench.hold(one)
    other = bench.redactor.act(replace(one, argv=("export", "--password=else")))
    bench.answer(hold, Answer.APPROVE, digest=act_digest(other))
    assert sleeper.stopped()
    bench.answer(hold, Answer.APPROVE)
    assert sleeper.runs()


async def test_rules_see_the_secret_also_after_a_restart(bench: Bench, sleeper: Child) -> None:
    """Newer rules settle what waits by what it is; what is lost is left to people."""
    seen: list[Act] = []

    def denies(act: Act) -> object:
        seen.append(act)
        return asking(action=Action.DENY if PLANTED in "".join(act.argv) else Action.OBSERVE)

    hold = bench.hold(exec_act(sleeper, "export", f"--password={PLANTED}"))
    bench.restart()
    bench.ruled = denies  # type: ignore[assignment]
    assert bench.keeper.on_rules() == 1
    assert PLANTED in "".join(seen[0].argv)
    await bench.settled()
    assert bench.states(hold) == [S.SUPERSEDED, S.KILLED]


async def test_what_is_not_known_any_more_is_left_to_people(bench: Bench, sleeper: Child) -> None:
    """The held map is gone and the journal has marks: no newer rule is asked about those."""
    hold = bench.hold(exec_act(sleeper, "export", f"--password={PLANTED}"))
    bench.held.entries.clear()
    bench.restart()
    bench.ruled = lambda act: asking(action=Action.ALLOW)
    assert bench.keeper.on_rules() == 0
    assert sleeper.stopped()
    bench.answer(hold, Answer.APPROVE)
    assert sleeper.runs()


async def test_a_grant_covers_the_same_secret_alone(bench: Bench, sleeper: Child) -> None:
    """It is given on the act as it was shown, and says the secret to nobody."""
    act = exec_act(sleeper, "export", f"--password={PLANTED}")
    given = grant(bench, bench.redactor.act(act))
    assert PLANTED.encode() not in codec.encode(given)
    give(bench, given)
    assert held(bench, act) is None
    assert sleeper.runs()
    sleeper.stop()
    assert held(bench, exec_act(sleeper, "export", "--password=else")) is not None


async def test_the_text_of_a_mark_is_not_covered(bench: Bench, sleeper: Child) -> None:
    """Else whoever reads the trail could use a grant without knowing the secret."""
    act = exec_act(sleeper, "export", f"--password={PLANTED}")
    shown = bench.redactor.act(act)
    give(bench, grant(bench, shown))
    assert held(bench, exec_act(sleeper, *shown.argv)) is not None


async def test_what_is_typed_at_an_emergency_is_redacted(bench: Bench, sleeper: Child) -> None:
    """The reason goes into messages and the journal."""
    hold = bench.hold(exec_act(sleeper, "export"))
    bench.keeper.release_all(f"the token={PLANTED} was wrong", "root")
    await bench.settled()
    assert "token=«redacted:token:" in str(bench.said(hold))
    assert PLANTED.encode() not in on_disk(bench.directory)


def test_claims_keep_nothing_of_a_secret() -> None:
    """Neither in the text nor in the name."""
    claims = Claims(Redactor().text)
    claims.state("1-1", f"use password={PLANTED}", f"token={PLANTED}", 1)
    claim = claims.of("1-1", 2)
    assert claim.text == "use password=«redacted:password»"
    assert claim.name == "token=«redacted:token»"


async def test_denials_tell_no_secret(bench: Bench, sleeper: Child, tmp_path: Path) -> None:
    """The file is for the session, which may be of several users."""
    told = tmp_path / "denials"
    told.mkdir()
    bench.crash()
    bench.begin()
    bench.keeper._p.denials.__init__(told)  # type: ignore[misc]
    bench.keeper.start()
    hold = bench.hold(exec_act(sleeper, "export", f"--password={PLANTED}"))
    bench.answer(hold, Answer.DENY)
    (file,) = told.glob("*.json")
    assert PLANTED not in file.read_text()
    assert "redacted:password" in file.read_text()


def test_events_say_that_something_was_taken_out(sleeper: Child) -> None:
    """Among the flags of the act."""
    act = exec_act(sleeper, "export", f"--password={PLANTED}")
    row = act_row(Redactor().act(act), action="observe", rule="r")
    assert row["flags"] == "redacted"
    assert PLANTED not in str(row)
    assert act_row(exec_act(sleeper, "export"), action="observe", rule="r")["flags"] is None


def test_the_key_of_a_host_is_made_once_and_private(tmp_path: Path) -> None:
    """So marks of one host compare, before and after a restart, and with those of no other."""
    first = redaction.redactor(Settings(), tmp_path).text(f"password={PLANTED}")
    assert redaction.redactor(Settings(), tmp_path).text(f"password={PLANTED}") == first
    key = tmp_path / redaction.KEY_FILE
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    key.unlink()
    assert redaction.redactor(Settings(), tmp_path).text(f"password={PLANTED}") != first


def test_a_key_that_cannot_be_kept_is_no_hindrance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged one is replaced; without a place for one, marks are good until the end."""
    key = tmp_path / redaction.KEY_FILE
    key.write_bytes(b"short")
    with caplog.at_level(logging.WARNING):
        redaction.redactor(Settings(), tmp_path)
    assert key.stat().st_size == 32
    assert "is no key any more" in caplog.text
    nowhere = redaction.redactor(Settings(), tmp_path / "nowhere")
    assert "«redacted:password:" in nowhere.text(f"password={PLANTED}")


def _config(directory: Path, table: str) -> Path:
    path = directory / "agent.toml"
    path.write_text(
        f'rules = ["x"]\n{table}\n[[subjects]]\nname = "ai"\nusers = ["{os.getuid()}"]\n'
    )
    return path


def test_the_configuration_says_what_counts(tmp_path: Path) -> None:
    """All keys of the table."""
    table = (
        '[redaction]\noff = ["entropy"]\nnames = ["x-internal-auth"]\nallow = ["example-[a-z]+"]\n'
        '[redaction.patterns]\nacme-token = "acme_[A-Za-z0-9]{32}"\n'
    )
    said = load(_config(tmp_path, table)).redaction
    assert said.off == {"entropy"}
    assert said.names == {"x-internal-auth"}
    assert [name for name, _ in said.patterns] == ["acme-token"]
    assert len(said.allow) == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[redaction]\noff = ["nothing"]', "redaction: off: 'nothing' is no form"),
        ("[redaction]\nentropy = false", "Object contains unknown field `entropy`"),
        ('[redaction.patterns]\nx = "["', "redaction: patterns.x: '\\[' is no regular expression"),
    ],
)
def test_a_mistake_in_the_configuration_is_an_error(tmp_path: Path, table: str, words: str) -> None:
    """Rather than a secret that leaves."""
    with pytest.raises(ConfigError, match=words):
        load(_config(tmp_path, table))

"""`views.duckdb` opened by ordinary DuckDB clients, while a real collector writes the trail."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.collector.conftest import People, populate
from tests.support.centre import centre
from tests.support.duckdb_clients import VERSIONS, python_with
from tests.support.inside import PATIENCE
from tests.support.wire_host import full_row, state
from wire.messages import HoldStateName

pytestmark = pytest.mark.nats

BEHIND_S = 5

# Opens the file again and again from another directory; what it reads must be of one moment.
_CLIENT = """
import duckdb, sys, time
path, until = sys.argv[1], time.time() + float(sys.argv[2])
times, newest, most = 0, None, 0
while time.time() < until:
    with duckdb.connect(path, read_only=True) as trail:
        (made,) = trail.execute("SELECT made_at FROM about").fetchone()
        assert newest is None or made >= newest, (made, newest)
        newest = made
        said = trail.execute('SELECT coalesce(sum("count"), 0) FROM batches').fetchone()
        there = trail.execute("SELECT count(*), count(DISTINCT number), coalesce(max(number), 0)"
                              " FROM events").fetchone()
        assert there == (said[0],) * 3, (said, there)
        states = trail.execute("SELECT count(*) FROM hold_states ANTI JOIN holds USING (hold)")
        assert states.fetchone() == (0,)
        for (view,) in trail.execute(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall():
            trail.execute(f'SELECT count(*) FROM "{view}"').fetchall()
        trail.execute("FROM grants_in_force_at(TIMESTAMP '2026-01-01')").fetchall()
        try:
            trail.execute("CREATE TABLE mine (a INT)")
        except duckdb.Error:
            pass
        else:
            raise AssertionError("it was opened read-only")
    times, most = times + 1, max(most, there[0])
print(duckdb.__version__, times, most)
"""


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """Give a centre that deletes what it has replaced after a short time."""
    with centre(tmp_path, start=False) as made:
        text = made.config.read_text(encoding="utf-8")
        file = 'file = "trail.duckdb"'
        assert file in text
        made.config.write_text(text.replace(file, f"{file}\ngrace_seconds = 10"), encoding="utf-8")
        made.start_nats()
        made.start_collector()
        yield populate(made)


async def _until(client: str, path: Path, sql: str, wanted: str) -> float:
    """Ask the file until it says what is wanted; return the seconds that took."""
    begun = time.monotonic()
    code = (
        "import duckdb, sys\n"
        "with duckdb.connect(sys.argv[1], read_only=True) as t:\n"
        "    print(t.execute(sys.argv[2]).fetchone()[0])"
    )
    while True:
        asked = await asyncio.create_subprocess_exec(
            *(client, "-c", code, str(path), sql), stdout=subprocess.PIPE, cwd="/"
        )
        out, _ = await asked.communicate()
        if out.decode().strip() == wanted:
            return time.monotonic() - begun
        assert time.monotonic() - begun < 60 * PATIENCE, out
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_clients_of_all_current_versions_read_while_it_is_written(
    people: People, tmp_path: Path, version: str
) -> None:
    """No error, nothing torn, from any directory, while files are made, merged and deleted."""
    client = await asyncio.to_thread(python_with, version, tmp_path)
    path = people.centre.state / "views.duckdb"
    seconds = 20 * PATIENCE
    reading = None
    async with people.host() as host:
        await host.record()
        end = time.monotonic() + seconds + 2
        while time.monotonic() < end:
            hold = await host.open()
            await host.say(state(hold, 1, HoldStateName.HELD))
            await host.events(*[full_row()] * 3)
            await host.events(*[full_row()] * 1100)
            if reading is None and path.exists():
                reading = await asyncio.create_subprocess_exec(
                    *(client, "-c", _CLIENT, str(path), str(seconds)),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                )
            await asyncio.sleep(0.2)
        assert reading is not None
        out, _ = await reading.communicate()
        said = out.decode().split()
        assert reading.returncode == 0, out.decode()
        assert said[0].startswith(version.rstrip("*")) or version == "ours"
        assert int(said[1]) >= 5
        assert int(said[2]) > 1100
        segments = await people.ask("SELECT max(level), count(*) FROM segments")
        assert segments[0][0] >= 1, "nothing was merged while it was read"
        # How far it is behind, from the acknowledgement of JetStream on.
        await host.events({"kind": "exec", "program": "/usr/bin/last"})
        behind = await _until(
            client, path, "SELECT count(*) FROM events WHERE program = '/usr/bin/last'", "1"
        )
        assert behind < BEHIND_S * PATIENCE
        (directory,) = (people.centre.state / "segments").iterdir()
    # What was replaced is gone after its grace; a last merge may come in between.
    for _ in range(600):
        named = {row[0] for row in await people.ask("SELECT file FROM segments")}
        if there_are_only(directory, named):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{sorted(directory.iterdir())} are not only {named}")


def there_are_only(directory: Path, names: set[str]) -> bool:
    """Return whether a directory has exactly these files."""
    return {one.name for one in directory.iterdir()} == names

"""A watched user who tries the same again and again after a denial buries nobody in messages."""

from collections.abc import Iterator

import pytest

from tests.support.accounts import end_processes
from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

LIMIT, TRIES = 5, 60
RULES = """
rules:
  - id: again.denied
    description: Runs what nobody may run.
    severity: high
    match: { exec: { path: "{place}/forbidden" } }
    action: deny
"""
TRY = """
import os
for _ in range({tries}):
    child = os.fork()
    if child == 0:
        os.execv("forbidden", ["forbidden"])
    os.waitpid(child, 0)
"""


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast that denies one program, and tells few denials one by one."""
    with place_for_all() as place:
        (place / "forbidden").write_text("#!/bin/sh\necho it ran >> ran\n")
        (place / "forbidden").chmod(0o755)
        keys = f"denials_per_minute = {LIMIT}\n"
        with house(place, RULES.replace("{place}", str(place)), keys) as built:
            yield built
            end_processes(built.user.pw_uid)


def test_a_program_that_is_denied_in_a_loop_is_killed_each_time_and_told_a_few_times(
    home: House,
) -> None:
    """Every denial is counted in the trail; the rows that say so are few."""
    child = home.start(TRY.format(tries=TRIES))
    assert child.wait(600) == 0
    assert not (home.directory / "ran").exists()
    counted = "FROM events WHERE rule = 'again.denied' AND action = 'deny'"
    home.sql_until(
        f'SELECT coalesce(sum("count"), 0) {counted}', lambda rows: int(rows[0][0]) >= TRIES
    )
    ((denied, rows, folded),) = home.sql(
        f"""SELECT sum("count")::INTEGER, count(*), count(*) FILTER (hold IS NULL) {counted}"""
    )
    print(f"{denied} denials: {rows} rows, {folded} of them of several")
    assert denied == TRIES
    # The bucket fills while the loop runs, so a slow machine tells more of them one by one.
    assert 1 <= folded < rows < TRIES

"""The running collector signs its trail, and who has only its files can check it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.keys import read_signer
from collector.proof.checkpoint import read
from collector.proof.verify.check import verify
from tests.end_to_end.collector.conftest import People, populate
from tests.support.centre import REPOSITORY, centre
from tests.support.wire_host import full_row

pytestmark = pytest.mark.nats


@pytest.fixture
def own(tmp_path: Path) -> Iterator[People]:
    """Give a centre for one test, which signs every second."""
    with centre(tmp_path, start=False) as running:
        config = running.config
        file = tmp_path / "elsewhere.jsonl"
        settings = f'checkpoint_s = 0.5\nanchor_file = "{file}"\n'
        config.write_text(config.read_text().replace("[trail]\n", f"[trail]\n{settings}"))
        running.start_nats()
        running.start_collector()
        yield populate(running)


async def test_a_trail_is_signed_and_checked_while_it_grows_and_after(
    own: People, tmp_path: Path
) -> None:
    """By the views of the running collector, by its file once it is stopped, and by the stream."""
    trusted = frozenset({read_signer(own.centre.state / "keys" / "signing.key").key_id})
    async with own.host() as host:
        for _ in range(3):
            await host.events(full_row(), full_row() | {"kind": "exec"})
        await host.open()
        wanted = "SELECT max(number) > 0 FROM checkpoints"
        await own.ask_until([[True]], wanted)
        signed = "SELECT count(*) FROM batches b JOIN checkpoints c ON contains(c.line, b.chain)"
        assert (await own.ask_until([[3]], signed))[0][0] >= 1
        report = verify(own.centre.state, trusted=trusted)
        assert report.sound, report.findings
        last = (await own.ask("SELECT line FROM checkpoints ORDER BY number DESC LIMIT 1"))[0][0]
    own.centre.stop_collector()
    anchor = tmp_path / "elsewhere.jsonl"
    report = verify(own.centre.state, trusted=trusted, anchors=(anchor,))
    assert report.sound, report.findings
    assert report.anchored.startswith("anchored up to checkpoint")
    assert report.figures["events"] == 6
    words = [sys.executable, "docs/verify.py", str(own.centre.state)]
    ran = await asyncio.to_thread(
        lambda: subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert read(last)[1] in trusted
    assert json.loads(last)["number"] <= report.figures["checkpoints"]

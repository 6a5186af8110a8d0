"""An agent of its own, as far as the kernel side goes: a process that a test can kill.

Run as `python -m tests.support.agent_process PINS UID`. Starts a sensor that watches the user, says
"started", then obeys lines: `open PATH` opens a file and says "opened".
"""

import sys
from pathlib import Path

from agent.sensor.interface import Subject
from rules.load import load
from rules.superset import compile_tables
from tests.support.sensors import MODE, make_sensor


def main() -> None:
    """Start, then do as told."""
    pins, uid, gid, rules = sys.argv[1:]
    assert int(uid) != 0
    sensor = make_sensor(Path(pins))
    subject = Subject(index=1, name="ai", uids=(int(uid),), gids=(int(gid),))
    sensor.start([subject], compile_tables(load([Path(rules)]), MODE))
    print("started", flush=True)
    for line in sys.stdin:
        with Path(line.strip()).open():
            print("opened", flush=True)


if __name__ == "__main__":
    main()

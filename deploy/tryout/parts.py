"""The parts of Holdfast as the try-out starts them: their files, their order, their commands."""

import asyncio
import json
import re
import socket
import string
import sys
from collections.abc import Callable
from pathlib import Path

from collector import config
from collector.enrol import enrol
from collector.identity.people import Role, create_token
from collector.setup import init
from deploy.tryout import places
from deploy.tryout.service import Plan

REVIEWER = "you"
SUBJECT = "ai-worker"
OWNER = "the AI team"
_BIN = Path(sys.executable).parent
_COLLECTOR = places.ROOM / "collector"
_CONFIG = _COLLECTOR / "collector.toml"
_BUNDLE = places.ROOM / "host.toml"
_AGENT = places.ROOM / "agent.toml"
_RULES = places.ROOM / "rules.yaml"
_TEMPLATE = Path(__file__).resolve().parent / "rules.yaml"


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def render_rules(template: str, *, home: Path, outside: str, port: int) -> str:
    """Return the try-out's rule file for this run."""
    return string.Template(template).substitute(home=home, outside=outside, port=port)


def agent_config(*, user: str) -> str:
    """Return agent.toml: everything of the agent in the room, its pins under a name of ours."""
    text = json.dumps
    rules = [str(_RULES), str(places.CHECKOUT / "rules" / "packs")]
    return f"""\
identity = {text(str(_BUNDLE))}
state = {text(str(places.ROOM / "agent"))}
run = {text(str(places.ROOM / "agent-run"))}
bpffs = {text(str(places.PINS))}
cache = {text(str(places.CACHE))}
rules = {text(rules)}

[[subjects]]
name = {text(SUBJECT)}
users = [{text(user)}]
responsible = {text(OWNER)}
"""


def write_files(*, outside_port: int) -> None:
    """Write what the agent reads."""
    rules = render_rules(
        _TEMPLATE.read_text(encoding="utf-8"),
        home=places.USER_HOME,
        outside=places.OUTSIDE,
        port=outside_port,
    )
    _RULES.write_text(rules, encoding="utf-8")
    _AGENT.write_text(agent_config(user=places.USER), encoding="utf-8")


def init_collector() -> None:
    """Make the collector's keys and configuration, and the NATS server's."""
    init(
        _COLLECTOR,
        nats_host="127.0.0.1",
        nats_port=free_port(),
        monitor_port=None,
        api_listen="127.0.0.1:0",
    )


def enrol_host() -> None:
    """Give the agent of this host its identity; takes as long as nats-server takes to know it."""
    enrol(config.load(_CONFIG), name=socket.gethostname(), bundle=_BUNDLE)


def make_token() -> str:
    """Return the token of the person at the terminal."""
    return create_token(
        Path(config.load(_CONFIG).identities.file), name=REVIEWER, role=Role.REVIEWER
    )


NATS = Plan(
    "nats-server",
    (str(_BIN / "nats-server"), "-c", str(_COLLECTOR / "nats" / "nats.conf")),
    re.compile(r"Server is ready"),
)
COLLECTOR = Plan(
    "collector",
    (str(_BIN / "holdfast-collector"), "run", "--config", str(_CONFIG)),
    re.compile(r"\bready api=(http://\S+)"),
)
AGENT = Plan(
    "agent",
    (str(_BIN / "holdfast-agent"), "run", "--config", str(_AGENT), "--unload-on-exit"),
    re.compile(r"\bready host=(\S+)"),
)


class Outside:
    """A listener that stands for an address outside: counts what reaches it, and answers."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._answer, places.OUTSIDE, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            data = await reader.read(1000)
            if data:
                self._on_bytes(len(data))
                writer.write(b"thank you\n")
                await writer.drain()
        except ConnectionError:
            return  # the sender was killed
        finally:
            writer.close()

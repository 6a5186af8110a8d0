"""The official client library of MCP speaks to our server, as it is now and as it was."""

import time
from pathlib import Path
from typing import Literal

import pytest
from mcp import Client, StdioServerParameters

from agent.why.server import SOCKET
from tests.support.centre import REPOSITORY
from tests.unit.agent.test_why import HOOKS, denied, serving
from wire.messages import Ground


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_states_an_intent_and_reads_a_denial(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    """It looks for the newest protocol first, and goes on with one that the server has."""
    async with serving(tmp_path / "why") as site:
        site.denials.look(denied(Ground.TIMEOUT_POLICY), time.time_ns())
        server = StdioServerParameters(
            command="/usr/bin/python3",
            args=[str(HOOKS / "holdfast_mcp.py")],
            env={
                "HOLDFAST_WHY_SOCKET": str(site.directory / SOCKET),
                "PYTHONPATH": str(REPOSITORY),
                "PATH": "/usr/bin:/bin",
            },
            cwd="/",
        )
        async with Client(server, mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["state_intent", "last_denial"]
            noted = await client.call_tool("state_intent", {"why": "to build", "session": "s"})
            assert (noted.is_error, site.claim()) == (False, "to build")
            told = await client.call_tool("last_denial", {})
            assert "Nobody answered in time" in str(told.content)
            assert (await client.call_tool("approve", {})).is_error

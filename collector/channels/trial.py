"""A card that asks nothing, so that whoever sets up a channel sees one before the first request."""

from contextlib import AsyncExitStack

from collector.approvals.record import RequestState
from collector.card import Card, Fact
from collector.channels.interface import Notice
from collector.channels.settings import routes_of
from collector.channels.wiring import links, set_up
from collector.config import Config
from collector.errors import ChannelBusyError, ChannelError, ConfigError
from collector.shown.content import content_of, digest_of
from wire.ids import RequestId, new_id

_CARD = Card(
    title="A test of this channel: nothing waits",
    severity="low",
    state_line="no answer is asked for",
    facts=(Fact("Why", "somebody has run `holdfast-collector try-channel`"),),
    tree=(),
    happened="Nothing has happened, and nothing was stopped.",
    guarantee="The link leads to the page of a request that does not exist.",
    digest="none",
    hidden_bytes=0,
)


async def try_route(config: Config, text: str) -> None:
    """Return once the card is accepted; raise ConfigError with the reason it is not."""
    (route,) = routes_of([text], place="route")
    request = RequestId(new_id())
    notice = Notice(
        request=request,
        nonce=new_id(),
        to=route.to,
        card=_CARD,
        shown=digest_of(content_of(_CARD)),
        state=RequestState.SUPERSEDED,
        outcome=None,
        decision=None,
        votes=(),
        finished=True,
        version=1,
        delivery=new_id(),
        link=links(config)(request),
        buttons=False,
    )
    async with AsyncExitStack() as stack:
        channels = {channel.name: channel for channel in set_up(config, stack)}
        if route.channel not in channels:
            raise ConfigError(
                f"{route}: no channel {route.channel!r} is set up; those that are: "
                f"{', '.join(sorted(channels)) or 'none'}. Add its section to the configuration"
            )
        try:
            await channels[route.channel].post(notice)
        except (ChannelError, ChannelBusyError) as error:
            raise ConfigError(f"{route}: {error}") from error

"""An ask as a request, with the values that a hold has: so everything shows and decides it alike.

The names of an act are taken for what comes nearest: the action is what is run, the resource where.
"""

from wire.acts import Act, Guarantee, Kind, Process, act_digest
from wire.grantable import why_never
from wire.ids import HoldId, HostId
from wire.messages import AskOpened, HoldOpened, RuleFacts

# No host has this id, and no host can be enrolled under this name.
ASK_HOST = HostId("0" * 32)
ASK_HOST_NAME = "(ask)"
_NOBODY = -1
_DESCRIPTION = "Whoever asks this says that they wait for the answer; nothing holds them to it"


def asker(name: str, *, machine: bool) -> str:
    """Return what stands for who asks: a person and a machine of one name are two."""
    return f"{'machine' if machine else 'person'}:{name}"


def as_opened(ask: AskOpened) -> HoldOpened:
    """Return the request that an ask opens; the same for the same ask, whoever makes it."""
    act = Act(
        kind=Kind.ASK,
        guarantee=Guarantee.ASKED,
        time_ns=ask.opened_ns,
        boot_ns=0,
        subject=ask.by,
        session=asker(ask.by, machine=ask.machine),
        process=Process(pid=0, start_ns=0, comm="", uid=_NOBODY),
        tid=0,
        gid=_NOBODY,
        user=ask.by,
        executable=ask.action,
        environment=ask.details or None,
        path=ask.resource,
    )
    return HoldOpened(
        hold=HoldId(ask.request),
        host=ASK_HOST,
        host_name=ASK_HOST_NAME,
        boot_id="",
        opened_ns=ask.opened_ns,
        deadline_boot_ns=0,
        deadline_ns=ask.deadline_ns,
        rule=RuleFacts(id=f"ask.{ask.action}", description=_DESCRIPTION, severity=ask.severity),
        owner=ask.owner,
        act=act,
        digest=act_digest(act),
        claim=ask.why,
        claim_ns=ask.opened_ns if ask.why else 0,
        not_grantable=why_never(act) or "",
    )

"""The page on which a person says that an account of a channel is theirs."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from collector.api.services import address_of
from collector.web.desk import DeskDep, FormDep, PersonDep
from collector.web.pages import Notice

router = APIRouter(include_in_schema=False)


@router.get("/auth/link")
async def link_page(desk: DeskDep, session: PersonDep, code: str = "") -> Response:
    """Ask whether the account that a channel has given this link to is the reader's own."""
    claimed = await desk.services.signing_in.links.claimed(code)
    return desk.pages.render("link", session=session, claimed=claimed, code=code)


@router.post("/auth/link")
async def link(
    request: Request, desk: DeskDep, session: FormDep, code: Annotated[str, Form()] = ""
) -> Response:
    """Make the account the reader's."""
    links = desk.services.signing_in.links
    claimed = await links.finish_link(code, session.caller, address=address_of(request))
    notice = Notice(
        "The account is yours now", "Go back to the channel and answer there.", good=True
    )
    return desk.pages.render("link", session=session, claimed=claimed, code="", notice=notice)

"""Signs in through the identity provider: the person opens its page on any device of theirs."""

import time
from urllib.parse import urlsplit

from collector.cli.client import Centre
from collector.cli.errors import AccessError, CliError, NotFoundError
from collector.cli.run import Run
from collector.cli.settings import Access

_MOST_WAIT_S = 60


def offers_sign_in(url: str) -> bool:
    """Say whether the centre has an identity provider; an older one has no such question."""
    with Centre(Access(url, "", "nobody")) as centre:
        try:
            return centre.get("/auth").get("identity_provider") is True
        except (NotFoundError, AccessError):
            return False
        except CliError as error:
            if error.code in ("not_found", "not_holdfast"):
                return False
            raise


def sign_in(run: Run, url: str) -> str:
    """Return the token of whoever signs in; the address and code to open are on standard error."""
    with Centre(Access(url, "", "nobody")) as centre:
        begun = centre.post("/auth/device", {}, changes=False)
        _show(run, begun)
        over = time.monotonic() + int(begun["expires_s"])
        wait_s = int(begun["interval_s"])
        while time.monotonic() < over:
            time.sleep(max(1, min(wait_s, _MOST_WAIT_S)))
            state = centre.post("/auth/device/token", {"handle": begun["handle"]}, changes=False)
            if state["signed_in"]:
                return str(state["token"])
            wait_s = int(state["wait_s"])
    raise AccessError(
        "sign_in_over", "nobody signed in within the time", "run `holdfast login` again"
    )


def _show(run: Run, begun: dict[str, object]) -> None:
    """The centre's words are checked again: what is shown here gets opened, and typed."""
    from collector.sanitize import visible

    whole = str(begun["verification_uri_complete"] or begun["verification_uri"])
    for address in (whole, str(begun["verification_uri"])):
        if urlsplit(address).scheme not in ("https", "http"):
            raise AccessError(
                "not_holdfast",
                "the centre names no address to sign in at",
                "see that --url or HOLDFAST_URL is the address of the collector",
            )
    # Also with --json: there is no other way to go on.
    run.errors.print(
        f"To sign in, open  {visible(whole)}\n"
        f"or  {visible(str(begun['verification_uri']))}  and type the code  "
        f"{visible(str(begun['user_code']))}",
        soft_wrap=True,
    )

"""Whether a proof of who someone is, is fresh enough for what they are about to decide. Pure."""

from collector.errors import Refusal
from collector.identity.people import Caller
from collector.oidc.settings import Oidc
from wire.messages import Severity

STEP_UP_PATH = "/auth/login?step_up=1"


def fresh_enough(caller: Caller, severity: Severity, settings: Oidc, now_ns: int) -> bool:
    """Say whether the caller has proved who they are to the provider lately enough.

    A token that an administrator made is no such proof, however new. Without a provider there is
    nothing to ask for.
    """
    longest_s = settings.step_up_max_age_s.get(severity)
    if not settings.issuer or longest_s is None:
        return True
    if caller.authenticated_ns is None:
        return False
    return 0 <= now_ns - caller.authenticated_ns <= longest_s * 10**9


def check_fresh(
    caller: Caller, severity: Severity, settings: Oidc, now_ns: int, *, what: str = ""
) -> None:
    """Raise Refusal, which says how to prove it again, unless the proof is fresh enough.

    `what` says what is about to be done, if it is not to decide a request of that severity.
    """
    if fresh_enough(caller, severity, settings, now_ns):
        return
    longest_s = settings.step_up_max_age_s[severity]
    raise Refusal(
        403,
        "step_up_required",
        f"{what or f'a request of severity {severity.value} is decided'} within {longest_s} s of "
        "signing in, and the last time that you proved who you are is longer ago, or not known",
        "sign in again in the browser, or with `holdfast login`, then try again",
        {"sign_in": STEP_UP_PATH, "max_age_s": longest_s},
    )

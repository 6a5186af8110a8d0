"""What a person is told when a sign-in does not succeed. Nobody is let in by any of these."""

from collector.errors import Refusal


def provider_unavailable(why: str) -> Refusal:
    """Return the refusal for a provider that cannot be asked, or does not answer as it must."""
    return Refusal(
        502,
        "provider_unavailable",
        f"the identity provider cannot be used: {why}",
        "try again; if it stays so, have an administrator see docs/sign-in.md",
    )


def not_proved(why: str) -> Refusal:
    """Return the refusal for an answer of the provider that does not prove who someone is."""
    return Refusal(
        403,
        "sign_in_failed",
        f"the sign-in proves nobody: {why}",
        "sign in again; if it stays so, have an administrator see docs/sign-in.md",
    )


def not_offered() -> Refusal:
    """Return the refusal where no provider is configured."""
    return Refusal(
        404,
        "no_identity_provider",
        "this collector has no identity provider",
        "use a token of `holdfast-collector token create`, or set up [oidc]: docs/sign-in.md",
    )

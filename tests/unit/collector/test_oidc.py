"""What claims make of a person, when a proof is fresh, and which settings cannot be meant."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load
from collector.errors import ConfigError, Refusal
from collector.identity.people import Caller
from collector.identity.roles import Role
from collector.oidc.claims import identity_of, lacks
from collector.oidc.provider import Provider
from collector.oidc.settings import Oidc, is_safe_url
from collector.oidc.sign_in import local_path
from collector.oidc.step_up import check_fresh, fresh_enough
from wire.messages import Severity

NOW_S = 1_800_000_000
SETTINGS = Oidc(
    issuer="https://id.example.com",
    client_id="holdfast",
    roles={"sre": Role.REVIEWER, "security": Role.ADMIN, "staff": Role.VIEWER},
)
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.com",
    "sub": "1",
    "email": "ann@example.com",
    "email_verified": True,
    "groups": ["sre"],
}


def test_the_highest_role_of_all_groups_counts() -> None:
    """In whatever order the provider lists them."""
    for groups in (["staff", "security", "sre"], ["security", "staff"]):
        assert identity_of({**CLAIMS, "groups": groups}, SETTINGS, NOW_S).role is Role.ADMIN
    assert identity_of({**CLAIMS, "groups": "sre"}, SETTINGS, NOW_S).role is Role.REVIEWER


def test_without_a_group_the_default_role_or_nobody() -> None:
    """Refused unless an administrator has said otherwise."""
    with pytest.raises(Refusal, match="no group") as refused:
        identity_of({**CLAIMS, "groups": ["x"]}, SETTINGS, NOW_S)
    assert refused.value.extra["groups"] == ["x"]
    settings = replace(SETTINGS, default_role="viewer")
    assert identity_of({**CLAIMS, "groups": ["x"]}, settings, NOW_S).role is Role.VIEWER


def test_groups_that_were_left_out_for_their_number_are_no_empty_list() -> None:
    """Entra does that; a default role must not hide it."""
    claims = {**CLAIMS, "_claim_names": {"groups": "src1"}}
    del claims["groups"]
    with pytest.raises(Refusal, match="too many groups"):
        identity_of(claims, replace(SETTINGS, default_role="viewer"), NOW_S)


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["security"]}}),
        ("https://example.com/groups", {"https://example.com/groups": ["security"]}),
        ("roles", {"roles": ["security"]}),
    ],
)
def test_a_claim_is_named_whole_or_by_a_path(claim: str, claims: dict[str, Any]) -> None:
    """Keycloak nests them, others use addresses, which have dots as well."""
    settings = replace(SETTINGS, groups_claim=claim)
    assert identity_of({**CLAIMS, **claims}, settings, NOW_S).role is Role.ADMIN
    assert lacks(CLAIMS, settings)
    assert not lacks({**CLAIMS, **claims}, settings)


def test_login_users_come_from_a_claim_and_from_the_settings() -> None:
    """Names are compared without regard to case; each login user once."""
    settings = replace(
        SETTINGS,
        logins_claim="unix",
        logins={"ANN@example.com": ("ann", "ann-admin"), "bob@example.com": ("bob",)},
    )
    found = identity_of({**CLAIMS, "unix": "ann"}, settings, NOW_S)
    assert found.logins == ("ann", "ann-admin")


@pytest.mark.parametrize("verified", [True, "true", None])
def test_an_address_may_be_verified_or_not_spoken_of(verified: object) -> None:
    """Some providers have no such claim, and some write it as text."""
    claims = {**CLAIMS, "email_verified": verified}
    assert identity_of(claims, SETTINGS, NOW_S).name == "ann@example.com"


@pytest.mark.parametrize("verified", [False, "false", "", 0, 1.5, [], "yes"])
def test_any_other_word_about_an_address_is_a_no(verified: object) -> None:
    """What is not understood does not let anyone in."""
    with pytest.raises(Refusal) as refused:
        identity_of({**CLAIMS, "email_verified": verified}, SETTINGS, NOW_S)
    assert refused.value.code == "email_unverified"


@given(
    st.dictionaries(
        st.sampled_from(["email", "email_verified", "groups", "name", "auth_time", "_claim_names"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_whatever_the_claims_are_it_is_a_person_or_a_refusal(claims: dict[str, Any]) -> None:
    """And a person has a usable name and a role of a mapped group."""
    try:
        found = identity_of({**CLAIMS, **claims}, SETTINGS, NOW_S)
    except Refusal:
        return
    assert found.name.isprintable() and found.name.strip()
    assert any(group in SETTINGS.roles for group in found.groups)
    assert 0 <= found.authenticated_ns <= NOW_S * 10**9


def _caller(authenticated_ns: int | None) -> Caller:
    return Caller("ann", Role.ADMIN, (), "t", authenticated_ns=authenticated_ns)


@pytest.mark.parametrize(
    ("age_s", "severity", "fresh"),
    [
        (0, Severity.CRITICAL, True),
        (300, Severity.CRITICAL, True),
        (301, Severity.CRITICAL, False),
        (301, Severity.HIGH, True),
        (901, Severity.HIGH, False),
        (90_000, Severity.MEDIUM, True),
        (None, Severity.MEDIUM, True),
        (None, Severity.HIGH, False),
        (-1, Severity.HIGH, False),
    ],
)
def test_what_matters_most_wants_a_fresh_proof(
    age_s: int | None, severity: Severity, fresh: bool
) -> None:
    """No known proof is none, and neither is one of the future."""
    now_ns = NOW_S * 10**9
    caller = _caller(None if age_s is None else now_ns - age_s * 10**9)
    assert fresh_enough(caller, severity, SETTINGS, now_ns) is fresh
    assert fresh_enough(caller, severity, Oidc(), now_ns), "nothing to ask for without a provider"
    if fresh:
        check_fresh(caller, severity, SETTINGS, now_ns)
        return
    with pytest.raises(Refusal) as refused:
        check_fresh(caller, severity, SETTINGS, now_ns)
    assert refused.value.code == "step_up_required"
    assert refused.value.extra["sign_in"] == "/auth/login?step_up=1"
    assert "holdfast login" in refused.value.remedy


@given(st.text(alphabet=st.sampled_from("/\\:@?#.ah \t\n%\u2044")))
def test_no_target_leads_to_another_site(target: str) -> None:
    """What passes is a path, whatever a browser makes of slashes and blanks."""
    try:
        found = local_path(target)
    except Refusal:
        return
    assert found.startswith("/") and not found.startswith("//")
    assert not set(found) & set("\\\t\n\u2044")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example.com/realms/x", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:1", True),
        ("http://id.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://user@id.example.com", False),
        ("https://", False),
        ("https://id.example.com:x", False),
        ("javascript:alert(1)", False),
        ("https://id.example.com\\@evil", False),
        ("https://id exam", False),
    ],
)
def test_secrets_go_by_https_or_stay_on_this_machine(url: str, safe: bool) -> None:
    """For the issuer, and for each address that it names."""
    assert is_safe_url(url) is safe


GOOD = {
    "issuer": '"https://id.example.com"',
    "client_id": '"holdfast"',
    "roles": '{ "sre" = "reviewer" }',
}


def _file(directory: Path, keys: dict[str, str], web: str = "https://h.example.com") -> Path:
    section = "\n".join(f"{key} = {value}" for key, value in keys.items())
    path = directory / "collector.toml"
    path.write_text(
        '[nats]\nurl = "nats://127.0.0.1"\nseed_file = "s"\n[signing]\nkey_file = "k"\n'
        '[trail]\nfile = "t"\n[identities]\nfile = "i"\n'
        f'[web]\npublic_url = "{web}"\n[oidc]\n{section}\n',
        encoding="utf-8",
    )
    return path


def test_the_settings_are_read(tmp_path: Path) -> None:
    """Paths are relative to the file; what is not written has its default."""
    keys = {**GOOD, "client_secret_file": '"secret"', "step_up_max_age_s": "{ low = 60 }"}
    settings = load(_file(tmp_path, keys)).oidc
    assert settings.client_secret_file == str(tmp_path / "secret")
    assert settings.roles == {"sre": Role.REVIEWER}
    assert (settings.step_up_max_age_s, settings.strictest_age_s) == ({Severity.LOW: 60}, 60)
    assert load(_file(tmp_path, {})).oidc == Oidc()


@pytest.mark.parametrize(
    ("changes", "web", "words"),
    [
        ({"issuer": '""'}, "https://h.example.com", "issuer is empty"),
        ({"issuer": '"http://id.example.com"'}, "https://h.example.com", "oidc.issuer"),
        ({"issuer": '"https://id.example.com/?x"'}, "https://h.example.com", "oidc.issuer"),
        ({}, "", "web.public_url"),
        ({"client_id": '""'}, "https://h.example.com", "client_id is empty"),
        ({"scopes": '["email"]'}, "https://h.example.com", "openid"),
        ({"name_claim": '""'}, "https://h.example.com", "name_claim"),
        ({"groups_claim": '""'}, "https://h.example.com", "groups_claim"),
        ({"roles": "{}"}, "https://h.example.com", "nobody could sign in"),
        ({"roles": '{ "x" = "king" }'}, "https://h.example.com", "king"),
        ({"default_role": '"king"'}, "https://h.example.com", "is no role"),
        ({"session_hours": "0"}, "https://h.example.com", "session_hours"),
        ({"session_hours": "nan"}, "https://h.example.com", "session_hours"),
        ({"known_days": "1e9"}, "https://h.example.com", "known_days"),
        ({"step_up_max_age_s": "{ high = 0 }"}, "https://h.example.com", "step_up_max_age_s.high"),
        ({"step_up_max_age_s": "{ hihg = 60 }"}, "https://h.example.com", "hihg"),
        ({"isuer": '"x"'}, "https://h.example.com", "oidc.isuer is not a key"),
    ],
)
def test_settings_that_cannot_be_meant_are_one_error(
    tmp_path: Path, changes: dict[str, str], web: str, words: str
) -> None:
    """It names the file and the key."""
    path = _file(tmp_path, {**GOOD, **changes}, web)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("", "no secret"), ("a\nb", "no secret")]
)
def test_a_secret_that_cannot_be_used_is_one_error(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """At the start, not at the first sign-in."""
    if content is not None:
        (tmp_path / "secret").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        Provider(replace(SETTINGS, client_secret_file=str(tmp_path / "secret")))
    with pytest.raises(ConfigError, match="tls_ca"):
        Provider(replace(SETTINGS, tls_ca=str(tmp_path / "missing.pem")))

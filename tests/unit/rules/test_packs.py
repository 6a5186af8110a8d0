"""Every pack loads without a finding, and every rule's examples are what they say."""

from pathlib import Path

import pytest

from rules.examples import check, parse
from rules.load import PACKS, load
from rules.match import decide
from rules.model import Action, Rule

FILES = sorted(PACKS.glob("*.yaml"))
ALL = load([PACKS])
EVERYDAY = """
exec: /usr/bin/git status
exec: /usr/bin/git commit -am 'Fix'
exec: /bin/bash -c 'cd /srv/app && npm test 2>&1 | tail -50'
exec: program=/usr/bin/node /usr/bin/npm run build
exec: /usr/bin/python3 -m pytest -q
exec: /usr/bin/gcc -O2 -c main.c
exec: /usr/bin/rg -n TODO
exec: /usr/bin/curl -s http://localhost:8080/health
exec: /usr/bin/chmod +x run.sh
exec: /home/ai/.cargo/bin/cargo test
exec: /usr/bin/ps aux
exec: /bin/bash -c -l "source /home/ai/.snapshot && eval 'curl -s http://localhost:3000/'"
exec: /bin/bash -c "diff <(curl -s http://localhost:1/a) <(curl -s http://localhost:1/b)"
exec: /bin/bash -c 'for f in *.sh; do shellcheck $f; done'
exec: /usr/bin/kubectl get pods
open: /etc/ld.so.cache
open: /usr/lib/x86_64-linux-gnu/libc.so.6
open: /usr/lib/locale/locale-archive
open: /etc/passwd
open: /etc/nsswitch.conf
open: /etc/hosts
open: /etc/resolv.conf
open: /etc/ssl/certs/ca-certificates.crt
open: /etc/ssl/openssl.cnf
open: /srv/venv/lib/python3.11/site-packages/certifi/cacert.pem
open: /proc/4711/status
open: /proc/meminfo
open: /dev/null write
open: /dev/urandom
open: /dev/tty read write
open: /tmp/x write create truncate
open: /srv/app/src/main.py read write create
open: /srv/app/package.json
open: /home/ai/.gitconfig
open: /home/ai/.npmrc
open: /home/ai/.bash_history write append
open: /home/ai/.ssh/known_hosts
open: /home/ai/.cache/pip/http/a/b write create
connect: 127.0.0.1:5432 tcp
connect: 127.0.0.53:53 udp
connect: 10.0.0.2:53 udp
connect: 203.0.113.53:53 udp
connect: 203.0.113.80:0 udp
connect: [::1]:3000 tcp
connect: 10.0.0.8:3128 tcp
connect: unix:/run/nscd/socket
connect: unix:/run/systemd/resolve/io.systemd.Resolve
connect: unix:/tmp/.X11-unix/X0
send: unix:/dev/log
send: unix:/run/systemd/journal/socket
create: /srv/app/build/x.o
create: /tmp/x directory
truncate: /srv/app/build/x.o to 0 bytes
delete: /srv/app/build/x.o
delete: /tmp/x directory
rename: /srv/app/src/.main.py.swp -> /srv/app/src/main.py
rename: /srv/app/.git/index.lock -> /srv/app/.git/index
link: /home/ai/.cache/pnpm/a -> /srv/app/node_modules/a
symlink: /srv/app/node_modules/.bin/x -> ../x/x.js
chmod: /srv/app/run.sh 0755
chown: /srv/app/run.sh -:1000
listen: 127.0.0.1:3000
listen: 0.0.0.0:8080
listen: unix:/tmp/x.sock
identity: setuid 1000
"""


def test_all_packs_load_together_without_a_finding() -> None:
    """Who installs the packs sees no warning that is not about their own rules."""
    assert [str(finding) for finding in ALL.warnings] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_a_pack_loads_alone(file: Path) -> None:
    """Each theme can be installed without the others."""
    assert load([file]).rules


@pytest.mark.parametrize("rule", ALL.rules, ids=lambda rule: str(rule.id))
def test_every_rule_is_shown_by_examples_that_hold(rule: Rule) -> None:
    """A reader sees at least one act that the rule is about and one that it is not."""
    assert rule.examples.match and rule.examples.no_match
    wrong = [str(finding) for finding in check(ALL) if finding.rule == rule.id]
    assert wrong == []


@pytest.mark.parametrize("rule", ALL.rules, ids=lambda rule: str(rule.id))
def test_ids_begin_with_the_theme_of_their_file(rule: Rule) -> None:
    """Who sees an id on a card knows which file to open."""
    assert rule.id.partition(".")[0] == Path(rule.origin.file).stem


@pytest.mark.parametrize("line", EVERYDAY.strip().splitlines())
def test_everyday_work_of_a_coding_agent_is_never_asked_about(line: str) -> None:
    """Building, testing, editing, resolving names and talking to local services just run."""
    assert decide(ALL, parse(line)).action in (None, Action.OBSERVE)

#!/bin/sh
# Sets up the agent on a host to be watched, on Debian 12 or RHEL 9's family.
# Safe to run again: the configuration that is there is kept, the software is brought up to date.
#
#   agent.sh --bundle FILE.tar --user NAME [--owner NAME]
#
# FILE.tar is what enrol.sh has made on the collector for this host. NAME is the user that the AI
# service runs as; more users, groups and cgroups go into /etc/holdfast/agent.toml.
set -eu
# shellcheck source=deploy/provision/common.sh
. "$(dirname -- "$0")/common.sh"

BUNDLE=
WATCHED=
OWNER=

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage "$0" ;;
    --bundle) value "$@" && BUNDLE=$2 && shift 2 ;;
    --user) value "$@" && WATCHED=$2 && shift 2 ;;
    --owner) value "$@" && OWNER=$2 && shift 2 ;;
    *) fail "unknown argument $1; usage: agent.sh --bundle FILE.tar --user NAME [--owner NAME]" ;;
    esac
done
[ -n "$WATCHED" ] || [ -e /etc/holdfast/agent.toml ] || fail "say who is watched: --user NAME"
case $WATCHED$OWNER in
*[\"\\]*) fail "--user and --owner are plain names" ;;
esac
need_root
[ -r /sys/kernel/btf/vmlinux ] || fail "this kernel has no /sys/kernel/btf/vmlinux; it needs CONFIG_DEBUG_INFO_BTF=y"

join_centre() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    tar -xf "$BUNDLE" -C "$work" host.toml ca.pem
    install -m 0644 "$work/ca.pem" /etc/holdfast/nats-ca.pem
    $PREFIX/bin/holdfast-agent join "$work/host.toml"
}

write_configuration() {
    if [ -e /etc/holdfast/agent.toml ]; then
        return
    fi
    cat >/etc/holdfast/agent.toml <<EOF
# Every key is explained in docs/agent.md.
identity = "/etc/holdfast/host.toml"
rules = ["/etc/holdfast/rules"]

[[subjects]]
name = "$WATCHED"
users = ["$WATCHED"]
responsible = "$OWNER"
EOF
    chmod 0600 /etc/holdfast/agent.toml
}

say "packages"
install_packages "python3-bpfcc libbpf1 bpftool python3-venv" \
    "python3-bcc libbpf bpftool python3.11 python3.11-pip"
say "Holdfast in $PREFIX"
install_holdfast ""
install -d -m 0755 /etc/holdfast
if [ ! -d /etc/holdfast/rules ]; then
    say "the rule packs, yours to edit, in /etc/holdfast/rules"
    install -d -m 0755 /etc/holdfast/rules
    install -m 0644 "$CHECKOUT"/rules/packs/*.yaml /etc/holdfast/rules/
fi
if [ -n "$BUNDLE" ]; then
    say "join the centre"
    join_centre
fi
write_configuration
say "service"
install_unit holdfast-agent.service
# The authority of the collector's NATS server is trusted by the agent alone, not by the machine.
install -d -m 0755 /etc/systemd/system/holdfast-agent.service.d
printf '[Service]\nEnvironment=SSL_CERT_FILE=/etc/holdfast/nats-ca.pem\n' \
    >/etc/systemd/system/holdfast-agent.service.d/tls.conf
systemctl daemon-reload
systemctl enable --quiet holdfast-agent.service
systemctl restart holdfast-agent.service
ln -sf $PREFIX/bin/holdfast-agent /usr/local/bin/
echo "The agent runs; see: journalctl -u holdfast-agent, and on the collector: holdfast hosts"

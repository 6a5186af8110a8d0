#!/bin/sh
# On the collector: makes what a host needs to join, in one file that is a secret.
#
#   enrol.sh HOST-NAME [ADDRESS]
#
# Writes /var/lib/holdfast-collector/bundles/HOST-NAME.tar with host.toml and ca.pem, for agent.sh.
set -eu
# shellcheck source=deploy/provision/common.sh
. "$(dirname -- "$0")/common.sh"

STATE=/var/lib/holdfast-collector
[ $# -ge 1 ] || fail "usage: enrol.sh HOST-NAME [ADDRESS]"
case $1 in
-h | --help) usage "$0" ;;
'' | *[!A-Za-z0-9._-]* | .* | -*) fail "$1 is not the name of a host" ;;
esac
need_root
# The address that NATS was told to listen on, unless hosts reach it by another one.
ADDRESS=${2:-$(sed -n 's/^host: "\(.*\)"$/\1/p' $STATE/nats/nats.conf)}
[ -n "$ADDRESS" ] || fail "$STATE/nats/nats.conf names no host; run collector.sh first"

umask 077
work=$(runuser -u holdfast -- mktemp -d)
trap 'rm -rf "$work"' EXIT
runuser -u holdfast -- env SSL_CERT_FILE="$STATE/nats/tls/ca.pem" \
    $PREFIX/bin/holdfast-collector enroll "$1" --out "$work/host.toml" \
    --nats-url "tls://$ADDRESS:4222" --config "$STATE/collector.toml"
cp "$STATE/nats/tls/ca.pem" "$work/ca.pem"
install -d -m 0700 "$STATE/bundles"
tar -C "$work" -cf "$STATE/bundles/$1.tar" host.toml ca.pem
echo "$STATE/bundles/$1.tar"

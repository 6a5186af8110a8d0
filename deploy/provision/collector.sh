#!/bin/sh
# Sets up a collector, and the NATS server that its hosts speak to, on Debian 12 or RHEL 9's family.
# Safe to run again: what is there is kept, the software is brought up to date.
#
#   collector.sh --address ADDRESS [--name DNS-NAME] [--nats-version VERSION]
#
# ADDRESS is where hosts reach NATS (TLS, port 4222). The API stays on loopback, port 8420.
set -eu
# shellcheck source=deploy/provision/common.sh
. "$(dirname -- "$0")/common.sh"

STATE=/var/lib/holdfast-collector
TLS=$STATE/nats/tls
ADDRESS=
NAME=$(hostname)
NATS_VERSION=2.15.1

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage "$0" ;;
    --address) value "$@" && ADDRESS=$2 && shift 2 ;;
    --name) value "$@" && NAME=$2 && shift 2 ;;
    --nats-version) value "$@" && NATS_VERSION=$2 && shift 2 ;;
    *) fail "unknown argument $1; usage: collector.sh --address ADDRESS [--name DNS-NAME]" ;;
    esac
done
[ -n "$ADDRESS" ] || fail "give the address that hosts reach: --address ADDRESS"
need_root

as_holdfast() {
    runuser -u holdfast -- env SSL_CERT_FILE="$TLS/ca.pem" "$@"
}

install_nats_server() {
    if [ -x /usr/local/bin/nats-server ]; then
        return
    fi
    case $(uname -m) in
    x86_64) machine=amd64 ;;
    aarch64) machine=arm64 ;;
    *) fail "NATS has no release for $(uname -m) that this script knows; install nats-server first" ;;
    esac
    file=nats-server-v$NATS_VERSION-linux-$machine.tar.gz
    from=https://github.com/nats-io/nats-server/releases/download/v$NATS_VERSION
    work=$(mktemp -d)
    curl -fsSL --retry 3 -o "$work/$file" "$from/$file"
    curl -fsSL --retry 3 -o "$work/SHA256SUMS" "$from/SHA256SUMS"
    (cd "$work" && grep " $file\$" SHA256SUMS | sha256sum --check --quiet --strict) ||
        fail "$file is not what NATS's SHA256SUMS says; nothing was installed"
    tar -xzf "$work/$file" -C "$work" --strip-components=1
    install -m 0755 "$work/nats-server" /usr/local/bin/nats-server
    rm -rf "$work"
}

# A certificate authority for this NATS server alone. Sites with their own put ca.pem, server.pem
# and server.key into place before they run this.
make_certificates() {
    if [ -e "$TLS/server.pem" ]; then
        return
    fi
    install -d -o holdfast -g holdfast -m 0700 "$TLS"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=Holdfast NATS authority" -addext "basicConstraints=critical,CA:TRUE" \
        -keyout "$TLS/ca.key" -out "$TLS/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$NAME" \
        -keyout "$TLS/server.key" -out "$TLS/server.csr" 2>/dev/null
    case $ADDRESS in
    *[!0-9.:a-fA-F]*) where="DNS:$ADDRESS" ;;
    *) where="IP:$ADDRESS" ;;
    esac
    printf 'subjectAltName=DNS:%s,DNS:localhost,IP:127.0.0.1,%s\n' "$NAME" "$where" >"$TLS/names"
    openssl x509 -req -in "$TLS/server.csr" -CA "$TLS/ca.pem" -CAkey "$TLS/ca.key" \
        -CAcreateserial -days 825 -extfile "$TLS/names" -out "$TLS/server.pem" 2>/dev/null
    rm -f "$TLS/server.csr" "$TLS/names"
    chown -R holdfast:holdfast "$TLS"
    chmod 0600 "$TLS"/*.key
}

require_tls() {
    if [ -e "$STATE/nats/tls.conf" ]; then
        return
    fi
    install -o holdfast -g holdfast -m 0600 "$CHECKOUT/deploy/nats/tls.conf" "$STATE/nats/"
    echo 'include "tls.conf"' | as_holdfast tee -a "$STATE/nats/nats.conf" >/dev/null
    sed -i 's|^url = "nats://|url = "tls://|; /^url = /a tls_ca = "nats/tls/ca.pem"' \
        "$STATE/collector.toml"
}

say "packages"
install_packages "python3-venv openssl curl ca-certificates" "python3.11 python3.11-pip openssl"
say "the user holdfast"
getent passwd holdfast >/dev/null ||
    useradd --system --user-group --home-dir "$STATE" --shell /usr/sbin/nologin holdfast
install -d -o holdfast -g holdfast -m 0700 "$STATE"
say "Holdfast in $PREFIX"
install_holdfast "[collector]"
say "nats-server $NATS_VERSION"
install_nats_server
say "keys and configuration in $STATE"
as_holdfast $PREFIX/bin/holdfast-collector init --state "$STATE" --nats-host "$ADDRESS" \
    --nats-port 4222 --api-listen 127.0.0.1:8420
make_certificates
require_tls
say "services"
install_unit holdfast-nats.service
install_unit holdfast-collector.service
systemctl enable --quiet holdfast-nats.service holdfast-collector.service
systemctl restart holdfast-nats.service holdfast-collector.service
ln -sf $PREFIX/bin/holdfast $PREFIX/bin/holdfast-collector /usr/local/bin/
cat <<EOF
The collector runs. Next:
  deploy/provision/enrol.sh HOST-NAME     makes the bundle of a host
  sudo -u holdfast holdfast-collector token create --name YOU --role reviewer --login YOU \\
      --config $STATE/collector.toml      makes your token
EOF

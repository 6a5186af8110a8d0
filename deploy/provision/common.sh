# What both provisioning scripts share. Sourced, never run.
# shellcheck shell=sh

PREFIX=/opt/holdfast
CHECKOUT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# usage SCRIPT: print what the head of a script says of it
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"
    exit 0
}

# value OPTION [ARGUMENT]...: check that an option has a value
value() {
    case ${2-} in
    '' | -*) fail "$1 needs a value, see --help" ;;
    esac
}

say() {
    echo "== $*"
}

need_root() {
    [ "$(id -u)" -eq 0 ] || fail "needs root; run it with sudo"
    [ -r /etc/os-release ] || fail "/etc/os-release is missing; which system is this?"
    # shellcheck disable=SC1091
    . /etc/os-release
    case " ${ID:-} ${ID_LIKE:-} " in
    *" debian "*) FAMILY=debian ;;
    *" rhel "* | *" fedora "*) FAMILY=rhel ;;
    *) fail "${PRETTY_NAME:-this system} is neither of Debian's nor of RHEL's family; see docs/install.md" ;;
    esac
}

# install_packages "debian names" "rhel names"
install_packages() {
    case $FAMILY in
    debian)
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        # shellcheck disable=SC2086
        apt-get -qq -y --no-install-recommends install $1
        ;;
    rhel)
        # shellcheck disable=SC2086
        dnf -q -y install $2
        ;;
    esac
}

# The newest Python that Holdfast runs on; RHEL 9's own is 3.9, and 3.11 is packaged beside it.
python() {
    for name in python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "no Python 3.11 or later was found"
}

# install_holdfast "" or install_holdfast "[collector]": an environment of its own, nothing shared
install_holdfast() {
    [ -x $PREFIX/bin/python ] || "$(python)" -m venv $PREFIX
    $PREFIX/bin/python -m pip -q install --disable-pip-version-check "$CHECKOUT$1"
}

# install_unit NAME: put a unit of deploy/systemd in place
install_unit() {
    install -m 0644 "$CHECKOUT/deploy/systemd/$1" /etc/systemd/system/
    systemctl daemon-reload
}

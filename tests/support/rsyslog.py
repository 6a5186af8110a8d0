"""A real rsyslog on loopback, run as an ordinary child with a configuration of its own.

with rsyslog(tmp_path, "tcp") as far:
    ... send to f"127.0.0.1:{far.port}" ...
    found = far.messages()
"""

import datetime as dt
import ipaddress
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.centre import free_port

_TEMPLATE = (
    "%syslogfacility-text%|%syslogseverity-text%|%hostname%|%app-name%|%msgid%|"
    "%structured-data%|%timereported:::date-rfc3339%|%msg%\\n"
)
_WAIT_S = 30


@dataclass(frozen=True)
class Message:
    """One message, as rsyslog has read it."""

    facility: str
    severity: str
    host: str
    application: str
    name: str
    data: str
    time: str
    text: str

    @property
    def json(self) -> Any:
        """The record."""
        return json.loads(self.text)

    @property
    def number(self) -> int:
        """The number of the record."""
        return int(self.data.removeprefix('[meta sequenceId="').removesuffix('"]'))


class Rsyslog:
    """A configuration, its files, and the process while it runs."""

    def __init__(self, directory: Path, transport: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.transport = directory, transport
        self.port = free_port()
        self.output = directory / "out.log"
        self.ca = directory / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and wait until it listens."""
        program = shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd")
        if program is None:
            pytest.skip("needs rsyslog: sudo tests/run --only unit")
        config = self.directory / "rsyslog.conf"
        config.write_text(self._config())
        with (self.directory / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-n", "-f", str(config), "-i", str(self.directory / "pid")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _WAIT_S
        listening = f"{self.port:04X}"
        table = Path("/proc/net/udp" if self.transport == "udp" else "/proc/net/tcp")
        while f":{listening} " not in table.read_text():
            assert self._process.poll() is None, (self.directory / "rsyslog.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_WAIT_S)
            self._process = None

    def messages(self, count: int = 0) -> list[Message]:
        """Return what came, once there are so many."""
        until = time.monotonic() + _WAIT_S
        while True:
            text = self.output.read_text() if self.output.exists() else ""
            lines = text.split("\n")[:-1]
            if len(lines) >= count:
                return [Message(*line.split("|", 7)) for line in lines]
            assert time.monotonic() < until, f"{len(lines)} messages, not {count}: {text[-2000:]}"
            time.sleep(0.02)

    def _config(self) -> str:
        kind = "imudp" if self.transport == "udp" else "imtcp"
        module = f'module(load="{kind}")'
        if self.transport == "tls":
            certificates(self.directory)
            module = (
                'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" '
                'StreamDriver.AuthMode="anon")'
            )
        place = self.directory
        tls = (
            f'defaultNetstreamDriverCAFile="{place}/ca.pem" '
            f'defaultNetstreamDriverCertFile="{place}/cert.pem" '
            f'defaultNetstreamDriverKeyFile="{place}/key.pem" '
            if self.transport == "tls"
            else ""
        )
        return (
            f'global({tls}maxMessageSize="256k" workDirectory="{place}" '
            'parser.escapeControlCharactersOnReceive="on")\n'
            f"{module}\n"
            f'template(name="whole" type="string" string="{_TEMPLATE}")\n'
            f'input(type="{kind}" address="127.0.0.1" port="{self.port}" ruleset="all")\n'
            f'ruleset(name="all") {{ action(type="omfile" file="{self.output}" '
            'template="whole") }\n'
        )


@contextmanager
def rsyslog(directory: Path, transport: str, *, start: bool = True) -> Iterator[Rsyslog]:
    """Give an rsyslog that takes messages over tcp, tls or udp on a loopback port."""
    made = Rsyslog(directory / "rsyslog", transport)
    try:
        if start:
            made.start()
        yield made
    finally:
        made.stop()


def certificates(directory: Path) -> None:
    """Make ca.pem, and cert.pem with key.pem for 127.0.0.1, unless they are there."""
    if (directory / "ca.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    for file in ("ca.pem", "cert.pem"):
        (directory / file).write_bytes(pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

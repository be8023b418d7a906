"""The way to a SuperLink, step by step: its name, its port, its certificate, its answer. Each step fails in words."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse

from cryptography import x509

from fedlora_tui.deployment.keys import hosts_of
from fedlora_tui.deployment.layout import joined
from fedlora_tui.versions import FLOWER_HEADER, OWN_HEADER

PATIENCE_SECONDS = 5.0
ALIVE = "/health"
EXPIRED, NOT_YET = 10, 9
OTHER_NAME, OTHER_ADDRESS = 62, 64
"""OpenSSL's numbers of what can be wrong with a certificate (X509_V_ERR_...)."""


class Unreached(Exception):
    """A step that failed: what was found, what to do, and whether the SuperLink is only not there yet."""

    def __init__(self, found: str, advice: str, absent: bool = False) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        self.absent = absent


@dataclass(frozen=True)
class Answer:
    """What a SuperLink says of itself: versions (empty without our door), its clock less ours in seconds."""

    flwr: str
    fedlora_tui: str
    clock: float


def ask(host: str, port: int, authority: bytes | None) -> Answer:
    """Go the whole way; `authority` is the CA's certificate in PEM, None without TLS. Unreached where a step fails."""
    plain = _connect(host, port)
    with contextlib.closing(plain):
        stream = plain if authority is None else _encrypt(plain, host, port, authority)
        with contextlib.closing(stream):
            return _answer(stream, host, port, secure=authority is not None)


def _connect(host: str, port: int) -> socket.socket:
    place = joined(host, port)
    try:
        return socket.create_connection((host, port), PATIENCE_SECONDS)
    except socket.gaierror:
        raise Unreached(
            f"{host} is no known name here", "check its spelling, DNS or /etc/hosts, or use the server's address"
        ) from None
    except TimeoutError:
        raise Unreached(
            f"{place} does not answer", "a firewall may be in between: open the port; or it is another address", True
        ) from None
    except OSError as error:
        raise Unreached(
            f"{place} cannot be reached ({error.strerror or error})",
            "start the server's start.sh; if it runs, look at its port and at firewalls",
            True,
        ) from None


def _encrypt(plain: socket.socket, host: str, port: int, authority: bytes) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ValueError, ssl.SSLError):
        raise Unreached("ca.pem holds no certificate", "copy it anew from the authority's folder") from None
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _distrusted(error.verify_code, host, port) from None
    except ssl.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error) or "UNEXPECTED_EOF" in str(error):
            found = f"{joined(host, port)} does not speak TLS"
            raise Unreached(found, "the server was started with --insecure, or something else has its port") from None
        raise Unreached(f"TLS fails ({error.reason or error})", "look at the server's log") from None
    except TimeoutError:
        found = f"{joined(host, port)} takes a connection and says nothing"
        raise Unreached(found, "something else may have its port, or a proxy is in between") from None
    except OSError as error:
        found = f"{joined(host, port)} ends the connection ({error.strerror or error})"
        raise Unreached(found, "something else may have its port") from None


def _distrusted(code: int, host: str, port: int) -> Unreached:
    """Say why the certificate that stands at the other end is not taken."""
    shown = _shown(host, port)
    renew = "on the machine with the authority: fedlora-tui deploy renew, then copy server.pem and server.key"
    if code == EXPIRED:
        since = f" on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" if shown else ""
        return Unreached(f"the server's certificate expired{since}", renew)
    if code == NOT_YET:
        since = f"; it begins at {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if shown else ""
        return Unreached(
            f"the server's certificate is not valid yet{since}", "set this machine's clock right, or renew"
        )
    if code in (OTHER_NAME, OTHER_ADDRESS):
        names = f", but for {', '.join(hosts_of(shown))}" if shown else ""
        advice = f"use one of those names, or: fedlora-tui deploy renew DIR --host {host}"
        return Unreached(f"the server's certificate is not for {host}{names}", advice)
    issuer = f" (it is by {shown.issuer.rfc4514_string()})" if shown else ""
    return Unreached(
        f"the server's certificate is not by this deployment's authority{issuer}",
        "do not connect: another server answers there, or ca.pem is of another deployment",
    )


def _shown(host: str, port: int) -> x509.Certificate | None:
    """Look at the certificate that stands there, whatever it is worth."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connect(host, port) as plain, context.wrap_socket(plain, server_hostname=host) as stream:
            raw = stream.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(raw) if raw else None
    except (OSError, ValueError, Unreached):
        return None


def _answer(stream: socket.socket, host: str, port: int, secure: bool) -> Answer:
    try:
        response = _get(stream, host, port)
        date = parsedate_to_datetime(response.headers.get("date", ""))
        clock = (date - datetime.now(UTC)).total_seconds()
    except (OSError, HTTPException, ValueError, TypeError):
        found = f"what answers at {joined(host, port)} is no SuperLink"
        hint = "look what listens there" if secure else "it may ask for TLS: it was started without --insecure"
        raise Unreached(found, f"{hint}; then start the server's start.sh") from None
    if response.status != 200:
        found = f"the SuperLink at {joined(host, port)} is not well (it answers {response.status})"
        raise Unreached(found, "look at its log")
    headers = response.headers
    return Answer(headers.get(FLOWER_HEADER, ""), headers.get(OWN_HEADER, ""), clock)


def _get(stream: socket.socket, host: str, port: int) -> HTTPResponse:
    stream.settimeout(PATIENCE_SECONDS)
    connection = HTTPConnection(host, port)
    connection.sock = stream
    connection.request("GET", ALIVE)
    return connection.getresponse()

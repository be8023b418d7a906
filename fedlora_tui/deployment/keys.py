"""Keys and certificates of a deployment: its own authority, the server's certificate, a key for each SuperNode.

Elliptic curves all over: P-384 for SuperNodes, as Flower's authentication asks for, in OpenSSH's format; P-256 for TLS.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlora_tui.ssh_keys import fingerprint

AUTHORITY_LIFE = timedelta(days=5 * 365)
SERVER_LIFE = timedelta(days=397)
"""A server's certificate lives for a year and a month: it is renewed once a year, with days to spare."""
CLOCKS_DIFFER = timedelta(hours=1)
"""How much earlier than now certificates begin, so that a machine whose clock is behind takes them."""


@dataclass(frozen=True)
class Pair:
    """A private key and what is made public of it, both as they stand in files."""

    private: bytes
    public: bytes


def new_authority(name: str, now: datetime) -> Pair:
    """Make a certificate authority that signs nothing but servers' certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _begun(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pkcs8(key), certificate.public_bytes(serialization.Encoding.PEM))


def new_server(authority: Pair, hosts: tuple[str, ...], now: datetime, life: timedelta = SERVER_LIFE) -> Pair:
    """Make a server's key, and its certificate for `hosts` (names or addresses), signed by `authority`."""
    signer = serialization.load_pem_private_key(authority.private, password=None)
    issuer = x509.load_pem_x509_certificate(authority.public)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedlora-tui SuperLink")])
    certificate = (
        _begun(subject, issuer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return Pair(_pkcs8(key), certificate.public_bytes(serialization.Encoding.PEM))


def new_node(name: str) -> Pair:
    """Make the key by which an organization's SuperNode is known; its public half carries `name` as its comment."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return Pair(private, _openssh(key.public_key()) + f" {name}\n".encode())


def alternative(host: str) -> x509.GeneralName:
    """Give a host's name or address as it stands in a certificate."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Give the names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether `authority`'s key made this certificate's signature."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # whatever does not verify was not issued by it: wrong name, wrong key, wrong kind of key
        return False
    return True


def belongs(private: bytes, certificate: x509.Certificate) -> bool:
    """Tell whether a private key (PEM) is the one that a certificate is for."""
    try:
        key = serialization.load_pem_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return _spki(key.public_key()) == _spki(certificate.public_key())


def node_public(private: bytes) -> bytes:
    """Give the public half of a SuperNode's private key, as one line in OpenSSH's format without a comment.

    ValueError where it is no such key: OpenSSH's format, one of NIST's curves, no passphrase.
    """
    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no private key in OpenSSH's format without a passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("no key on an elliptic curve of NIST, like ecdsa-sha2-nistp384")
    return _openssh(key.public_key())


def same_public(line: bytes) -> bytes:
    """Give a line of a .pub file without its comment, so that two can be compared."""
    return b" ".join(line.split()[:2])


def owners(folder: Path) -> dict[str, str]:
    """Give the organization of each fingerprint of a folder's .pub files: the name of its file."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.pub")):
        with contextlib.suppress(OSError):
            found[fingerprint(file.read_bytes())] = file.stem
    found.pop("", None)
    return found


def read_certificate(file: Path) -> x509.Certificate:
    """Read a certificate in PEM; ValueError where there is none."""
    return x509.load_pem_x509_certificate(file.read_bytes())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC) - CLOCKS_DIFFER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + CLOCKS_DIFFER + life)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _openssh(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _spki(key: object) -> bytes:
    public: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public

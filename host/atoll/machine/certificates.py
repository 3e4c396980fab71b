"""Certificates for the API over TLS: an authority of the machine's own, one certificate for it, one for its clients.

The files have the names that Docker's clients look for in DOCKER_CERT_PATH: `ca.pem`, `cert.pem`, `key.pem`. Whoever
has the client's key has the machine, and with it what of this computer it is given; only the owner can read it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=825)
"""As long as the systems' own verifiers take a server's certificate for."""
RENEW = datetime.timedelta(days=30)
SERVER_CERTIFICATE, SERVER_KEY = "server-cert.pem", "server-key.pem"
AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY = "ca.pem", "cert.pem", "key.pem"
NAMES = (SERVER_CERTIFICATE, SERVER_KEY, AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY)


def ensure_certificates(directory: Path, machine: str, address: str) -> Path:
    """Make a machine's certificates, or anew when they end soon or were made for another address.

    Arguments:
        address: host on which the machine's API listens.

    Returns:
        The directory, for DOCKER_CERT_PATH.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    if not _still_good(directory, address):
        for name, data in make_certificates(machine, address).items():
            _write(directory / name, data)
    return directory


def _still_good(directory: Path, address: str) -> bool:
    if not all((directory / name).exists() for name in NAMES):
        return False
    try:
        found = x509.load_pem_x509_certificate((directory / SERVER_CERTIFICATE).read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return _name_of(address) in names and found.not_valid_after_utc - RENEW > datetime.datetime.now(datetime.UTC)


def make_certificates(machine: str, address: str) -> dict[str, bytes]:
    """All files by name (nothing is written). The authority's key is thrown away: it signs these two and no more."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    title = _title(f"atoll machine {machine}")
    authority = (
        _certificate(title, title, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    files = {AUTHORITY: authority.public_bytes(serialization.Encoding.PEM)}
    names = dict.fromkeys((_name_of(address), _name_of("127.0.0.1"), _name_of("::1"), _name_of("localhost")))
    for name, use, certificate_file, key_file in (
        (machine, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_CERTIFICATE, SERVER_KEY),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH, CLIENT_CERTIFICATE, CLIENT_KEY),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _certificate(_title(name), title, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        )
        if use == ExtendedKeyUsageOID.SERVER_AUTH:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files[certificate_file] = builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        files[key_file] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return files


def server_context(directory: Path) -> ssl.SSLContext:
    """What a server needs that lets in only those who have the client's certificate.

    Raises:
        OSError: the files are not there or damaged.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(directory / SERVER_CERTIFICATE, directory / SERVER_KEY)
    context.load_verify_locations(directory / AUTHORITY)
    return context


def _name_of(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _title(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # the clocks of two computers differ
        .not_valid_after(now + VALID)
    )


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)

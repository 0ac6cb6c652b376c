"""A throw-away certificate authority for the lab's servers and clients.

It signs what it is asked to sign. Nothing made here is trusted outside the folder it is written to.
"""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1")
_VALIDITY = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CertificatePaths:
    """Where a certificate was written."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key and the authority that signed it, all PEM; the key is unencrypted PKCS#8."""

    cert_pem: str
    key_pem: str
    ca_pem: str

    def write(self, folder: Path, name: str = "server") -> CertificatePaths:
        """Write `name`.crt, `name`.key and `name`-ca.crt into the folder, each replaced at once."""
        folder.mkdir(parents=True, exist_ok=True)
        return CertificatePaths(
            _replace(folder / f"{name}.crt", self.cert_pem),
            _replace(folder / f"{name}.key", self.key_pem),
            _replace(folder / f"{name}-ca.crt", self.ca_pem),
        )


class CertificateAuthority:
    """One authority; make a second one to play the unknown."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def create(cls, name: str) -> "CertificateAuthority":
        """Make an authority with this common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    def issue(
        self, subject: str | x509.Name, hosts: Sequence[str] = LOOPBACK, *, valid: dt.timedelta = _VALIDITY
    ) -> Certificate:
        """Sign a certificate for server and client use.

        A plain `subject` is its common name. `hosts` become subject alternative names (DNS names and IP addresses).
        A negative `valid` makes an expired one.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(subject) if isinstance(subject, str) else subject
        builder = (
            _builder(name, self._certificate.subject, key.public_key(), valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        return Certificate(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            self.pem,
        )

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS client context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.pem)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: dt.timedelta = _VALIDITY
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    # An expired certificate still has to begin before it ends.
    begin = now - _CLOCK_SKEW + min(valid, dt.timedelta())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + valid)
    )


def _replace(path: Path, content: str) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    partial.touch(0o600)
    partial.write_text(content)
    return partial.replace(path)

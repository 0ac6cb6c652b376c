"""Reads certificates: when they end, and whether a client certificate can be used. Never asks a broker.

One of a server or an authority that cannot be read simply has no end: the TLS library then says what is wrong.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from channel_operator.api.reasons import Reason
from channel_operator.core.model import Secret
from channel_operator.errors import Blocked

__all__ = ["client_certificate", "not_after"]


@lru_cache(4096)  # asked for every user with a certificate at every scrape
def not_after(pem: str | None) -> float | None:
    """Return when the first certificate of a chain, or of a bundle the next one to end, is no longer valid.

    Unix seconds; None when there is none or it cannot be read (the TLS library then says what is wrong with it).
    """
    if not pem:
        return None
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return None
    return min(certificate.not_valid_after_utc.astimezone(UTC).timestamp() for certificate in certificates)


def client_certificate(entries: Mapping[str, Secret], where: str, now: datetime) -> tuple[str, Secret]:
    """Return certificate chain (PEM) and private key of a kubernetes.io/tls Secret that a client can log in with now.

    Raises Blocked (CredentialsInvalid), its message beginning with `where`.
    """

    def refused(what: str) -> Blocked:
        return Blocked(f"{where} {what}", reason=Reason.CREDENTIALS_INVALID, field=where.partition(":")[0])

    def entry(name: str) -> Secret:
        value = entries.get(name)
        if value is None or not value.reveal().strip():
            raise refused(f'has no key "{name}", or an empty one. Put a certificate with its key there.')
        return value

    certificate, key = entry("tls.crt"), entry("tls.key")
    try:
        leaf = x509.load_pem_x509_certificates(certificate.reveal().encode())[0]
        public = load_pem_private_key(key.reveal().encode(), None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        text = "holds no certificate and private key in PEM form that can be read; the key must not be encrypted."
        raise refused(f"{text} Put such a pair there.") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != public.public_bytes(*form):
        raise refused("holds a private key that is not the certificate's. Put a pair there that belongs together.")
    if leaf.not_valid_after_utc <= now:
        raise refused(f"holds a certificate that ended at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}. Renew it.")
    return certificate.reveal(), key

"""When certificates end. Decides nothing; what cannot be read has no end."""

from datetime import UTC

from cryptography import x509

__all__ = ["not_after"]


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

"""The user name that RabbitMQ takes from a client certificate. Decides nothing; it spells names as the broker does.

RabbitMQ documentation "Access Control", x509 (TLS) authentication; `ssl_cert_login_from` says which of three ways. The
tests hold each way against real brokers, which log the client in under exactly that name or not at all.
"""

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from channel_operator.api.connection import CertificateLogin
from channel_operator.api.reasons import Reason
from channel_operator.errors import Blocked

__all__ = ["principal_of"]

_TYPES: Final[dict[ObjectIdentifier, str]] = {
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GIVENNAME",
    NameOID.INITIALS: "INITIALS",
    NameOID.GENERATION_QUALIFIER: "GENERATIONQUALIFIER",
    NameOID.COMMON_NAME: "CN",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.TITLE: "TITLE",
    NameOID.COUNTRY_NAME: "C",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.PSEUDONYM: "PSEUDONYM",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "EMAILADDRESS",
}
"""How RabbitMQ abbreviates attribute types. Of any other, UID and STREET among them, it prints the value as its Erlang
shows an undecoded term, which differs from version to version and is no name to rely on (seen on 4.3.6 and 4.0.5)."""

_ESCAPED: Final = frozenset('"+,;<>\\')
_FIRST_UNPRINTABLE: Final = 126
"""RabbitMQ prints bytes from here on, and those below the space, as hexadecimal: `~` (126) among them."""


def principal_of(certificate: str, login: CertificateLogin) -> str:
    """Return the user name for the first certificate of a PEM chain.

    Raises Blocked (CredentialsInvalid) when it has no name of the kind the Broker asks for.
    """
    parsed = x509.load_pem_x509_certificates(certificate.encode())[0]
    match login:
        case CertificateLogin.COMMON_NAME:
            # Several of them RabbitMQ joins in the order of the certificate, without escaping.
            names = [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            return ",".join(names) or _missing("subject has no common name (CN)", login)
        case CertificateLogin.DISTINGUISHED_NAME:
            odd = sorted({one.rfc4514_attribute_name for one in parsed.subject if one.oid not in _TYPES})
            if odd:
                return _missing(f"subject has {', '.join(odd)}, which RabbitMQ cannot print in a user name", login)
            return _distinguished(parsed.subject) or _missing("subject is empty", login)
        case CertificateLogin.SUBJECT_ALTERNATIVE_NAME:
            # The first DNS name: RabbitMQ's defaults for ssl_cert_login_san_type and ssl_cert_login_san_index.
            return next(_dns_names(parsed), None) or _missing("subject alternative names have no DNS name", login)


def _missing(what: str, login: CertificateLogin) -> str:
    raise Blocked(
        f"the certificate's {what}. This Broker takes the user name from there (spec.rabbitmq.certificateLogin: "
        f"{login} on the Broker). Have another one made.",
        reason=Reason.CREDENTIALS_INVALID,
    )


def _dns_names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return iter(())
    return iter(extension.value.get_values_for_type(x509.DNSName))


def _distinguished(subject: x509.Name) -> str:
    """Print a name the last part first, parts of several values joined by a plus sign in the order they have."""
    parts = []
    for rdn in subject.rdns:
        attributes = (f"{_TYPES[one.oid]}={_escaped(str(one.value))}" for one in rdn)
        parts.append("+".join(attributes))
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    raw = value.encode()
    written = []
    for place, byte in enumerate(raw):
        char = chr(byte)
        is_edge = (char == " " and place in {0, len(raw) - 1}) or (char == "#" and place == 0)
        if is_edge or char in _ESCAPED:
            written.append("\\" + char)
        elif byte < ord(" ") or byte >= _FIRST_UNPRINTABLE:
            written.append(f"\\{byte:02X}")
        else:
            written.append(char)
    return "".join(written)

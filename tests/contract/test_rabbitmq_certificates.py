"""The user name that RabbitMQ takes from a client certificate, and that only the certificate lets that user in."""

from collections.abc import Iterator

import pika.exceptions
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from channel_operator.api.connection import CertificateLogin
from channel_operator.api.meta import Kind
from channel_operator.core.accepted import Credential, Login, ResolvedUser, Role
from channel_operator.core.model import Secret
from channel_operator.errors import Blocked
from tests.contract.targets import RabbitMQTarget, Scene
from tests.harness.amqp import Client
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.rabbitmq_install import Version
from tests.lab.tls import Certificate, CertificateAuthority
from tests.unit.rabbitmq.samples import driver, grant, resolved_queue, subject, user_spec

SOURCES = {
    CertificateLogin.COMMON_NAME: "common_name",
    CertificateLogin.DISTINGUISHED_NAME: "distinguished_name",
    CertificateLogin.SUBJECT_ALTERNATIVE_NAME: "subject_alternative_name",
}
CA = CertificateAuthority.create("clients")


def attribute(oid: ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value)


def subjects(name: str) -> dict[str, x509.Name]:
    """Return subjects as authorities make them, and as nobody should."""
    cn = attribute(NameOID.COMMON_NAME, name)
    return {
        "plain": x509.Name([cn]),
        "usual": x509.Name([attribute(NameOID.COUNTRY_NAME, "DE"), attribute(NameOID.ORGANIZATION_NAME, "Acme"), cn]),
        "several": x509.Name([cn, attribute(NameOID.COMMON_NAME, f"{name}.more")]),
        "special": x509.Name(
            [
                attribute(NameOID.ORGANIZATION_NAME, ' Größe, "A+B" <x>;\\ = ~ '),
                attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "#1 / é #"),
                cn,
            ]
        ),
        "multi-valued": x509.Name(
            [
                x509.RelativeDistinguishedName([attribute(NameOID.ORGANIZATION_NAME, "Acme")]),
                x509.RelativeDistinguishedName([attribute(NameOID.SERIAL_NUMBER, "1"), cn]),
            ]
        ),
        "every type": x509.Name(
            [
                attribute(NameOID.DOMAIN_COMPONENT, "example"),
                attribute(NameOID.SURNAME, "s"),
                attribute(NameOID.GIVEN_NAME, "g"),
                attribute(NameOID.INITIALS, "i"),
                attribute(NameOID.GENERATION_QUALIFIER, "q"),
                attribute(NameOID.LOCALITY_NAME, "l"),
                attribute(NameOID.STATE_OR_PROVINCE_NAME, "st"),
                attribute(NameOID.TITLE, "t"),
                attribute(NameOID.SERIAL_NUMBER, "1"),
                attribute(NameOID.PSEUDONYM, "p"),
                attribute(NameOID.EMAIL_ADDRESS, "a@example.org"),
                cn,
            ]
        ),
    }


@pytest.fixture(scope="module", params=["current", "previous"])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Lend a broker of each version, to be told where user names come from."""
    version: Version = request.param
    broker = RabbitMQ(tmp_path_factory.mktemp("certificates"), CA, version=version)
    broker.start()
    yield broker
    broker.stop()


def binding(place: RabbitMQTarget, pair: Certificate) -> dict[str, str]:
    credential = Credential(None, pair.cert_pem, Secret(pair.key_pem))
    name = place.driver.principal(pair.cert_pem)
    return dict(place.driver.binding(name, credential, channels=[], ca=place.rabbitmq.ca_pem))


def resolved(name: str) -> ResolvedUser:
    return ResolvedUser(subject(name, Kind.BROKER_USER), user_spec(), (Login(name, by_certificate=True),))


@pytest.mark.parametrize("login", list(CertificateLogin))
async def test_a_certificate_lets_in_exactly_the_user_whose_name_was_computed(
    own: RabbitMQ, login: CertificateLogin, operator_id: str
) -> None:
    own.use_certificate_login(SOURCES[login])
    place = RabbitMQTarget(own, operator_id, spec={"rabbitmq": {"certificateLogin": str(login)}})
    try:
        scene = Scene(place, await place.session.probe())
        for kind, name in subjects(f"{place.prefix}.worker").items():
            pair = CA.issue(name, (f"{place.prefix}.{kind.replace(' ', '-')}", f"{place.prefix}.second"))
            principal = place.driver.principal(pair.cert_pem)
            with pytest.raises(pika.exceptions.AMQPError):
                Client(binding(place, pair))
            await scene.settle(resolved(principal))
            with Client(binding(place, pair)) as client:
                assert client.connection.is_open, (kind, principal)
            # Without a password there is nothing to guess.
            for guess in ("", "guest"):
                stranger = {**binding(place, pair), "password": guess}
                with pytest.raises(pika.exceptions.AMQPError):
                    Client(stranger)
            await place.uproot(place.driver.login_id(principal))
    finally:
        await place.remove()


async def test_a_certificate_user_may_do_what_the_list_says_and_nothing_else(own: RabbitMQ, operator_id: str) -> None:
    own.use_certificate_login("common_name")
    place = RabbitMQTarget(own, operator_id)
    try:
        scene = Scene(place, await place.session.probe())
        pair = CA.issue(f"{place.prefix}.worker")
        name = place.driver.principal(pair.cert_pem)
        objects = resolved(name), resolved_queue("a.q", grant(name, Role.CONSUMER)), resolved_queue("a.q2")
        await scene.settle(*objects)
        await place.send("a.q", 1)
        with Client(binding(place, pair)) as client:
            assert client.receive("a.q") == ["m0"]
            assert client.try_get("a.q2") == "ACCESS_REFUSED"
            assert client.try_publish("a.q_in") == "ACCESS_REFUSED"
        assert await scene.changes(*objects) == []
    finally:
        await place.remove()


@pytest.mark.parametrize(
    ("login", "subject", "said"),
    [
        (CertificateLogin.COMMON_NAME, [], "subject has no common name"),
        (CertificateLogin.DISTINGUISHED_NAME, [], "subject is empty"),
        (
            CertificateLogin.DISTINGUISHED_NAME,
            [(NameOID.COMMON_NAME, "x"), (NameOID.USER_ID, "1")],
            "subject has UID, ",
        ),
        (
            CertificateLogin.DISTINGUISHED_NAME,
            [(ObjectIdentifier("1.2.3.4.5"), "x"), (NameOID.STREET_ADDRESS, "x")],
            "subject has 1.2.3.4.5, STREET, ",
        ),
        (CertificateLogin.SUBJECT_ALTERNATIVE_NAME, [], "subject alternative names have no DNS name"),
    ],
)
def test_a_certificate_without_such_a_name_is_refused_by_what_it_lacks(
    login: CertificateLogin, subject: list[tuple[ObjectIdentifier, str]], said: str
) -> None:
    pair = CA.issue(x509.Name([attribute(*one) for one in subject]), ())
    with pytest.raises(Blocked, match=said):
        driver(rabbitmq={"certificateLogin": str(login)}).principal(pair.cert_pem)

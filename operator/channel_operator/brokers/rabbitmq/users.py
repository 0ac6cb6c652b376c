"""What a BrokerUser is on RabbitMQ: a user of the cluster and its permission on the virtual host.

Decides its native objects, and whose a user is that was there before. Never decides who may do what (core).
"""

from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.parts import asserted, held, withdrawn
from channel_operator.brokers.rabbitmq.resources import NO_PASSWORD, User, permission_id, user_id
from channel_operator.brokers.rabbitmq.site import Site, is_made_by
from channel_operator.core.accepted import Compiled, Login, ResolvedUser, Subject
from channel_operator.core.model import Assembled, Mode, Part, Removal, Resource, ResourceId
from channel_operator.core.rotation import family

__all__ = ["assembled", "compiled", "hold", "is_foreign", "withdraw"]


def compiled(resolved: ResolvedUser, site: Site) -> Compiled:
    """Return the parts of an accepted user: each native user that it stands for, with its permission."""
    subject = resolved.subject
    parts = [part for login in resolved.logins for part in _login(login, subject, site)]
    return Compiled(tuple(parts))


def _login(login: Login, subject: Subject, site: Site) -> tuple[Part, Part]:
    if login.leaves is Removal.DELETE:
        gone, right = withdrawn((user_id(login.name), permission_id(login.name)), subject)
        return gone, right
    # Rights stay as long as the user does, and go with it.
    right = Part(permission_id(login.name), subject.key, Mode.ASSERT, Access(), subject.since)
    if login.leaves is not None:
        return Part(user_id(login.name), subject.key, Mode.WITHDRAW, login.leaves, subject.since), right
    user = User(login.name, (site.tag,), login.password, NO_PASSWORD if login.by_certificate else None)
    return asserted(user, subject), right


def hold(subject: Subject) -> Compiled:
    """Return the parts of a user on hold."""
    return Compiled(held(_ids(subject), subject))


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted user."""
    return Compiled(tuple(withdrawn(_ids(subject), subject)))


def _ids(subject: Subject) -> tuple[ResourceId, ...]:
    return tuple(rid for name in family(subject.name) for rid in (user_id(name), permission_id(name)))


def assembled(wanted: User, observed: Resource | None, site: Site) -> Assembled:
    """Settle what depends on the user that is there: a mark that an adopted user has not, an unread password."""
    if not isinstance(observed, User):
        return Assembled(wanted, held=wanted.password is None and not wanted.has_no_password)
    if wanted.password is None and not wanted.has_no_password:
        wanted = wanted._replace(
            password=observed.password, password_hash=observed.password_hash, algorithm=observed.algorithm
        )
    if not observed.tags and wanted.name in site.spec.adoptable_users:
        return Assembled(wanted._replace(tags=()))
    return Assembled(wanted)


def is_foreign(observed: User, site: Site) -> bool:
    """Whether a withdrawal must not touch the user that is there: it was adopted, or is somebody else's."""
    return not is_made_by(site.tag, observed.tags)

"""What a BrokerUser is on RabbitMQ: a user of the cluster and its permission on the virtual host.

Decides its native objects, and whose a user is that was there before. Never decides who may do what (core).
"""

from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.parts import asserted, held, refused, withdrawn
from channel_operator.brokers.rabbitmq.resources import User, permission_id, user_id
from channel_operator.brokers.rabbitmq.site import Site, is_made_by
from channel_operator.brokers.rabbitmq.support import user_problems
from channel_operator.core.accepted import Compiled, ResolvedUser, Subject
from channel_operator.core.model import Assembled, Mode, Part, Resource, ResourceId

__all__ = ["assembled", "compiled", "hold", "is_foreign", "withdraw"]


def compiled(resolved: ResolvedUser, site: Site) -> Compiled:
    """Return the parts of an accepted user."""
    subject = resolved.subject
    problems = user_problems(resolved.spec)
    if problems:
        return refused(hold(subject), problems)
    user = User(subject.name, (site.tag,), resolved.password)
    base = Part(permission_id(subject.name), subject.key, Mode.ASSERT, Access(), subject.since)
    return Compiled((asserted(user, subject), base), names=frozenset({subject.name}))


def hold(subject: Subject) -> Compiled:
    """Return the parts of a user on hold."""
    return Compiled(held(_ids(subject), subject), names=frozenset({subject.name}))


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted user."""
    return Compiled(tuple(withdrawn(_ids(subject), subject)), names=frozenset({subject.name}))


def _ids(subject: Subject) -> tuple[ResourceId, ...]:
    return user_id(subject.name), permission_id(subject.name)


def assembled(wanted: User, observed: Resource | None, site: Site) -> Assembled:
    """Settle what depends on the user that is there: a mark that an adopted user has not, an unread password."""
    if not isinstance(observed, User):
        return Assembled(wanted, held=wanted.password is None)
    if wanted.password is None:
        wanted = wanted._replace(
            password=observed.password, password_hash=observed.password_hash, algorithm=observed.algorithm
        )
    if not observed.tags and wanted.name in site.spec.adoptable_users:
        return Assembled(wanted._replace(tags=()))
    return Assembled(wanted)


def is_foreign(observed: User, site: Site) -> bool:
    """Whether a withdrawal must not touch the user that is there: it was adopted, or is somebody else's."""
    return not is_made_by(site.tag, observed.tags)

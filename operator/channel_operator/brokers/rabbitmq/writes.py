"""Writes one change to the broker. Decides what is read again right before, and what an answer means for the change.

Never decides the order of changes (graph) nor how many run side by side (apply).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from channel_operator.api.broker import OnRevoke
from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Connection
from channel_operator.brokers.rabbitmq.access import CLOSING, NOTHING
from channel_operator.brokers.rabbitmq.amqp import DataPlane
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.declarations import body_of, connections_path, object_path
from channel_operator.brokers.rabbitmq.emptying import Emptying
from channel_operator.brokers.rabbitmq.http import Answer, ManagementClient, path
from channel_operator.brokers.rabbitmq.messages import STATISTICS_TICK
from channel_operator.brokers.rabbitmq.observe import (
    observe_users,
    pays_as_a_whole,
    read_binding_key,
    read_one,
)
from channel_operator.brokers.rabbitmq.recreating import Recreating
from channel_operator.brokers.rabbitmq.resources import PERMISSION, USER, Binding, Permission, Queue, User, user_id
from channel_operator.brokers.rabbitmq.site import TAG_PREFIX, is_made_by
from channel_operator.core.model import (
    Action,
    Change,
    Outcome,
    Removal,
    Resource,
    ResourceId,
)
from channel_operator.errors import Blocked, OperatorError, Retry

__all__ = ["Writer"]


class _Kept(NamedTuple):
    """A deletion that did not happen because the object is not what may be deleted."""

    found: Resource | None


class Writer:
    """Writes single changes over one client."""

    def __init__(
        self, connection: Connection, client: ManagementClient, data_plane: DataPlane, *, tick: float = STATISTICS_TICK
    ) -> None:
        rabbitmq = connection.spec.rabbitmq
        self._client = client
        self._tag = TAG_PREFIX + connection.operator_id
        self._adoptable = frozenset(connection.spec.adoptable_users)
        self._closes = rabbitmq is not None and rabbitmq.on_revoke is OnRevoke.CLOSE_CONNECTIONS
        self._tick = tick
        self._emptying = Emptying(client, data_plane, self, tick=tick)
        self._recreating = Recreating(client, data_plane, self, tick=tick)
        self._users: Mapping[ResourceId, Resource] | None = None
        self._user_count = 0

    async def look_at_users(self, changes: Collection[Change]) -> None:
        """Read the users that these changes are about, if that is cheaper at once than right before each.

        Counts for the changes that are written next only.
        """
        self._users = None
        concerned = sum(change.id.kind in {USER, PERMISSION} and change.desired is not None for change in changes)
        if not pays_as_a_whole(concerned, self._user_count):
            return
        # What goes wrong here goes wrong for each change too, and is told of it there.
        with suppress(OperatorError):
            self._users = await observe_users(self._client)
            self._user_count = len(self._users)

    async def _user(self, rid: ResourceId) -> Resource | None:
        return self._users.get(rid) if self._users is not None else await read_one(self._client, rid)

    async def write(self, change: Change) -> Outcome:
        """Do it; an error with a meaning becomes part of the outcome."""
        try:
            if change.action is Action.RECREATE and isinstance(change.desired, Queue):
                old = await self._recreating.recreate(change.desired)
                return Outcome(change, old or change.desired, kept=old is not None)
            if change.action is not Action.DELETE:
                return Outcome(change, await self._put(change))
            kept = await self._delete(change)
        except OperatorError as error:
            return Outcome(change, change.observed, error)
        return Outcome(change, None) if kept is None else Outcome(change, kept.found or change.observed, kept=True)

    # -- creating and updating -------------------------------------------------------------------------------------

    async def _put(self, change: Change) -> Resource:
        match change.desired:
            case User() as user:
                return await self._put_user(change, user)
            case Permission() as permission:
                return await self._put_permission(change, permission)
            case Binding() as binding:
                await self.bind(binding)
                return binding
            case None:
                raise Blocked(f"{change.id}: nothing to write", reason=Reason.BROKER_REFUSED)
            case wanted:
                return await self.declare(change.id, wanted)

    async def declare(self, rid: ResourceId, wanted: Resource) -> Resource:
        """See `replacing.Builder.declare`."""
        target = object_path(self._client.vhost, rid)
        # RabbitMQ answers 500 in place of 400 where the virtual host's name is not ASCII (seen on 4.0.5 and 4.3.6).
        answer = await self._client.write(
            f"put_{rid.kind.lower()}", "PUT", target, body_of(wanted), accept=(HTTPStatus.INTERNAL_SERVER_ERROR,)
        )
        return wanted if answer.ok else await self.explain(rid, wanted, answer)

    async def explain(self, rid: ResourceId, wanted: Resource, answer: Answer) -> Resource:
        """Say why a declaration was refused; return the object if what is there will do after all."""
        found = await read_one(self._client, rid)
        if found is None:
            raise self._client.refusal(answer)
        difference = diff(wanted, found)
        if difference is None:
            return found
        what = "; ".join(difference.fields) or answer.argument or "its properties"
        raise Blocked(
            f"{rid} exists on the broker already and does not fit: {what}. "
            "Make the manifest match it, choose another name, or delete it at the broker.",
            reason=Reason.ADOPTION_REFUSED,
        )

    async def bind(self, binding: Binding) -> None:
        """See `emptying.ObjectWriter.bind`."""
        target = object_path(self._client.vhost, binding.id)
        answer = await self._client.write("post_binding", "POST", target, body_of(binding))
        if not answer.ok:
            raise self._client.refusal(answer)

    async def _put_user(self, change: Change, wanted: User) -> User:
        found = await self._user(change.id)
        if isinstance(found, User):
            self._check_user(found)
            if diff(wanted, found) is None:
                return wanted
            if wanted.password is None and not wanted.has_no_password:
                # What it logs in with is right as it is, and is stated again: left out, the broker would clear it.
                wanted = wanted._replace(password_hash=found.password_hash, algorithm=found.algorithm)
        elif not wanted.tags:
            raise Retry(f'user "{wanted.name}", which was there to be adopted, is gone', after=0.0)
        elif wanted.password is None and not wanted.has_no_password:
            raise Retry(f'the password of user "{wanted.name}" is not known yet')
        answer = await self._client.write(
            "put_user", "PUT", object_path(self._client.vhost, change.id), body_of(wanted)
        )
        if not answer.ok:
            raise self._client.refusal(answer)
        return wanted

    def _is_ours(self, user: User) -> bool:
        if user.name == self._client.username:
            return False
        return is_made_by(self._tag, user.tags) or (not user.tags and user.name in self._adoptable)

    def _check_user(self, user: User) -> None:
        """Raise Blocked (AdoptionRefused) for a user that this operator neither made nor may adopt."""
        if not self._is_ours(user):
            raise Blocked(
                f'user "{user.name}" exists on the broker already and was not made by this operator. Choose another '
                "username, or have the Broker's owner list it in spec.adoptableUsers, without tags at the broker.",
                reason=Reason.ADOPTION_REFUSED,
            )

    async def _put_permission(self, change: Change, wanted: Permission) -> Permission:
        owner = await self._user(user_id(wanted.user))
        if not isinstance(owner, User):
            raise Retry(f'user "{wanted.user}" is not there yet')
        self._check_user(owner)
        if change.narrows and self._closes:
            await self._write_permission(wanted._replace(configure=CLOSING))
            await self._close_connections(wanted.user)
        await self._write_permission(wanted)
        return wanted

    async def _write_permission(self, wanted: Permission) -> None:
        target = object_path(self._client.vhost, wanted.id)
        answer = await self._client.write("put_permission", "PUT", target, body_of(wanted))
        if not answer.ok:
            raise self._client.refusal(answer)

    async def _close_connections(self, user: str) -> None:
        """RabbitMQ checks a right when an operation starts, so a running consumer would go on for ever."""
        await self._client.write("close_connections", "DELETE", connections_path(user))

    # -- deleting --------------------------------------------------------------------------------------------------

    async def _delete(self, change: Change) -> _Kept | None:
        rid = change.id
        match rid.kind:
            case "User":
                return await self._delete_user(rid, change.removal)
            case "Permission":
                return await self._delete_permission(rid)
            case "Binding":
                key = await read_binding_key(self._client, rid)
                if key is not None:
                    await self.unbind(rid, key)
                return None
            case _:
                await self.remove(rid)
                return None

    async def delete_if_empty(self, changes: Sequence[Change]) -> list[Outcome]:
        """Delete the queues of one channel, all or none; one outcome each, in their order."""
        try:
            kept = await self._emptying.delete([change.id for change in changes])
        except OperatorError as error:
            return [Outcome(change, change.observed, error) for change in changes]
        return [Outcome(change, kept.get(change.id), kept=change.id in kept) for change in changes]

    async def remove(self, rid: ResourceId) -> None:
        """See `emptying.ObjectWriter.remove`."""
        answer = await self._client.write(f"delete_{rid.kind.lower()}", "DELETE", object_path(self._client.vhost, rid))
        self._check_gone(answer)

    def _check_gone(self, answer: Answer) -> None:
        # What is not there any more is as good as deleted.
        if not answer.ok and answer.status != HTTPStatus.NOT_FOUND:
            raise self._client.refusal(answer)

    async def unbind(self, rid: ResourceId, key: str) -> None:
        """See `emptying.ObjectWriter.unbind`."""
        source, kind, destination = rid.path[:3]
        target = path("bindings", self._client.vhost, "e", source, kind[0], destination, key)
        self._check_gone(await self._client.write("delete_binding", "DELETE", target))

    async def _delete_user(self, rid: ResourceId, removal: Removal | None) -> _Kept | None:
        found = await read_one(self._client, rid)
        if not isinstance(found, User):
            return None
        if not is_made_by(self._tag, found.tags) or found.name == self._client.username:
            return _Kept(found)
        if removal is Removal.DELETE_IF_EMPTY and await self._is_connected(found.name):
            return _Kept(found)
        await self.remove(rid)
        return None

    async def _is_connected(self, user: str) -> bool:
        """Look twice across the statistics tick: a connection shows in the list some time after it was opened."""
        for pause in (0.0, self._tick):
            await asyncio.sleep(pause)
            answer = await self._client.get("list_connections", connections_path(user), accept=(HTTPStatus.NOT_FOUND,))
            if answer.data if answer.ok else False:
                return True
        return False

    async def _delete_permission(self, rid: ResourceId) -> _Kept | None:
        user = rid.path[0]
        owner = await read_one(self._client, user_id(user))
        if not isinstance(owner, User):
            return None  # rights go with their user
        if not self._is_ours(owner):
            return _Kept(None)
        if self._closes:
            await self._write_permission(Permission(user, CLOSING, NOTHING, NOTHING))
            await self._close_connections(user)
        await self.remove(rid)
        return None

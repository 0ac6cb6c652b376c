"""One open connection to a RabbitMQ broker: the I/O side of the driver.

Decides nothing itself; it joins client, data plane, observation and writing.
"""

from collections.abc import Collection, Mapping, Sequence

from channel_operator.brokers.base import Connection, Recorder
from channel_operator.brokers.rabbitmq.amqp import DataPlane
from channel_operator.brokers.rabbitmq.apply import apply
from channel_operator.brokers.rabbitmq.bulk import Bulk
from channel_operator.brokers.rabbitmq.http import ManagementClient
from channel_operator.brokers.rabbitmq.observe import observe_all, observe_some, observed, pays_as_a_whole, probe
from channel_operator.brokers.rabbitmq.writes import Writer
from channel_operator.core.model import (
    Capabilities,
    Change,
    Observation,
    Outcome,
    ResourceId,
)
from channel_operator.errors import OperatorError

__all__ = ["RabbitMQSession"]


class RabbitMQSession:
    """Implements `brokers.base.Session`. No I/O before the first call."""

    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        self._client = ManagementClient(connection, recorder)
        self._data_plane = DataPlane(connection, recorder)
        self._writer = Writer(connection, self._client, self._data_plane)
        self._bulk = Bulk(self._client)
        self._size = 0

    async def probe(self) -> Capabilities:
        """See `brokers.base.Session.probe`."""
        return await probe(self._client)

    async def probe_data_plane(self) -> str | None:
        """See `brokers.base.Session.probe_data_plane`. A Broker that names no client address is not probed."""
        if not self._data_plane.is_configured:
            return None
        try:
            await self._data_plane.probe()
        except OperatorError as error:
            return str(error)
        return None

    def certificates(self) -> Mapping[str, str]:
        """See `brokers.base.Session.certificates`."""
        shown = {"management": self._client.certificate, "data": self._data_plane.certificate}
        return {plane: certificate for plane, certificate in shown.items() if certificate is not None}

    async def observe(self, ids: Collection[ResourceId] | None) -> Observation:
        """See `brokers.base.Session.observe`."""
        if ids is not None and not pays_as_a_whole(len(ids), self._size):
            return await observe_some(self._client, ids)
        everything = await observe_all(self._client)
        self._size = len(everything.resources)
        return everything if ids is None else observed(everything, ids)

    async def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """See `brokers.base.Session.apply`."""
        return await apply(changes, self._writer, self._bulk)

    async def close(self) -> None:
        """See `brokers.base.Session.close`."""
        await self._client.close()

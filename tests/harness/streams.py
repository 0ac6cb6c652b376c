"""A real client of RabbitMQ's stream protocol that has nothing but a binding Secret.

It never declares anything. A refusal is reported by the broker's own word.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from rstream import (
    AMQPMessage,
    Consumer,
    ConsumerOffsetSpecification,
    MessageContext,
    OffsetType,
    Producer,
    RouteType,
    ServerError,
    SuperStreamConsumer,
    SuperStreamProducer,
    amqp_decoder,
)

__all__ = ["REFUSED", "StreamClient"]

REFUSED = "AccessRefused"
_SECONDS = 15.0
_QUIET = 1.5
_T = TypeVar("_T")


class StreamClient:
    """Everything is one short connection; offsets are those of the broker."""

    def __init__(self, binding: Mapping[str, str]) -> None:
        context = ssl.create_default_context(cadata=binding["certificates"])
        self._login: dict[str, Any] = {
            "host": binding["host"],
            "port": int(binding["stream-port"]),
            "vhost": binding["virtual-host"],
            "username": binding["username"],
            "password": binding["password"],
            "ssl_context": context,
            "max_retries": 2,
        }

    def publish(self, stream: str, *bodies: str) -> str | None:
        """Publish to a stream and wait for the broker's confirmation; the broker's word if it refuses."""

        async def work() -> None:
            async with _closing(Producer(**self._login)) as producer:
                for body in bodies:
                    await producer.send_wait(stream, AMQPMessage(body=body.encode()))

        return _word(work)

    def publish_keyed(self, super_stream: str, *keys: str) -> str | None:
        """Publish one message for each key, which is its body too; the client picks the partition by hashing."""

        async def key_of(message: AMQPMessage) -> str:
            return str(message.application_properties["key"])

        async def work() -> None:
            producer = SuperStreamProducer(
                **self._login, super_stream=super_stream, routing_extractor=key_of, routing=RouteType.Hash
            )
            async with _closing(producer):
                for key in keys:
                    await producer.send(AMQPMessage(body=key.encode(), application_properties={"key": key}))
                await asyncio.sleep(_QUIET)  # the client sends in the background and tells nobody when it is done

        return _word(work)

    def read(self, stream: str, *, name: str | None = None, offset: int = 0, count: int = 1) -> list[str] | str:
        """Read so many messages from an offset on; the broker's word if it refuses."""

        async def work() -> list[str]:
            async with _closing(Consumer(**self._login)) as consumer:
                found, take = _taker(count)
                await consumer.subscribe(
                    stream,
                    take.keep,
                    decoder=amqp_decoder,
                    offset_specification=ConsumerOffsetSpecification(OffsetType.OFFSET, offset),
                    subscriber_name=name,
                )
                await take.all_there()
                return [body for _, body in found]

        return _answer(work)

    def read_super(self, super_stream: str, *, count: int) -> dict[str, list[str]] | str:
        """Read so many messages of all partitions from the beginning: partition → bodies in their order."""

        async def work() -> dict[str, list[str]]:
            async with _closing(SuperStreamConsumer(**self._login, super_stream=super_stream)) as consumer:
                found, take = _taker(count)
                await consumer.subscribe(
                    take.keep,
                    decoder=amqp_decoder,
                    offset_specification=ConsumerOffsetSpecification(OffsetType.FIRST, None),
                )
                await take.all_there()
                return {stream: [body for s, body in found if s == stream] for stream in sorted({s for s, _ in found})}

        return _answer(work)

    def remember(self, stream: str, name: str, offset: int) -> int:
        """Have the broker keep the offset of a named consumer, and return what it then says."""

        async def work() -> int:
            async with _closing(Consumer(**self._login)) as consumer:
                await consumer.store_offset(stream, name, offset)
                while True:  # stored without an answer: seen once it is there
                    with contextlib.suppress(ServerError):
                        return int(await consumer.query_offset(stream, name))
                    await asyncio.sleep(0.1)

        return asyncio.run(asyncio.wait_for(work(), _SECONDS))


class _Taker:
    def __init__(self, found: list[tuple[str, str]], count: int) -> None:
        self._found = found
        self._count = count
        self._done = asyncio.Event()

    async def keep(self, message: AMQPMessage, context: MessageContext) -> None:
        self._found.append((context.stream, bytes(message.body).decode()))
        if len(self._found) >= self._count:
            self._done.set()

    async def all_there(self) -> None:
        await asyncio.wait_for(self._done.wait(), _SECONDS)


def _taker(count: int) -> tuple[list[tuple[str, str]], _Taker]:
    found: list[tuple[str, str]] = []
    return found, _Taker(found, count)


@contextlib.asynccontextmanager
async def _closing(client: Any) -> Any:
    await client.start()
    try:
        yield client
    finally:
        # What was refused is forgotten by the broker, and the client complains about that when it tidies up.
        with contextlib.suppress(ServerError, asyncio.TimeoutError):
            await client.close()


def _answer(work: Callable[[], Awaitable[_T]]) -> _T | str:
    async def bounded() -> _T:
        return await asyncio.wait_for(work(), 2 * _SECONDS)

    try:
        return asyncio.run(bounded())
    except ServerError as error:
        return _first_word(error)


def _word(work: Callable[[], Awaitable[None]]) -> str | None:
    return _answer(work)


def _first_word(error: BaseException) -> str:
    """Return what the broker said first: the client meets further errors while it tidies up after one."""
    while isinstance(error.__context__, ServerError):
        error = error.__context__
    return type(error).__name__

"""The data plane, reached the way clients reach it: AMQP 0-9-1 over TLS.

Decides whether clients could log in. Blocking calls run in a thread for each connection, never on the event loop.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, cast

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from channel_operator.brokers.base import Connection, Recorder
from channel_operator.brokers.rabbitmq import failures
from channel_operator.brokers.rabbitmq.messages import Count
from channel_operator.brokers.rabbitmq.network import AddressRules, resolve, tls_context
from channel_operator.errors import Retry, Unreachable

__all__ = ["DataPlane", "use", "words"]

_SECONDS: Final = 4.0
_HEARTBEAT: Final = 3  # seconds; pika gives a silent connection up 5 s later
_CONNECTIONS: Final = 4
_NOT_FOUND: Final = 404
_MOVED_AT_ONCE: Final = 1000

_T = TypeVar("_T")


class DataPlane:
    """Opens short AMQP connections to the first client address."""

    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        rabbitmq = connection.spec.rabbitmq
        if rabbitmq is None or connection.password is None:
            raise ValueError("the data plane needs a Broker of type RabbitMQ and a password")
        self._connection = connection
        self._vhost = rabbitmq.vhost
        self._address = next(iter(rabbitmq.clients.addresses), None)
        self._rules = AddressRules(connection.allowed_hosts, only=connection.only_allowed_hosts)
        self._recorder = recorder
        self.certificate: str | None = None
        """What the broker showed last (PEM)."""
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    @property
    def is_configured(self) -> bool:
        """Whether the Broker says where clients connect."""
        return self._address is not None

    async def probe(self) -> None:
        """Log in and open a channel. Raises Unreachable with what is wrong, in a user's words."""
        await self._run("amqp_probe", _nothing)

    async def declared(self, queue: str) -> Count | None:
        """Count ready messages and consumers by a passive declare; None when the queue does not exist."""

        def count(channel: Any) -> Count | None:
            try:
                method = channel.queue_declare(queue, passive=True).method
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code == _NOT_FOUND:
                    return None
                raise
            return Count(int(method.message_count), int(method.consumer_count))

        return await self._run("amqp_count", count)

    async def move(self, source: str, target: str) -> None:
        """Move what is ready from one queue to another, a bounded number; each is there before it goes here.

        Raises Retry when the target does not take a message.
        """

        def hand_over(channel: Any) -> None:
            channel.confirm_delivery()
            for _ in range(_MOVED_AT_ONCE):
                method, properties, body = channel.basic_get(source)
                if method is None:
                    return
                channel.basic_publish("", target, body, properties, mandatory=True)
                channel.basic_ack(method.delivery_tag)

        try:
            await self._run("amqp_move", hand_over)
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
            raise Retry(f'queue "{target}" takes no messages at the moment; what waits in "{source}" stays') from None

    async def _run(self, operation: str, action: Callable[[Any], _T]) -> _T:
        address = self._address
        if address is None:
            raise Unreachable(f"Broker {self._connection.name}: spec.rabbitmq.clients.addresses is empty")
        where = f"AMQP at {address} (Broker {self._connection.name})"
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), "unreachable"
        try:
            addresses = await resolve(host, int(port), self._rules)
            parameters = self._parameters(addresses[0], int(port), host)
            # pika has no time limit for opening a channel: the heartbeat ends the thread, this ends the waiting.
            async with asyncio.timeout(3 * _SECONDS):
                async with self._slots:
                    result = await _in_thread(lambda: use(parameters, action))
            outcome = "ok"
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
            raise
        except pika.exceptions.AMQPError as error:
            raise Unreachable(f"{where}: {words(error, self._connection.username, self._vhost)}") from None
        except OSError as error:
            raise failures.from_exception(error, where) from None
        else:
            return result
        finally:
            self._recorder.request(operation, outcome, loop.time() - started)

    def _shown(self, certificate: str) -> None:
        self.certificate = certificate  # from a thread: one assignment

    def _parameters(self, address: str, port: int, host: str) -> Any:
        context: ssl.SSLContext | None = tls_context(self._connection, self._shown)
        name = self._connection.spec.tls.server_name or host
        password = self._connection.password
        return pika.ConnectionParameters(
            host=address,
            port=port,
            virtual_host=self._vhost,
            credentials=pika.PlainCredentials(self._connection.username, password.reveal() if password else ""),
            ssl_options=pika.SSLOptions(context, name) if context is not None else None,
            socket_timeout=_SECONDS,
            stack_timeout=_SECONDS,
            blocked_connection_timeout=_SECONDS,
            connection_attempts=1,
            heartbeat=_HEARTBEAT,
            client_properties={"connection_name": "channel-operator"},
        )


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Run blocking work in a thread of its own. One that hangs holds up neither the loop nor the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("_T", result))

    def run() -> None:
        result: _T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (it is raised again where it is awaited)
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="amqp", daemon=True).start()
    return await done


@contextlib.contextmanager
def _opened(parameters: Any) -> Iterator[Any]:
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            connection.close()


def _nothing(_channel: Any) -> None:
    """Do nothing: an open channel is all the probe wants."""


def use(parameters: Any, action: Callable[[Any], _T]) -> _T:
    """Open, act, close; runs in a thread. pika wraps what it meets in exceptions that differ by stage."""
    try:
        with _opened(parameters) as connection:
            return action(connection.channel())
    except (pika.exceptions.AMQPConnectionError, AMQPConnectorException) as error:
        causes = list(_nested(error))
        inner = next((one for one in causes if isinstance(one, OSError)), None)
        if inner is not None:
            raise inner from None
        if any(isinstance(one, AMQPConnectorStackTimeout) for one in causes):
            raise TimeoutError from None
        if isinstance(error, pika.exceptions.AMQPError):
            raise
        raise pika.exceptions.AMQPConnectionError(*causes) from None


def _nested(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that pika's connection workflow keeps as arguments, lists of them included."""
    pending: list[Any] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException):
            yield current
            pending += [*current.args, current.__cause__]
            pending += [getattr(current, "exception", None), getattr(current, "exceptions", None)]
        elif isinstance(current, list | tuple):
            pending += current


def words(error: BaseException, username: str, vhost: str) -> str:
    """Return what a failed login or a broken connection means to the user."""
    for one in _nested(error):
        if isinstance(one, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
            return f'refused the login of user "{username}"; correct the Secret with the credentials'
        if isinstance(one, pika.exceptions.ProbableAccessDeniedError):
            return f'user "{username}" has no access to the virtual host "{vhost}"; give it permissions there'
        if isinstance(one, pika.exceptions.IncompatibleProtocolError):
            return "the answer is not AMQP; state the AMQP port in spec.rabbitmq.clients.addresses"
    return "the connection broke; check that the address in spec.rabbitmq.clients.addresses is the AMQP port with TLS"

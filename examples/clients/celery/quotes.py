"""Quotes with Celery: `price` runs at the service that answers, `priced` at the one that asked."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from celery import Celery
from celery.exceptions import Reject
from celery.utils.log import get_task_logger
from kombu import Exchange, Queue

BINDING = Path(os.environ["SERVICE_BINDING_ROOT"], "rabbitmq")
REQUESTS = "billing.quotes"
REPLIES = "shop.quote-replies"

log = get_task_logger(__name__)
app = Celery("quotes")


def entry(name: str) -> str:
    """Return an entry of the binding Secret."""
    return (BINDING / name).read_text()


def queue(name: str) -> Queue:
    """Name a Queue's two halves for Celery, which otherwise would declare them, or send by the default exchange."""
    # Any type but `direct`, for which Celery goes by the default exchange.
    entrance = Exchange(f"{name}_in", type="fanout", no_declare=True)
    return Queue(name, entrance, routing_key=name, no_declare=True)


app.conf.update(
    broker_url=entry("uri"),
    broker_use_ssl={  # without server_hostname the name in the server's certificate would not be compared
        "ca_certs": str(BINDING / "certificates"),
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": entry("host"),
    },
    broker_transport_options={"confirm_publish": True},  # delay() raises when the broker did not take the message
    task_queues=[queue(REQUESTS), queue(REPLIES)],
    task_routes={"quotes.price": {"queue": REQUESTS}, "quotes.priced": {"queue": REPLIES}},
    task_default_queue=REQUESTS,
    task_create_missing_queues=False,
    task_acks_late=True,  # acknowledged when done, so a crash loses no task
    task_reject_on_worker_lost=True,
    task_acks_on_failure_or_timeout=False,  # a task that fails goes to the dead letter queue
    task_ignore_result=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
)


@app.task
def price(identity: str, text: str) -> None:
    """Answer a request by a task for the one who asked."""
    try:
        euros = len(text) / text.count("a")
    except ZeroDivisionError as error:
        # Back to the queue: tried again until the Queue's retry.maxDeliveries, then the dead letter queue.
        raise Reject(error, requeue=True) from error
    priced.delay(identity, f"{text} cost {euros:g} euros")


@app.task
def priced(identity: str, answer: str) -> None:
    """Take an answer."""
    log.info("reply to %s: %s", identity, answer)

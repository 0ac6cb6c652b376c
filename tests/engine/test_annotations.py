"""An annotation with a typing error shows in what Ready says, on a channel, of its namespace and on a Broker."""

from tests.engine.world import world


async def test_a_wrong_word_is_told_and_the_sentence_goes_with_it() -> None:
    async with world() as w:
        broker, queue = w.make_broker(), w.make_queue("invoices")
        await w.start()
        await w.advance(5)
        fine = w.kube.message(queue)
        w.kube.annotate(queue, recreate="true")
        w.kube.annotate(broker, reconcile="disabled")
        await w.advance(5)
        assert w.ready(queue, broker)
        assert w.kube.message(queue).endswith('recreate: "true" has no effect; it takes IfEmpty.')
        assert w.kube.message(broker).endswith('reconcile: "disabled" has no effect; it takes Disabled.')
        w.kube.annotate(queue, recreate=None)
        await w.advance(5)
        assert w.kube.message(queue) == fine


async def test_a_namespaces_wrong_word_is_told_on_its_channels() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(5)
        w.kube.namespace("billing", {}, deletion_policy="delete")
        await w.advance(5)
        assert w.ready(queue)
        assert "none of Retain, Delete, DeleteIfEmpty, so Retain holds." in w.kube.message(queue)

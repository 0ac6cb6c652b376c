"""A binding Secret that is written again and again as channels come and go: cheaply, and over no stranger's edit."""

from dataclasses import replace

from tests.engine.world import world


async def test_what_we_wrote_last_is_not_read_before_it_is_replaced() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        assert w.ready(user)
        reads = w.kube.secret_reads
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.settle()
        assert w.ready(user, queue)
        assert "invoices" in w.kube.entries("billing", "worker-binding")["channels.json"]
        assert w.kube.secret_reads == reads


async def test_an_edit_by_somebody_else_is_met_by_reading_it_again() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        password = w.kube.entries("billing", "worker-binding")["password"]
        found = w.kube.secrets["billing", "worker-binding"]
        w.kube.secrets["billing", "worker-binding"] = replace(found, resource_version="edited", labels={"by": "hand"})
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(5)
        assert w.ready(user, queue)
        entries = w.kube.entries("billing", "worker-binding")
        assert "invoices" in entries["channels.json"]
        assert entries["password"] == password


async def test_a_secret_that_was_deleted_comes_back_with_the_same_password() -> None:
    async with world() as w:
        w.make_broker()
        w.make_user("worker")
        await w.start()
        password = w.kube.entries("billing", "worker-binding")["password"]
        del w.kube.secrets["billing", "worker-binding"]
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(5)
        assert w.ready(queue)
        assert w.kube.entries("billing", "worker-binding")["password"] == password

"""A history that failed can be repeated: with one seed everything happens at the same moments."""

from tests.engine.world import MAIN, world


async def _history(seed: int) -> list[tuple[float, str]]:
    """Return when what was written while broker and API server come and go."""
    written: list[tuple[float, str]] = []
    async with world(seed=seed) as w:
        w.make_broker()
        w.make_queue("invoices")
        await w.start()
        w.broker.unreachable = w.kube.away = True
        w.make_queue("orders")
        await w.advance(61)
        w.broker.unreachable = w.kube.away = False
        seen = 0
        for _ in range(400):
            await w.advance(0.1, step=0.1)
            written += [(w.clock.monotonic(), str(change.id)) for change in w.broker.writes[seen:]]
            seen = len(w.broker.writes)
        assert w.ready(MAIN)
    return written


async def test_with_one_seed_everything_happens_at_the_same_moments() -> None:
    assert await _history(1) == await _history(1)


async def test_another_seed_spreads_the_tries_otherwise() -> None:
    assert await _history(1) != await _history(2)

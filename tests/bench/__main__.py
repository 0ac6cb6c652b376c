"""`python -m tests.bench`: measure, print the table, write build/bench.json; exit 1 when a limit is broken."""

import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from tests.bench.figures import Results
from tests.bench.run import CASES, Plan, run
from tests.bench.stage import Stage
from tests.lab.setup import Lab

ROOT = Path(__file__).resolve().parents[2]


async def measure(lab: Lab, plan: Plan, *, profile: bool = False) -> Results:
    """Run the plan on a started lab."""
    begin = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - begin:6.0f} s  {text}", err=True)

    async with Stage.open(lab) as stage:
        stage.profile = profile
        results = await run(stage, plan, say)
    results.versions["RabbitMQ"] = lab.rabbitmq.version
    return results


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="50 Queues and few repetitions: whether it works, not how fast it is.")
@click.option("--only", type=click.Choice(CASES), multiple=True, help="Only these cases (again for several).")
@click.option("--size", "sizes", type=int, multiple=True, help="Numbers of Queues in place of 200 and 1000.")
@click.option("--topics", type=int, help="Number of Topics in place of 200; each has three Subscriptions.")
@click.option("--large", type=int, help="Number of channels at the large restart, in place of 5000.")
@click.option("--pairs", type=int, default=3, show_default=True, help="Rounds of operator and raw limit, in turns.")
@click.option("--profile", is_flag=True, help="Profile the operator; the files stay (figures are then worthless).")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "build" / "bench.json", show_default=False)
def main(
    *,
    quick: bool,
    only: tuple[str, ...],
    sizes: tuple[int, ...],
    topics: int | None,
    large: int | None,
    pairs: int,
    profile: bool,
    output: Path,
) -> None:
    """Measure the operator against the raw limit of the servers on a lab of its own."""
    plan = Plan(cases=only or CASES, pairs=pairs)
    if quick:
        plan = _quick(plan)
    if sizes:
        plan = replace(plan, sizes=sizes)
    if topics:
        plan = replace(plan, topics=topics)
    if large:
        plan = replace(plan, large=large)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    # The disk is part of what is measured: fsync stays on.
    with Lab(folder, audit=True) as lab:
        results = asyncio.run(measure(lab, plan, profile=profile))
    results.write(output, sys.argv[1:])
    click.echo(results.table())
    if profile:
        click.echo(f"profiles: {folder}/operator-*/operator.prof")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if results.failures() else 0)


def _quick(plan: Plan) -> Plan:
    """Return a plan that tries everything once and measures little."""
    return replace(
        plan,
        sizes=(50,),
        topics=20,
        policies=20,
        large=200,
        pairs=1,
        changes=10,
        restarts=1,
        handovers=1,
        resync="1s",
    )


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")

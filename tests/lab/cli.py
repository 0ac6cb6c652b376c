"""The lab's command line: words in, words out. It starts nothing itself."""

import sys
from typing import cast

import click

from tests.lab import daemon, setup
from tests.lab.errors import LabError
from tests.lab.rabbitmq_install import Version

_name = click.option("--name", default="default", show_default=True, help="Which lab, if several run side by side.")


class _Commands(click.Group):
    """Turns the lab's own errors into their one line; anything else is a bug and keeps its trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a Kubernetes API server and a RabbitMQ on this machine, on loopback only, without containers."""


@main.command()
def build() -> None:
    """Make everything the lab runs (minutes the first time, then nothing)."""
    setup.build()


@main.command()
@_name
@click.option(
    "--rabbitmq", type=click.Choice(["current", "previous"]), default="current", show_default=True, help="Version."
)
def up(name: str, rabbitmq: str) -> None:
    """Start the lab in the background and print how to reach it."""
    setup.build()
    found = daemon.up(name, cast("Version", rabbitmq))
    _show(found)
    suffix = "" if name == "default" else f" --name {name}"
    # A file to source, by a command that fails when it cannot: kubectl must not meet the reader's own cluster.
    click.echo(f"Use it:  . <({sys.executable} -m tests.lab env{suffix} || echo false) && kubectl get namespaces")


@main.command()
@_name
def down(name: str) -> None:
    """Stop the lab and delete its data."""
    click.echo("Stopped." if daemon.down(name) else "It did not run.")


@main.command()
@_name
def status(name: str) -> None:
    """Say whether the lab runs and where; exit 1 if it does not."""
    found = daemon.find(name)
    if found is None:
        click.echo("It does not run.")
        sys.exit(1)
    _show(found)


@main.command()
@_name
def env(name: str) -> None:
    """Print shell commands that set the variables for kubectl, the operator and clients."""
    found = daemon.find(name)
    if found is None:
        raise LabError(f"the lab does not run: start it with `{_program()} up`")
    for key, value in daemon.environment(found).items():
        # Double quotes, so that $PATH is the shell's; no value holds a character that is special in them.
        click.echo(f'export {key}="{value}"')


@main.command(hidden=True)
@click.argument("name")
@click.argument("rabbitmq")
@click.argument("ready", type=int)
def serve(name: str, rabbitmq: str, ready: int) -> None:
    """Be the background process of `up`."""
    daemon.serve(name, cast("Version", rabbitmq), ready)


def _show(found: daemon.Description) -> None:
    click.echo(f"Kubernetes {found.kubernetes_version}  {found.kubernetes_url}  kubeconfig {found.kubeconfig}")
    click.echo(
        f"RabbitMQ {found.rabbitmq_version}  {found.rabbitmq_url}"
        f"  AMQPS {found.rabbitmq_amqps_port}  streams {found.rabbitmq_stream_tls_port}  user {found.rabbitmq_user}"
    )


def _program() -> str:
    return "python -m tests.lab"

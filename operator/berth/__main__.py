"""`berth`: the command. Imports of weight happen inside the commands that need them, so that its help is quick."""

import sys
from pathlib import Path

import click

from berth import __version__
from berth.cli.commands import COMMANDS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="berth")
def main() -> None:
    """Berth: berths training gangs on mixed accelerators, contiguously, by contract, and says why."""


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (YAML). Absent: defaults.")
@click.option("--kubeconfig", help="Kubeconfig file. Absent: $KUBECONFIG, the pod's own account, ~/.kube/config.")
@click.option("--context", help="Context of the kubeconfig.")
@click.option("--mode", type=click.Choice(["Active", "Observe"]), help="Overrides the settings file.")
@click.option("--listen", help="Address of /healthz, /readyz and /metrics, e.g. 127.0.0.1:8080.")
@click.option(
    "--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"])
)
def run(
    config: Path | None,
    kubeconfig: str | None,
    context: str | None,
    mode: str | None,
    listen: str | None,
    log_level: str,
) -> None:
    """Run the operator until SIGTERM."""
    import asyncio

    from berth.app import logs
    from berth.app.operator import StartError, start
    from berth.app.reload import SettingsFile
    from berth.app.settings import SettingsError
    from berth.kube.config import ConfigError
    from berth.kube.lease import LeaseLostError

    logs.configure(log_level)
    try:
        file = SettingsFile(config, mode=mode, listen=listen)
        asyncio.run(start(file, kubeconfig=kubeconfig, context=context))
    except (SettingsError, ConfigError, StartError, LeaseLostError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--explain", "job", metavar="NAMESPACE/NAME", help="Only this job: what it asks for and why it waits.")
def replay(file: Path, job: str | None) -> None:
    """Run a cycle again that was saved with curl http://OPERATOR:8080/debug/snapshot > FILE.

    Prints its plan and says whether it is the plan that the operator made. Ends with 1 if it is not.
    """
    from berth.app import replay as again
    from berth.cluster import dump
    from berth.cluster.codec import DumpError

    try:
        saved = dump.read(file.read_bytes())
        plan = again.replay(saved)
        for line in again.explained(saved, plan, job) if job else again.told(saved, plan):
            click.echo(line)
    except (DumpError, again.NoSuchJobError, OSError) as error:
        raise click.ClickException(f"{file}: {error}") from error
    if plan != saved.plan:
        if job:
            click.echo(again.difference(saved.plan, plan), err=True)
        sys.exit(1)


for _command in COMMANDS:
    main.add_command(_command)


if __name__ == "__main__":
    main()

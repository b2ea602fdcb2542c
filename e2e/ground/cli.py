"""The ground's commands: build the programs, bring a control plane up and down, add nodes and break them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click

from e2e.ground import doctor as examination
from e2e.ground import nodes, workspace
from e2e.ground.api import Api, ApiError
from e2e.ground.binaries import Binaries
from e2e.ground.components import PROGRAMS
from e2e.ground.controlplane import ControlPlane
from e2e.ground.failing import telling
from e2e.ground.gobuild import BuildError
from e2e.ground.model import ClusterModel, ModelError
from e2e.ground.ports import PortTakenError
from e2e.ground.processes import ChildError, Identity
from e2e.ground.versions import MODULE_OF

_DEFAULT_DIRECTORY = Path(".run/ground")
_READY_LINE = "export KUBECONFIG="
_POLL_S = 0.2
_STOP_S = 20.0
_EXPECTED = (
    ApiError,
    BuildError,
    ChildError,
    ModelError,
    PortTakenError,
    TimeoutError,
    workspace.DirectoryInUseError,
)

_directory = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=_DEFAULT_DIRECTORY, show_default=True,
    help="Where the control plane keeps its files.",
)  # fmt: skip
_kubeconfig = click.option(
    "--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="KUBECONFIG", required=True,
    help="As `up` printed it; $KUBECONFIG by default.",
)  # fmt: skip


@click.group(cls=telling(*_EXPECTED))
def cli() -> None:
    """A real Kubernetes control plane with simulated nodes, on this machine."""


@cli.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(MODULE_OF)))
def build(names: tuple[str, ...]) -> None:
    """Find or build programs, all that a control plane needs by default, and say where each is."""
    wanted = names or PROGRAMS
    binaries = Binaries()
    binaries.ensure(wanted)
    if "kwok" in wanted:
        binaries.stage_files()
    if "kubeconform" in wanted:
        binaries.openapi()
    for name in wanted:
        found = binaries.find(name)
        click.echo(f"{name:<26}{found.version:<10}{found.origin}: {found.path}")
        if found.refused:
            click.echo(f"{'':<26}{found.refused}")


@cli.command()
@_directory
@click.option("--port", type=int, help="The API server's port; the five after it are used too. Free ones by default.")
@click.option("--model", type=click.Path(path_type=Path), help="Add the nodes of this cluster model.")
@click.option("--detach", is_flag=True, help="Return when the control plane is ready; `down` stops it.")
def up(directory: Path, port: int | None, model: Path | None, detach: bool) -> None:
    """Bring a control plane up, and keep it until Ctrl-C."""
    cluster = None if model is None else ClusterModel.load(model)
    if detach:
        _detach(directory, sys.argv[1:])
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    try:
        with ControlPlane(directory, base_port=port) as plane:
            if cluster is not None:
                nodes.add(plane.api, cluster.manifests())
                click.echo(cluster.summary())
            click.echo(f"{_READY_LINE}{plane.kubeconfig}")
            sys.stdout.flush()
            while True:
                plane.check()
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


@cli.command()
@_directory
def down(directory: Path) -> None:
    """Stop the control plane of a directory; its files stay."""
    running = workspace.owner(directory)
    if running is None:
        click.echo(f"no control plane runs in {directory}")
    else:
        running.stop(grace_s=_STOP_S)
        click.echo(f"stopped the control plane in {directory}")
    for left in directory.glob("*.pid"):
        child = Identity.read(left)
        if child is not None and child.alive:
            child.stop(grace_s=_STOP_S, group=True)
        left.unlink(missing_ok=True)


@cli.command()
def doctor() -> None:
    """Say what this machine lacks, with the remedy for each."""
    sys.exit(examination.main())


@cli.group(name="nodes")
def nodes_group() -> None:
    """Add simulated nodes, lose them and bring them back."""


@nodes_group.command()
@_kubeconfig
@click.argument("model", type=click.Path(path_type=Path))
def add(kubeconfig: Path, model: Path) -> None:
    """Add the nodes of a cluster model, and wait until they are Ready."""
    cluster = ClusterModel.load(model)
    with Api.from_kubeconfig(kubeconfig) as api:
        nodes.add(api, cluster.manifests())
    click.echo(cluster.summary())


@nodes_group.command()
@_kubeconfig
@click.argument("names", nargs=-1, required=True)
def remove(kubeconfig: Path, names: tuple[str, ...]) -> None:
    """Delete nodes."""
    with Api.from_kubeconfig(kubeconfig) as api:
        nodes.remove(api, names)


@nodes_group.command()
@_kubeconfig
@click.argument("name")
def fail(kubeconfig: Path, name: str) -> None:
    """Lose a node: its status becomes unknown and its pods stand still."""
    with Api.from_kubeconfig(kubeconfig) as api:
        nodes.fail(api, name)


@nodes_group.command()
@_kubeconfig
@click.argument("name")
def recover(kubeconfig: Path, name: str) -> None:
    """Bring a lost node back."""
    with Api.from_kubeconfig(kubeconfig) as api:
        nodes.recover(api, name)


def _detach(directory: Path, arguments: list[str]) -> None:
    """Run this same command without --detach in a session of its own, until it says that it is ready."""
    running = workspace.owner(directory)
    if running is not None:
        raise workspace.DirectoryInUseError(f"{directory}: process {running.pid} runs a control plane there")
    log = directory.with_name(f"{directory.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "e2e.ground", *(word for word in arguments if word != "--detach")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=os.environ
        )
    while not any(line.startswith(_READY_LINE) for line in log.read_text().splitlines()):
        if process.poll() is not None:
            raise ChildError(f"the control plane ended with exit code {process.returncode}:\n{log.read_text().strip()}")
        time.sleep(_POLL_S)
    click.echo(f"{log.read_text().strip()}\nrunning as process {process.pid}, log in {log}")


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)

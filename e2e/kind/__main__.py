"""``python -m e2e.kind``: a kind cluster with Berth in it, and whether one can be had here."""

import os
import subprocess
import sys

import click

from e2e.chart.helm import HelmError
from e2e.ground.binaries import Binaries
from e2e.ground.failing import telling
from e2e.ground.gobuild import BuildError
from e2e.ground.progress import Progress
from e2e.images.berth import ImageError
from e2e.images.debian import PackagesError
from e2e.kind import cluster, daemon, doctor, install, node

_EXPECTED = (BuildError, ImageError, PackagesError, TimeoutError, HelmError, cluster.ClusterError, daemon.DockerError)
_name = click.option("--name", default="berth", show_default=True, help="Name of the cluster.")
_stock = click.option(
    "--stock", is_flag=True, envvar="BERTH_KIND_STOCK", help="Take kind's own node image, which has to be pulled."
)


@click.group(cls=telling(*_EXPECTED))
def main() -> None:
    """Berth on real kubelets, with a registry or without one."""


@main.command(name="doctor")
@click.option("--thorough", is_flag=True, help="Fetch Debian's Docker where none runs, and try more with it.")
def examine(thorough: bool) -> None:
    """Say whether kind can start here, and why not; exit code 3 when it cannot."""
    sys.exit(doctor.main(thorough=thorough))


@main.command()
@_stock
def prepare(stock: bool) -> None:
    """Build and make what takes long, once: programs and, unless it is pulled, the node image."""
    progress = Progress()
    Binaries(progress=progress).ensure(["kind", "kubectl", "helm"])
    with daemon.borrowed(os.environ, progress=progress) as docker:
        if not stock:
            click.echo(node.ensure(docker, environ=os.environ, progress=progress))


@main.command()
@_name
@_stock
@click.option("--bare", is_flag=True, help="Without Berth.")
def up(name: str, stock: bool, bare: bool) -> None:
    """Make a cluster of three nodes, two with eight accelerators each, and install Berth in it."""
    made = cluster.Cluster.create(name, stock=stock)
    made.accelerate(install.LABELS)
    if not bare:
        install.install(made, progress=Progress())
    click.echo(f"export KUBECONFIG={made.kubeconfig}")


@main.command()
@_name
def down(name: str) -> None:
    """Remove the cluster, and stop our own Docker if no other cluster is in it."""
    docker = daemon.present(os.environ)
    if docker is None:
        click.echo("no Docker runs")
        return
    cluster.delete(name, docker, Binaries().ensure(["kind"])["kind"])
    if docker.own and not docker.run("ps", "--quiet"):
        daemon.stop(os.environ)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def docker(arguments: tuple[str, ...]) -> None:
    """Run docker against the Docker that the clusters are in: `docker -- exec NODE journalctl -u kubelet`."""
    found = daemon.present(os.environ)
    if found is None:
        raise daemon.DockerError("no Docker answers; `up` starts one")
    sys.exit(subprocess.run(["docker", *arguments], env=found.environ, check=False).returncode)


if __name__ == "__main__":
    main(prog_name="python -m e2e.kind")

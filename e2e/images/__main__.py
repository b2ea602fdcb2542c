"""``python -m e2e.images``: make Berth's image."""

import os
from pathlib import Path

import click

from e2e.ground.progress import Progress
from e2e.images import berth
from e2e.images.debian import PackagesError


@click.command()
@click.option("--name", default=berth.NAME, show_default=True, help="Name and tag of the image.")
@click.option(
    "--base", type=click.Choice(["auto", "registry", "debian"]), default="auto", show_default=True,
    help="registry: build the Dockerfile. debian: assemble it from packages. auto: the first if images can be pulled.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Image file to assemble. Default: dist/NAME-TAG.tar")
def main(name: str, base: str, out: Path | None) -> None:
    """Make Berth's image with whatever is there to make it."""
    progress = Progress()
    try:
        program = None if base == "debian" else berth.builder(os.environ)
        if program is not None:
            berth.build(name, program)
            click.echo(f"{name} is in {program}")
            return
        if base == "registry":
            raise berth.ImageError(
                f"none of {', '.join(berth.BUILDERS)} can pull the base images; use --base debian, or log in"
            )
        if base == "auto":
            progress.note("no builder here can pull base images: the image is assembled from Debian packages")
        path = out or berth.ROOT / "dist" / f"{name.replace(':', '-').replace('/', '_')}.tar"
        click.echo(berth.assemble(name, path, environ=os.environ, progress=progress))
        click.echo("load it with `docker load -i`, `podman load -i` or `ctr -n k8s.io images import`")
    except (berth.ImageError, PackagesError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m e2e.images")

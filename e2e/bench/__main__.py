"""``python -m e2e.bench [--only NAME]``: measure, and print one JSON line for each figure."""

import asyncio
import inspect

import click

from e2e.bench import decisions, gang_512, placing, plugin, queue, scrape, simulator, start_5000
from e2e.bench.figures import BENCHES, Figure
from e2e.ground.progress import Progress

MODULES = (decisions, placing, queue, scrape, plugin, simulator, gang_512, start_5000)
"""Modules that register benchmarks: importing them is what registers."""


async def _measured(name: str) -> Figure:
    found = BENCHES[name](Progress())
    return await found if inspect.isawaitable(found) else found


@click.command(help=f"Print the figures, one JSON line each. There are: {', '.join(BENCHES)}.")
@click.option("--only", metavar="NAME", type=click.Choice(list(BENCHES)), help="Measure only this figure.")
def main(only: str | None) -> None:
    """Measure one figure, or all in the order in which they are registered."""
    for name in [only] if only else list(BENCHES):
        click.echo(asyncio.run(_measured(name)).line())


if __name__ == "__main__":
    main(prog_name="python -m e2e.bench")

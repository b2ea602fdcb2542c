"""One seed over time: use, queue, room and the Gantt, of the baseline and the policies beside it."""

from collections.abc import Mapping, Sequence

from berth.sim.comparison import Setting
from berth.sim.measures.ground import Ground, grounds
from berth.sim.measures.seconds import outages
from berth.sim.quality import Quality, Result, Use
from berth.sim.report import gantt, pieces, svg
from berth.sim.report.charts import Curve, areas, curves
from berth.sim.report.style import COLOURS

_POOLS = 6
_TOP = COLOURS - 1
"""Tenants with a colour of their own; the others are one area."""


def drawn(setting: Setting, mine: Sequence[Result], colours: Mapping[str, int], gantts: int) -> tuple[list[str], int]:
    """Sections of the page, and how many Gantts may still be drawn after them. The lowest seed is taken."""
    policies = pieces.chosen_policies(setting)
    seed = min(result.quality.seed for result in mine)
    shown = [r for p in policies for r in mine if (r.quality.policy, r.quality.seed) == (p, seed)]
    if not shown or not any(result.run.end for result in shown):
        return [], gantts
    found = _use(shown, seed) + _over_time(shown, seed, colours)
    for result in shown[:2]:
        for fleet in result.case.fleets[:1]:
            if gantts and fleet.nodes:
                gantts -= 1
                found += _gantt(result, grounds(result.case)[fleet.name])
    return found, gantts


def _use(shown: Sequence[Result], seed: int) -> list[str]:
    names = _tenants([use for result in shown for use in result.quality.tenants])
    found = []
    for result in shown[:2]:
        quality = result.quality
        pools = sorted(quality.pools, key=lambda use: -use.devices)[:_POOLS]
        for use in (u for u in quality.pools if u in pools):
            stack = [_tenant(quality, use.pool, name, number) for number, name in enumerate(names)]
            rest = [u for u in quality.tenants if u.pool == use.pool and u.tenant not in names]
            if rest:
                sums = [sum(values) for values in zip(*(u.series for u in rest), strict=True)]
                stack.append(Curve("others", _TOP, quality.edges, sums))
            heading = f"{quality.policy}: devices held" + (f" in {use.pool}" if len(quality.pools) > 1 else "")
            found.append(pieces.card(heading, areas(heading, [c for c in stack if any(c.values)], use.devices)))
    left = len(shown[0].quality.pools) - _POOLS
    items = [(f"f{i}", name or "no tenant") for i, name in enumerate(names)]
    if len({use.tenant for result in shown for use in result.quality.tenants}) > len(names):
        items.append((f"f{_TOP}", "others"))
    note = f"Seed {seed}; areas: tenants; dashed: all devices."
    note += f" The {_POOLS} largest pools; {left} more are not drawn." if left > 0 else ""
    return pieces.cards("Use over time", note, found, pieces.legend(items))


def _tenants(uses: Sequence[Use]) -> list[str]:
    """The tenants that held most, most first."""
    sums: dict[str, int] = {}
    for use in uses:
        sums[use.tenant] = sums.get(use.tenant, 0) + use.buckets.held
    return sorted(sums, key=lambda name: (-sums[name], name))[:_TOP]


def _tenant(quality: Quality, pool: str, tenant: str, colour: int) -> Curve:
    use = next((u for u in quality.tenants if (u.pool, u.tenant) == (pool, tenant)), None)
    return Curve(tenant, colour, quality.edges, use.series if use else (0.0,) * (len(quality.edges) - 1))


def _over_time(shown: Sequence[Result], seed: int, colours: Mapping[str, int]) -> list[str]:
    found = [
        pieces.card(
            "Devices waited for",
            curves("Devices waited for", [_curve(r.quality, r.quality.waiting, colours) for r in shown]),
        )
    ]
    pool = max(shown[0].quality.pools, key=lambda use: use.devices).pool
    levels = [room.level for room in shown[0].quality.rooms if room.pool == pool and room.level != "node"]
    where = f" in {pool}" if len(shown[0].quality.pools) > 1 else ""
    for level in levels:
        domain = "anywhere" if level == "pool" else f"under one {level}"
        rooms = [next(m for m in r.quality.rooms if (m.pool, m.level) == (pool, level)) for r in shown]
        heading = f"Largest gang that would fit {domain}{where}, devices"
        lines = [_curve(r.quality, m.largest_series, colours) for r, m in zip(shown, rooms, strict=True)]
        found.append(pieces.card(heading, curves(heading, lines)))
        heading = f"Fragmentation: {'the pool' if level == 'pool' else level}{where}"
        lines = [_curve(r.quality, m.fragmentation_series, colours) for r, m in zip(shown, rooms, strict=True)]
        found.append(pieces.card(heading, curves(heading, lines, 1)))
    key = pieces.legend((f"f{colours[r.quality.policy]}", r.quality.policy) for r in shown)
    return pieces.cards("Queue and room over time", f"Seed {seed}; means over equal parts of the run.", found, key)


def _curve(quality: Quality, values: Sequence[float], colours: Mapping[str, int]) -> Curve:
    return Curve(quality.policy, colours[quality.policy], quality.edges, values)


def _gantt(result: Result, ground: Ground) -> list[str]:
    quality = result.quality
    heading = f"{quality.policy}, seed {quality.seed}: who sat where in {ground.fleet.name}"
    picture, grid = gantt.drawn(result.run, ground, outages(result.run, grounds(result.case)), heading)
    names = ["over several of the widest domains" if len(ground.levels) > 2 else "over several nodes"]
    names += [f"inside one {level}" for level in ground.levels[1:]]
    items = [(f"w{i}", name) for i, name in enumerate(names)]
    told = pieces.legend([*items, ("wd", "down"), ("free", "free")])
    rows = f"{grid.merged} {grid.level}s" if grid.merged > 1 else f"one {grid.level}"
    caption = (
        f"A row is {rows}. Two shades of a colour are different gangs. A cell is a part of the run: it shows the width "
        "that had most of it, pale if less than half was held; what is smaller is not seen."
    )
    return [f"<h3>{svg.said(heading)}</h3>", told, pieces.card("Gangs over domains and time", picture, caption, "wide")]

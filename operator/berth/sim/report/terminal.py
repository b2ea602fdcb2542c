"""The summary in a terminal: for each setting, tables of placement, waits, device-seconds and lost work.

No line is wrapped. Where a table is too wide, whole columns are left out, the least important first, and named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from berth.sim.comparison import BASELINE, Figure, Setting, Standing, compare
from berth.sim.measures.intervals import mean
from berth.sim.measures.seconds import BUCKETS
from berth.sim.measures.waits import CLASSES
from berth.sim.quality import Quality, Result
from berth.sim.report.words import HOUR, NONE, caveats, counted, mean_of, number, percent, span, title
from berth.text import Column, clean, cut, table, width, wrapped

_BOLD, _WARN = "1", "33"


@dataclass(frozen=True, slots=True)
class Field:
    """A column that may be left out: those of the highest `rank` first, of one rank the last first; 0 never."""

    title: str
    rank: int = 0
    right: bool = True


def summary(
    results: Sequence[Result], *, columns: int | None = None, colour: bool = False, baseline: str = BASELINE
) -> list[str]:
    """Lines of the summary. `columns`: of the terminal; None: as wide as it gets. `colour`: headings are marked."""
    if not results:
        return ["no run has ended: nothing to tell"]
    qualities = [result.quality for result in results]
    lines: list[str] = []
    for setting in compare(results, baseline):
        lines += [""] if lines else []
        lines += _setting(setting, qualities, columns, colour)
    return lines


def _setting(setting: Setting, qualities: Sequence[Quality], columns: int | None, colour: bool) -> Iterator[str]:
    most = columns or 10_000
    mine = [q for q in qualities if setting.counts(q)]
    yield _marked(cut(clean(title(setting)), most), _BOLD, colour)
    yield from _prose(counted(setting, mine), most)
    for caveat in caveats(setting, qualities):
        for line in _prose(caveat, most):
            yield _marked(line, _WARN, colour)
    for heading, note, fields, rows in (
        _placement(setting),
        _waits(setting, mine),
        _tenants(setting, mine),
        _pools(setting, mine),
        _seconds(setting),
        _losses(setting, mine),
    ):
        if rows:
            shown, left = fitted(fields, rows, columns)
            yield ""
            yield _marked(cut(heading, most), _BOLD, colour)
            yield from _prose(note, most)
            yield from shown
            if left:
                yield from _prose(f"left out at {columns} columns: {', '.join(left)}", most)


def fitted(fields: Sequence[Field], rows: Sequence[Sequence[str]], most: int | None) -> tuple[list[str], list[str]]:
    """A table's lines, and the titles of the columns that were left out so that it fits; empty columns are no loss."""
    kept = [i for i in range(len(fields)) if not i or any(row[i] != NONE for row in rows)]
    left: list[str] = []
    while most is not None:
        widths = [max(width(fields[i].title), *(width(clean(row[i])) for row in rows)) for i in kept]
        droppable = [i for i in kept if fields[i].rank]
        if sum(widths) + 2 * (len(kept) - 1) <= most or not droppable:
            break
        last = max(droppable, key=lambda i: (fields[i].rank, i))
        kept.remove(last)
        left.append(fields[last].title)
    columns = [Column(fields[i].title, fields[i].right, 0 if fields[i].right else 8) for i in kept]
    return table(columns, [[row[i] for i in kept] for row in rows], most), left[::-1]


_Table = tuple[str, str, list[Field], list[list[str]]]


def _placement(setting: Setting) -> _Table:
    levels = levels_of(setting)
    fields = [Field("POLICY", right=False)]
    for i, level in enumerate(levels):
        name = level.upper()
        fields += [Field(f"{name} PAIRS %", min(1, i)), Field(f"{name} RATIO" if i else "RATIO", min(1, i))]
    for level in levels:
        fields.append(Field(f"{level.upper()} SPANS", 2))
    for level in levels[:1]:
        fields += [Field(f"{level.upper()} LARGEST", 3), Field(f"{level.upper()} FRAG %", 3)]
    rows = []
    for standing in setting.standings:
        row = [standing.policy]
        for level in levels:
            pairs = standing.figures.get(f"crossing/{level}")
            row += [percent(mean_of(pairs)), _ratio(pairs)]
        row += [_mean(standing, f"inflation/{level}") for level in levels]
        for level in levels[:1]:
            fragmentation = standing.figures.get(f"fragmentation/{level}")
            row += [_mean(standing, f"largest/{level}", 1), percent(mean_of(fragmentation))]
        rows.append(row)
    note = (
        f"PAIRS: of a gang's hosts, under different domains; SPANS: times the fewest possible; ± 95 % over seeds; "
        f"RATIO: to {setting.baseline} on the same seeds"
    )
    return "Placement, weighted by device-hours", note, fields, rows if levels else []


def levels_of(setting: Setting) -> list[str]:
    """Levels that hold several nodes, of all pools together, widest first."""
    names = [name for standing in setting.standings for name in standing.figures]
    found = [name.removeprefix("crossing/") for name in dict.fromkeys(names) if name.startswith("crossing/")]
    return [level for level in found if level != "node"]


def _waits(setting: Setting, qualities: Sequence[Quality]) -> _Table:
    fields = [Field("POLICY", right=False), Field("DEVICES"), Field("JOBS", 2), Field("MEAN"), Field("RATIO")]
    fields += [Field("P50", 1), Field("P90", 1), Field("P99"), Field("P99 RATIO", 1)]
    fields += [Field("COMPLETION", 3), Field("SLOWDOWN", 3)]
    rows = []
    for standing in setting.standings:
        for size in ("", *CLASSES):
            where = f"{size}/" if size else ""
            jobs = sum(
                g.jobs
                for q in qualities
                if q.policy == standing.policy
                for g in q.waits
                if (g.size, g.tenant) == (size, "")
            )
            if jobs:
                rows.append([standing.policy, size or "all", f"{jobs:,}", *_wait(standing, where)])
    note = "From submission to the first start, by devices of the gang; JOBS of all seeds"
    return "Waits", note, fields, rows


def _wait(standing: Standing, where: str) -> list[str]:
    first, last = standing.figures.get(f"{where}wait/mean"), standing.figures.get(f"{where}wait/p99")
    shown = [
        span(standing.figures[name].mean) if name in standing.figures else NONE
        for name in (f"{where}wait/p50", f"{where}wait/p90")
    ]
    done = standing.figures.get(f"{where}completion")
    return [
        span(mean_of(first)),
        _ratio(first),
        *shown,
        span(mean_of(last)),
        _ratio(last),
        span(mean_of(done)),
        _mean(standing, f"{where}slowdown"),
    ]


def _tenants(setting: Setting, qualities: Sequence[Quality]) -> _Table:
    fields = [
        Field("POLICY", right=False),
        Field("TENANT", right=False),
        Field("JOBS", 2),
        Field("USE %"),
        Field("MEAN"),
    ]
    fields += [Field("RATIO"), Field("P50", 1), Field("P90", 1), Field("P99"), Field("P99 RATIO", 1)]
    fields += [Field("COMPLETION", 3), Field("SLOWDOWN", 3)]
    rows = []
    chosen = dict.fromkeys((setting.standings[0].policy, setting.baseline, "berth"))
    for standing in (s for s in setting.standings if s.policy in chosen):
        mine = [q for q in qualities if q.policy == standing.policy]
        for tenant in sorted({g.tenant for q in mine for g in q.waits if g.tenant}):
            jobs = sum(g.jobs for q in mine for g in q.waits if (g.size, g.tenant) == ("", tenant))
            devices = sum(use.devices for q in mine for use in q.pools)
            use = sum(u.utilisation * u.devices for q in mine for u in q.tenants if u.tenant == tenant)
            share = f"{100 * use / devices:.1f}" if devices else NONE
            rows.append([standing.policy, tenant, f"{jobs:,}", share, *_wait(standing, f"tenant {tenant}/")])
    note = "USE: of all devices, while jobs came; other policies: in the lines and on the page"
    return "Tenants", note, fields, rows


def _pools(setting: Setting, qualities: Sequence[Quality]) -> _Table:
    """Where there are several."""
    fields = [Field("POLICY", right=False), Field("POOL", right=False), Field("DEVICES"), Field("USE %")]
    fields.append(Field("WORKING %", 1))
    rows = []
    for standing in setting.standings:
        mine = [q for q in qualities if q.policy == standing.policy]
        for pool in dict.fromkeys(use.pool for q in mine for use in q.pools if len(q.pools) > 1):
            uses = [use for q in mine for use in q.pools if use.pool == pool]
            shares = (mean([use.utilisation for use in uses]), mean([use.working for use in uses]))
            rows.append([standing.policy, pool, f"{uses[0].devices:,}", *map(percent, shares)])
    note = "USE: held while jobs came; WORKING: useful work and its slowing, over the whole run"
    return "Pools", note, fields, rows


def _seconds(setting: Setting) -> _Table:
    ranks = {"useful": 0, "lost": 0, "idle": 0, "down": 1, "slowed": 1}
    fields = [Field("POLICY", right=False), Field("USE")]
    fields += [Field(name.upper(), ranks.get(name, 2)) for name in BUCKETS]
    rows = []
    for standing in setting.standings:
        found = [standing.figures.get(name) for name in ("utilisation", *(f"share/{name}" for name in BUCKETS))]
        zero = [f is not None and f.mean.value == 0 and not f.mean.margin for f in found]
        rows.append([standing.policy, *("0" if z else percent(mean_of(f)) for f, z in zip(found, zero, strict=True))])
    note = "USE: held while jobs came; the rest adds up to 100 over the whole run"
    return "Device-seconds, % of capacity times time", note, fields, rows


def _losses(setting: Setting, qualities: Sequence[Quality]) -> _Table:
    fields = [Field("POLICY", right=False), Field("CAUSE", right=False), Field("STOPS"), Field("DEVICE-HOURS LOST")]
    fields.append(Field("A STOP", 1))
    rows = []
    for standing in setting.standings:
        mine = [loss for q in qualities if q.policy == standing.policy for loss in q.losses]
        for cause in sorted({loss.cause for loss in mine}):
            stops = sum(loss.stops for loss in mine if loss.cause == cause)
            lost = sum(loss.lost for loss in mine if loss.cause == cause) / HOUR
            rows.append([standing.policy, cause, f"{stops:,}", f"{lost:,.2f}", f"{lost / stops:,.2f}"])
    return "Stops before success", "All seeds together", fields, rows


def _mean(standing: Standing, name: str, digits: int = 2) -> str:
    figure = standing.figures.get(name)
    return number(mean_of(figure), digits=digits)


def _ratio(figure: Figure | None) -> str:
    """To the baseline; of the baseline itself there is none."""
    if figure is not None and figure.own:
        return NONE
    return number(figure.ratio if figure else None)


def _prose(text: str, most: int) -> Iterable[str]:
    """A sentence in as many lines as it takes."""
    return wrapped(clean(text), min(most, 120))


def _marked(line: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{line}\x1b[0m" if colour else line

"""What stands on the page, setting by setting: figures with intervals first, then one seed's course over time.

What is drawn is bounded, so that the page stays small whatever was run; where something is left out it says so.
"""

from collections.abc import Iterable, Mapping, Sequence

import berth
from berth.sim.comparison import Figure, Setting, compare
from berth.sim.measures.intervals import Estimate
from berth.sim.measures.seconds import BUCKETS
from berth.sim.measures.waits import CLASSES
from berth.sim.quality import Quality, Result
from berth.sim.report import courses, svg
from berth.sim.report.charts import Point, Range, Row, bars, intervals, ranges, shares_of, trade
from berth.sim.report.pieces import card, cards, chosen_policies, legend, table
from berth.sim.report.style import COLOURS, style
from berth.sim.report.terminal import levels_of
from berth.sim.report.words import HOUR, NONE, caveats, counted, mean_of, number, percent, span, title
from berth.text import age

_SETTINGS = 12
"""Settings with charts; of more, only the tables."""
_TENANTS = 20
_MEAN = "/wait/mean"
_GANTTS = 6
_KINDS = tuple({"idle": "free", "down": "wd"}.get(name, f"f{i}") for i, name in enumerate(BUCKETS))
"""Colours of the buckets."""


def page(results: Sequence[Result], baseline: str) -> str:
    """The whole page."""
    settings = compare(results, baseline)
    names = sorted({setting.case for setting in settings})
    heading = f"Simulation: {', '.join(names)}" if names else "Simulation"
    levels = max((len(fleet.levels) + 2 for result in results for fleet in result.case.fleets), default=2)
    body = [f"<h1>{svg.said(heading)}</h1>"]
    if not results:
        body.append("<p>No run has ended: nothing to tell.</p>")
    if any(result.run.partial for result in results):
        body.append('<div class="warn"><p><b>Partial</b>: a run was interrupted. What it says is told below.</p></div>')
    body += _contents(settings) if len(settings) > 1 else []
    colours = {policy: i % COLOURS for i, policy in enumerate(dict.fromkeys(r.quality.policy for r in results))}
    body += _trades(settings, colours)
    gantts = _GANTTS
    for i, setting in enumerate(settings):
        mine = [r for r in results if setting.counts(r.quality)]
        body.append(f'<h2 id="s{i}">{svg.said(title(setting))}</h2>')
        body += _facts(setting, mine, [r.quality for r in results])
        body += _tables(setting)
        if i < _SETTINGS:
            body += _compared(setting, [r.quality for r in mine], colours)
            told, gantts = courses.drawn(setting, mine, colours, gantts)
            body += told
        else:
            body.append(f'<p class="soft">Charts are drawn of the first {_SETTINGS} settings only.</p>')
    body.append('<p class="soft">Every measure is defined in docs/reference/metrics-of-quality.md of Berth.</p>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{svg.said(heading)}</title>'
        f"<style>\n{style(levels)}\n</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _contents(settings: Sequence[Setting]) -> list[str]:
    links = [f'<a href="#s{i}">{svg.said(title(setting))}</a>' for i, setting in enumerate(settings)]
    return [f"<nav>{''.join(links)}</nav>"]


def _facts(setting: Setting, mine: Sequence[Result], all_: Sequence[Quality]) -> Iterable[str]:
    """What was run, and what to beware of."""
    qualities, case = [r.quality for r in mine], mine[0].case
    warnings = caveats(setting, all_)
    if warnings:
        yield f'<div class="warn">{"".join(f"<p>{svg.said(text)}</p>" for text in warnings)}</div>'
    pools = [f"{f.name}: {len(f.nodes):,} nodes, levels {', '.join(f.levels) or 'none'}" for f in case.fleets]
    table = ", ".join(f"{level} {100 * share:g} %" for level, share in case.slowdown.by_level.items())
    window = qualities[0].window
    facts = {
        "Jobs": counted(setting, qualities),
        "Pools": "; ".join(pools[:8]) + (f"; and {len(pools) - 8} more" if len(pools) > 8 else ""),
        "Queue": f"{case.queue}, a cycle at most each {case.every} s",
        "Slowdown of wide gangs": table or "none",
        "Outages": f"{len(mine[0].run.outages):,} in the first run",
        "Length": f"{age(qualities[0].end)} in the first run; jobs came from {age(window[0])} to {age(window[1])}",
        "Berth": berth.__version__,
    }
    rows = "".join(f"<dt>{svg.said(name)}</dt><dd>{svg.said(text)}</dd>" for name, text in facts.items())
    yield f"<dl>{rows}</dl>"


def _tables(setting: Setting) -> Iterable[str]:
    levels = levels_of(setting)
    heads = ["Policy", *(head for level in levels for head in (f"pairs not under one {level}, %", "ratio"))]
    heads += ["wait, mean", "ratio", "wait, p99", "ratio", "completion, mean", "use, %", "lost, %", "jobs not started"]
    rows = []
    for standing in setting.standings:
        row = [standing.policy]
        for name in (*(f"crossing/{level}" for level in levels), "wait/mean", "wait/p99"):
            figure = standing.figures.get(name)
            mean = mean_of(figure)
            row += [percent(mean) if name.startswith("crossing") else span(mean)]
            row += [NONE if figure is None or figure.own else number(figure.ratio)]
        done, use, lost = (standing.figures.get(n) for n in ("completion", "utilisation", "share/lost"))
        row += [span(mean_of(done)), percent(mean_of(use)), percent(mean_of(lost))]
        rows.append([*row, f"{standing.unstarted:,}" if standing.unstarted else NONE])
    yield table(heads, rows)
    yield (
        f'<p class="soft">± is half of the 95 % interval over the seeds. Ratios are to '
        f"{svg.said(setting.baseline)} on the same seeds. Pairs of a gang's hosts are weighted by device-hours.</p>"
    )


def _compared(setting: Setting, qualities: Sequence[Quality], colours: dict[str, int]) -> Iterable[str]:
    yield from cards(
        "How far gangs are spread",
        "Dots are means over the seeds, bars their 95 % intervals. Shares: logarithmic beyond 1 %.",
        [*_spread(setting, colours)],
    )
    yield from cards(
        "Wait by size class",
        "Bar: median to p90; line: on to p99; tick: mean. Each is the mean over the seeds. Logarithmic.",
        [*_waits(setting, colours)],
    )
    yield from cards("Wait by tenant", "Bars, lines and ticks as above.", [*_tenants(setting, colours)])
    yield from cards("Where device-seconds went", "", [*_spent(setting), *_lost(setting, qualities)])


def _spread(setting: Setting, colours: dict[str, int]) -> Iterable[str]:
    for level in levels_of(setting):
        rows = _estimates(setting, f"crossing/{level}", colours, 100)
        if rows:
            heading = f"Pairs of hosts not under one {level}, %"
            yield card(heading, shares_of(heading, rows))
        rows = _estimates(setting, f"inflation/{level}", colours, 1)
        if rows:
            heading = f"Domains of {level} spanned, times the fewest possible"
            yield card(heading, intervals(heading, rows, 1))


def _estimates(setting: Setting, name: str, colours: dict[str, int], factor: float) -> list[tuple[Row, Estimate]]:
    found = {s.policy: s.figures[name].mean for s in setting.standings if name in s.figures}
    return [(Row(p, colours[p], f"{p}: {number(mean, factor)}"), mean) for p, mean in found.items()]


def _range(figures: Mapping[str, Figure], where: str) -> Range | None:
    found = [figures.get(f"{where}wait/{name}") for name in ("p50", "p90", "p99", "mean")]
    values = [figure.mean.value for figure in found if figure is not None]
    return Range(*values) if len(values) == len(found) else None


def _told(label: str, found: Range) -> str:
    shown = ", ".join(f"{n} {age(round(getattr(found, n)))}" for n in ("p50", "p90", "p99", "mean"))
    return f"{label}: {shown}"


def _waits(setting: Setting, colours: dict[str, int]) -> Iterable[str]:
    for size in ("", *CLASSES):
        rows = [
            (Row(s.policy, colours[s.policy], _told(s.policy, found)), found)
            for s in setting.standings
            if (found := _range(s.figures, f"{size}/" if size else ""))
        ]
        if rows:
            heading = f"Gangs of {size} device{'' if size == '1' else 's'}" if size else "All jobs"
            yield card(heading, ranges(f"Wait: {heading}", rows))


def _tenants(setting: Setting, colours: dict[str, int]) -> Iterable[str]:
    names = sorted({n.removesuffix(_MEAN) for s in setting.standings for n in s.figures if _of_tenant(n)})
    chosen = chosen_policies(setting)[:2]
    left = f"; {len(names) - _TENANTS} more tenants are not drawn" if len(names) > _TENANTS else ""
    key = legend((f"f{colours[policy]}", policy) for policy in chosen)
    for start in range(0, min(len(names), _TENANTS), 10):
        rows = [row for name in names[start : start + 10] for row in _tenant(setting, name, chosen, colours)]
        if rows:
            caption = f"Upper row of a tenant: {chosen[0]}{left}" if len(chosen) > 1 else left.removeprefix("; ")
            yield card("Tenants", key + ranges("Wait by tenant", rows), caption)


def _of_tenant(figure: str) -> bool:
    return figure.startswith("tenant ") and figure.endswith(_MEAN)


def _tenant(setting: Setting, name: str, chosen: Sequence[str], colours: dict[str, int]) -> Iterable[tuple[Row, Range]]:
    label = name.removeprefix("tenant ")
    for policy in chosen:
        standing = setting.standing(policy)
        found = _range(standing.figures, f"{name}/") if standing else None
        if found:
            shown = label if policy == chosen[0] else ""
            yield Row(shown, colours[policy], _told(f"{label}, {policy}", found)), found


def _spent(setting: Setting) -> Iterable[str]:
    rows = []
    for s in setting.standings:
        found = [s.figures.get(f"share/{name}") for name in BUCKETS]
        if all(found):
            rows.append((Row(s.policy, 0), [100 * figure.mean.value for figure in found if figure]))
    if rows:
        used = [i for i in range(len(BUCKETS)) if any(parts[i] > 0 for _, parts in rows)]
        told = legend((_KINDS[i], BUCKETS[i]) for i in used)
        drawn = bars("Device-seconds", rows, tuple(zip(BUCKETS, _KINDS, strict=True)), "%")
        yield card("Device-seconds, % of capacity times time", told + drawn)


def _lost(setting: Setting, qualities: Sequence[Quality]) -> Iterable[str]:
    causes = sorted({loss.cause for q in qualities for loss in q.losses})
    if not causes:
        return
    rows = []
    for s in setting.standings:
        mine = [q for q in qualities if q.policy == s.policy]
        lost = [sum(o.lost for q in mine for o in q.losses if o.cause == c) / HOUR / len(mine) for c in causes]
        rows.append((Row(s.policy, 0), lost))
    labels = [(cause, f"f{i % COLOURS}") for i, cause in enumerate(causes)]
    told = legend((kind, cause) for cause, kind in labels)
    drawn = bars("Lost work", rows, labels, "device-hours")
    yield card("Work lost by cause, device-hours a run", told + drawn, "Mean over the seeds")


def _trades(settings: Sequence[Setting], colours: dict[str, int]) -> list[str]:
    """The curve of crossing against wait, at each level, where there are several settings or policies."""
    if sum(len(setting.standings) for setting in settings) < 2:
        return []
    found = []
    for level in dict.fromkeys(level for setting in settings for level in levels_of(setting)):
        series = []
        for policy, colour in colours.items():
            points = []
            for setting in settings:
                standing = setting.standing(policy)
                pairs = standing.figures.get(f"crossing/{level}") if standing else None
                wait = standing.figures.get("wait/mean") if standing else None
                if pairs and wait:
                    mark = policy == setting.baseline and setting.load is not None and len(settings) > 1
                    label = f"{setting.load:g}" if mark else ""
                    told = f"{policy}, {title(setting)}: {percent(pairs.mean)} % of pairs, wait {span(wait.mean)}"
                    points.append(Point(label, told, wait.mean, pairs.mean))
            if points:
                series.append((colour, points))
        if series:
            heading = f"Pairs not under one {level}, %, against mean wait"
            found.append(card(heading, trade(heading, series)))
    note = "A line joins a policy's settings; numbers are loads. Lower left is better. Logarithmic beyond 1 %."
    key = legend((f"f{colour}", policy) for policy, colour in colours.items())
    return cards("Crossing against wait", note, found, key)

"""The figures at the end, each from what the API server said, with the smallest possible span beside the actual one.

The smallest span of a gang is that in an empty cluster: the fewest domains of a level whose hosts are enough for it.
No scheduler can do better, and a busy cluster rarely lets one do as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from e2e.demo.board import Board, Seen


@dataclass(frozen=True, slots=True)
class Span:
    """Domains of one level for each multi-node gang: how many gangs have one alone, the mean, the smallest mean."""

    level: str
    under_one: int
    could_be_one: int
    mean: float
    smallest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo came to. Times in seconds; `spans` over the multi-node gangs that were placed, widest first."""

    submitted: int
    placed: int
    finished: int
    multi_node: int
    bound: int
    spans: tuple[Span, ...]
    wait_median: float
    wait_p99: float
    waited: int
    seconds: float
    pods: int
    most_devices: int


WAITED_S = 1.0
"""A gang that is placed within this time counts as not having waited."""


def summarize(board: Board, *, seconds: float, most_devices: int) -> Summary:
    """Compute the figures; `most_devices` is the most that were held at once."""
    placed = [board.jobs[name] for name, times in board.times.items() if times.placed is not None]
    waits = sorted(t.placed - t.submitted for t in board.times.values() if t.placed is not None)
    multi = [seen for seen in placed if len(set(seen.nodes)) > 1]
    return Summary(
        submitted=len(board.times),
        placed=len(placed),
        finished=board.count("finished"),
        multi_node=len(multi),
        bound=sum(seen.level is not None for seen in multi),
        spans=tuple(_span(multi, level, board.fabric.sizes(d)) for d, level in enumerate(board.fabric.levels)),
        wait_median=quantile(waits, 0.5),
        wait_p99=quantile(waits, 0.99),
        waited=sum(wait > WAITED_S for wait in waits),
        seconds=seconds,
        pods=sum(seen.replicas for seen in placed),
        most_devices=most_devices,
    )


def smallest(nodes: int, sizes: Sequence[int]) -> int:
    """Fewest domains, of these sizes (largest first), that together have so many nodes."""
    return next(count for count, held in enumerate(accumulate(sizes), start=1) if held >= nodes)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed; 0 of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def lines(summary: Summary, total: int, capacity: int) -> list[str]:
    """The summary as text, at most 78 characters wide. `total`: gangs that there were to submit."""
    s = summary
    if not s.placed:
        return [f"gangs      {s.submitted} of {total} submitted, none placed"]
    several = f"{s.multi_node} multi-node gangs, {s.bound} of which had to stay in one domain"
    told = [
        f"gangs      {s.placed} of {total} placed, {s.finished} finished, in {s.seconds:.0f} s",
        f"pods       {s.pods}, {s.pods / s.seconds:.0f} a second; at most {s.most_devices} of {capacity} devices held",
        f"wait       median {s.wait_median:.1f} s, p99 {s.wait_p99:.1f} s; {s.waited} gangs waited over {WAITED_S:g} s",
        f"spread     {several}" if s.multi_node else "spread     no multi-node gang",
    ]
    for span in s.spans if s.multi_node else ():
        share = span.under_one / s.multi_node
        could = f"{span.could_be_one / s.multi_node:.0%}"
        told.append(
            f"  {span.level:<9}{share:.0%} under one (at best {could}), "
            f"{span.mean:.2f} a gang (at best {span.smallest:.2f})"
        )
    if s.multi_node:
        told.append("           at best: each gang alone in the empty cluster")
    return told


def _span(gangs: Sequence[Seen], level: str, sizes: Sequence[int]) -> Span:
    actual = [seen.spans.get(level, 0) for seen in gangs]
    least = [smallest(len(set(seen.nodes)), sizes) for seen in gangs]
    return Span(
        level=level,
        under_one=sum(count == 1 for count in actual),
        could_be_one=sum(count == 1 for count in least),
        mean=sum(actual) / max(1, len(gangs)),
        smallest=sum(least) / max(1, len(gangs)),
    )

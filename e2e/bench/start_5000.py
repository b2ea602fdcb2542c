"""`start_5000` and `rss_5000`: an operator started on a large cluster in full swing, to its first cycle; its memory.

One control plane serves both figures; whichever is asked for first measures, the other is told from the same run. What
is timed is from the fork of the process to the first `/readyz` that says ok, looked for every 50 ms. On a machine that
others use, the processor time of the operator beside it says more: the API server works at the same time, for as long
again.
"""

import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from e2e.bench import standing
from e2e.bench.figures import Figure, bench
from e2e.ground.controlplane import ControlPlane
from e2e.ground.progress import Progress
from e2e.running import OperatorProcess

NODES, JOBS = 5_000, 2_500
STARTS = 3
STEADY_S = 60.0
_CRDS = Path(__file__).resolve().parents[2] / "crds"
_TICKS = os.sysconf("SC_CLK_TCK")
_WRITES = ("create", "update", "patch", "apply", "delete")


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to ready, processor seconds of the operator until then, and its peak memory in MB."""

    seconds: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All starts, and the operator of the last one after a minute."""

    cluster: standing.Standing
    starts: tuple[Start, ...]
    steady_mb: float
    peak_mb: float
    writes: int
    scrape_s: float


_measured: list[Measured] = []


@bench("start_5000")
def start_5000(progress: Progress) -> Figure:
    """How long until the first cycle is done."""
    found = _once(progress)
    return Figure(
        name="start_5000",
        value=round(statistics.median(start.seconds for start in found.starts), 2),
        unit="s",
        goal="at most 5 s",
        conditions={
            "what": "from the fork of the operator to /readyz: all kinds listed, one cycle decided",
            **_conditions(found),
            "each_s": [round(start.seconds, 2) for start in found.starts],
            "each_cpu_s": [round(start.cpu_s, 2) for start in found.starts],
        },
    )


@bench("rss_5000")
def rss_5000(progress: Progress) -> Figure:
    """How much memory it takes."""
    found = _once(progress)
    return Figure(
        name="rss_5000",
        value=round(found.peak_mb),
        unit="MB",
        goal="at most 300 MB",
        conditions={
            "what": "resident memory of the operator at its peak, from its start to a minute after it was ready",
            **_conditions(found),
            "steady_mb": round(found.steady_mb),
            "peak_until_ready_mb": [round(start.peak_mb) for start in found.starts],
            "scrape_s": round(found.scrape_s, 3),
        },
    )


def _conditions(found: Measured) -> dict[str, object]:
    cluster = {key: round(value) for key, value in asdict(found.cluster).items()}
    return {**cluster, "writes_by_the_operator": found.writes, "starts": len(found.starts), "cores": os.cpu_count()}


def _once(progress: Progress) -> Measured:
    if not _measured:
        _measured.append(_measure(progress))
    return _measured[0]


def _measure(progress: Progress) -> Measured:
    """Write the cluster and start operators on it; about two minutes on two idle cores."""
    progress.begin("start_5000", f"{NODES} nodes and {JOBS} running gangs on a new control plane")
    # Without controllers: nothing but the operator reads or changes what was written.
    with ControlPlane(components=("etcd", "kube-apiserver")) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(_CRDS))
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(_CRDS))
        cluster = standing.write(plane, node_count=NODES, job_count=JOBS, progress=progress)
        progress.note(f"written: {cluster}")
        return _start_operators(plane, cluster, progress)


def _start_operators(plane: ControlPlane, cluster: standing.Standing, progress: Progress) -> Measured:
    operator = OperatorProcess(plane.kubeconfig, plane.directory)
    starts = []
    try:
        for number in range(STARTS):
            operator.stop()
            began = time.monotonic()
            operator.start(timeout_s=120)
            starts.append(Start(time.monotonic() - began, _cpu_seconds(operator), _memory_mb(operator, "VmHWM")))
            progress.update(f"start {number + 1} of {STARTS}: {starts[-1]}")
        time.sleep(STEADY_S)
        began = time.monotonic()
        text = operator.get("/metrics")[1]
        scrape = time.monotonic() - began
        found = Measured(
            cluster=cluster,
            starts=tuple(starts),
            steady_mb=_memory_mb(operator, "VmRSS"),
            peak_mb=_memory_mb(operator, "VmHWM"),
            writes=_writes(text),
            scrape_s=scrape,
        )
    finally:
        operator.stop()
    progress.end(f"{starts[-1].seconds:.2f} s, {found.peak_mb:.0f} MB")
    return found


def _cpu_seconds(operator: OperatorProcess) -> float:
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime


def _memory_mb(operator: OperatorProcess, field: str) -> float:
    lines = Path(f"/proc/{operator.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def _writes(text: str) -> int:
    """Objects that the operator has written; it should have found nothing to write but the status of the pool."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(
        round(sample.value)
        for sample in samples
        if sample.name == "berth_api_requests_total" and sample.labels["verb"] in _WRITES
    )

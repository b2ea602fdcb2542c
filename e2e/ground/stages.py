"""KWOK's stages: what a simulated node and a simulated pod do by themselves.

KWOK's own stages make nodes Ready, keep their heartbeat, and make a bound pod Running and Ready at once; a
deleted pod goes at once.  Those of ``simulation.yaml`` let a pod say more about itself, by annotations:

    sim.berth.dev/run-seconds: "12.5"      Succeeded this long after it became Running, exit code 0
    sim.berth.dev/fail-seconds: "3"        Failed this long after it became Running; the earlier of both happens
    sim.berth.dev/exit-code: "137"         exit code of a failure, 1 when not given
    sim.berth.dev/terminate-seconds: "2"   a deleted pod stays this long, though no longer than its grace period

All are numbers in quotes; a pod with another value Fails with reason InvalidSimulation.  An annotation may come
later than the pod: then its time counts from the moment it came, unless the pod had one of the first two already.
Without run-seconds and fail-seconds a pod runs until it is deleted, whoever owns it.
"""

from collections.abc import Iterable
from pathlib import Path

RUN_SECONDS = "sim.berth.dev/run-seconds"
FAIL_SECONDS = "sim.berth.dev/fail-seconds"
EXIT_CODE = "sim.berth.dev/exit-code"
TERMINATE_SECONDS = "sim.berth.dev/terminate-seconds"

_SIMULATION = Path(__file__).with_name("simulation.yaml")


def configuration(standard: Iterable[Path], *, extra: Iterable[Path] = ()) -> str:
    """Content of KWOK's configuration file: its standard stages, ours, and those of ``extra`` files."""
    return "---\n".join(f"{path.read_text().rstrip()}\n" for path in (*standard, _SIMULATION, *extra))

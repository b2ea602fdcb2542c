"""Playing the runs of a scenario one after the other, or in several processes, with progress and a way to stop.

Results come in the order of the settings, whichever process is done first: what is written from them is the same for
any number of processes.
"""

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple, Protocol

from berth.sim.engine import run
from berth.sim.quality import Result, measure
from berth.sim.scenario.cases import Ready, Setting

_TOLD_SECONDS = 0.25
"""A process tells how far it is at most this often."""
_LOOK_SECONDS = 0.2
"""How often those who wait look whether they are to stop."""
_SELDOM = (50_000, 50, 100)
"""Thresholds of Python's garbage collector during a run."""


class RunError(Exception):
    """A run cannot be played; the text names its setting."""


class Told(NamedTuple):
    """How far a run is: the virtual time, and how many jobs have ended, of how many."""

    number: int
    now: int
    ended: int
    jobs: int


class Watcher(Protocol):
    """Who follows the runs."""

    def told(self, told: Told) -> None:
        """A run has come so far."""

    def done(self, number: int) -> None:
        """A run is over."""


def play(
    ready: Ready,
    settings: Sequence[Setting],
    *,
    processes: int,
    watcher: Watcher,
    stop: Callable[[], bool],
    brief: bool = False,
) -> Iterator[Result]:
    """Play runs. Once `stop` is true those under way end early, as partial ones, and others do not begin.

    `brief`: only figures are wanted, so what became of each task is left out; of a large trace that takes most room.

    Raises RunError.
    """
    if processes <= 1 or len(settings) <= 1:
        return _here(ready, settings, watcher, stop, brief)
    return _elsewhere(ready, settings, min(processes, len(settings)), watcher, stop, brief)


def _here(
    ready: Ready, settings: Sequence[Setting], watcher: Watcher, stop: Callable[[], bool], brief: bool
) -> Iterator[Result]:
    for number, setting in enumerate(settings):
        if stop():
            return
        yield _played(ready, number, setting, watcher.told, stop, brief)
        watcher.done(number)


def _played(
    ready: Ready, number: int, setting: Setting, tell: Callable[[Told], None], stop: Callable[[], bool], brief: bool
) -> Result:
    case = ready.case(setting)
    last = -_TOLD_SECONDS

    def progress(now: int, ended: int) -> None:
        nonlocal last
        at = time.monotonic()
        if at - last >= _TOLD_SECONDS:
            last = at
            tell(Told(number, now, ended, len(case.tasks)))

    try:
        with uncollected():
            record = run(case, progress=progress, stop=stop)
    except ValueError as error:
        raise RunError(f"{case.name}, policy {case.policy}, seed {case.seed}: {error}") from error
    quality = measure(record, case)
    if brief:
        case, record = replace(case, tasks=()), replace(record, lives=())
    return Result(case, record, quality)


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's garbage collector rests, more or less: a run makes no cycles, and going through its tasks takes long."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


# In several processes

_ready: Ready
_brief: bool
_stopping: Any
_news: Any


def _begin(ready: Ready, brief: bool, stopping: Any, news: Any) -> None:
    """Prepare a process: what all its runs have in common. It ends when it is told to, not by Ctrl-C."""
    import signal

    global _ready, _brief, _stopping, _news  # state of the process, set once before its first run
    _ready, _brief, _stopping, _news = ready, brief, stopping, news
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    news.cancel_join_thread()


def _work(number: int, setting: Setting) -> Result | None:
    if _stopping.is_set():
        return None
    return _played(_ready, number, setting, _news.put, _stopping.is_set, _brief)


def _elsewhere(
    ready: Ready,
    settings: Sequence[Setting],
    processes: int,
    watcher: Watcher,
    stop: Callable[[], bool],
    brief: bool,
) -> Iterator[Result]:
    context: BaseContext = multiprocessing.get_context("spawn")
    stopping, news = context.Event(), context.Queue()
    with ProcessPoolExecutor(processes, context, _begin, (ready, brief, stopping, news)) as pool:
        waiting: list[tuple[int, Future[Result | None]]] = []
        left = list(enumerate(settings))
        try:
            while left or waiting:
                # No more than twice as many as there are processes: results wait here in order, and are large.
                while left and len(waiting) < 2 * processes:
                    number, setting = left.pop(0)
                    waiting.append((number, pool.submit(_work, number, setting)))
                number, first = waiting[0]
                while not first.done():
                    wait([first], timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    if stop():
                        stopping.set()
                        left.clear()
                    _drain(news, watcher)
                waiting.pop(0)
                result = first.result()
                watcher.done(number)
                if result is not None:
                    yield result
        finally:
            stopping.set()
            for _, future in waiting:
                future.cancel()
            _drain(news, watcher)


def _drain(news: Any, watcher: Watcher) -> None:
    while not news.empty():
        watcher.told(news.get())

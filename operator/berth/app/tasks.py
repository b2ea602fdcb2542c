"""Tasks beside each other: parts that must not end, and the first of several things to happen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Future[None]"]:
    """Run coroutines beside the body; the future yielded ends with the first of them, which none of them should."""
    tasks = [asyncio.create_task(w) for w in work]
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(task: "asyncio.Task[None]") -> None:
        if ended.done() or task.cancelled():
            return
        error = task.exception()
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    for task in tasks:
        task.add_done_callback(note)
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if ended.done() and not ended.cancelled():
            ended.exception()  # it was raised where it was waited for


async def first(*waits: Any) -> None:
    """Wait for the first of these; raise its error if it failed."""
    tasks = [asyncio.ensure_future(w) for w in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[0].cancel()
    for task in done:
        task.result()

"""Sees every state that the API server gives the pods of a namespace, in order; notes devices that were given twice.

A watch misses nothing, where lists taken again and again see only samples and keep the API server busy with them.
"""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from e2e.ground.api import Api, JsonObject, Stream
from e2e.ground.waiting import until


class Witness:
    """Watches the pods at ``path`` (a namespace's collection) while it is a context.

    ``held`` tells the devices that a pod holds, by node; ``most`` how many a node has. The API server is asked to end
    a watch after ``watch_s`` seconds; the next one goes on where it was.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        *,
        held: Callable[[list[JsonObject]], Counter[str]],
        most: int,
        watch_s: int = 3600,
    ) -> None:
        self.twice: set[str] = set()
        """Nodes on which more devices were held than there are."""
        self.seen = 0
        """Events so far."""
        self.watches = 0
        """Watches so far."""
        self._api = api
        self._path = path
        self._held = held
        self._most = most
        self._watch_s = watch_s
        self._pods: dict[str, Counter[str]] = {}
        self._sums: Counter[str] = Counter()
        self._version = 0
        self._broken: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Self:
        there = self._api.get(self._path)
        for pod in there["items"]:
            self._take(pod, gone=False)
        self._version = int(there["metadata"]["resourceVersion"])
        self._stream = self._open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._stream.close()
        self._thread.join(10)

    def catch_up(self, *, timeout_s: float = 30.0) -> None:
        """Wait until everything that has happened to the pods so far was seen. Raises what broke the watch."""
        pods = self._api.get(self._path)["items"]
        newest = max((int(pod["metadata"]["resourceVersion"]) for pod in pods), default=0)

        def there() -> bool:
            if self._broken is not None:
                raise RuntimeError("the witness has lost sight of the pods") from self._broken
            return self._version >= newest

        until(there, lambda: f"the witness to see version {newest}; it is at {self._version}", timeout_s=timeout_s)

    def _watch(self) -> None:
        try:
            while not self._ended.is_set():
                for line in self._stream.lines():
                    self._hear(json.loads(line))
                if not self._ended.is_set():
                    # The API server ends a watch that falls behind, or is old. What it has not told it tells the next.
                    self._stream.close()
                    self._stream = self._open()
        except BaseException as error:  # noqa: BLE001  # told by catch_up, in the test's thread
            if not self._ended.is_set():
                self._broken = error
        finally:
            self._stream.close()

    def _open(self) -> Stream:
        self.watches += 1
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={self._watch_s}&resourceVersion={self._version}"
        return self._api.stream(f"{self._path}?{query}")

    def _hear(self, event: dict[str, Any]) -> None:
        kind, pod = event["type"], event["object"]
        if kind == "ERROR":
            raise http.client.HTTPException(json.dumps(pod))
        if kind != "BOOKMARK":
            self._take(pod, gone=kind == "DELETED")
            self.seen += 1
        self._version = int(pod["metadata"]["resourceVersion"])

    def _take(self, pod: JsonObject, *, gone: bool) -> None:
        uid = pod["metadata"]["uid"]
        self._sums.subtract(self._pods.pop(uid, Counter()))
        if gone:
            return
        held = self._pods[uid] = self._held([pod])
        self._sums.update(held)
        self.twice |= {node for node in held if self._sums[node] > self._most}

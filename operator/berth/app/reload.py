"""The settings file, read again when it changes: what may change at run time is in force a moment later.

The file is compared by content, every few seconds, and taken when it has been the same twice: a ConfigMap's mount is
swapped as a whole by the kubelet, but an editor may be in the middle of it, and half a file may well be legal. A file
with a mistake changes nothing: the settings before it stay in force, and log and metrics say so until it is mended. A
setting that cannot change while the operator runs (`settings.FIXED`) keeps its value until the next start, and that is
told as well.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from berth.app.settings import FIXED, Settings, SettingsError, load

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""The file is looked at this often. A kubelet takes a minute or so to bring a changed ConfigMap to it."""


class SettingsFile:
    """A settings file; `overrides` of the command line win over each of its versions, too."""

    def __init__(self, path: Path | None, **overrides: Any) -> None:
        self._path = path
        self._overrides = overrides
        self._read: bytes | None = None
        self._seen: bytes | None = None

    def __str__(self) -> str:
        return str(self._path or "settings")

    def changed(self) -> bool:
        """Whether it holds something else than when it was last loaded, and held that when this was last asked."""
        before, self._seen = self._seen, self._content()
        return self._seen == before != self._read

    def load(self) -> Settings:
        """Read it. Raises SettingsError."""
        self._read = self._seen = self._content()
        return load(self._path, **self._overrides)

    def _content(self) -> bytes | None:
        """What it holds; None if it cannot be read, or there is none."""
        try:
            return self._path.read_bytes() if self._path is not None else None
        except OSError:
            return None


class Reloader:
    """Keeps settings current. `take` is given each that is to be in force from now on, in the operator's loop."""

    def __init__(
        self,
        file: SettingsFile,
        started: Settings,
        take: Callable[[Settings], None],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.current = started
        """The settings in force."""
        self.problem: str | None = None
        """Why the file as it is now is not used; None when it is."""
        self.waiting: tuple[str, ...] = ()
        """Settings of the file, as it spells them, that are not in force before the next start."""
        self._file = file
        self._take = take
        self._look = look_seconds

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await asyncio.sleep(self._look)
            self.look()

    def look(self) -> None:
        """Take in the file if it has changed."""
        if not self._file.changed():
            return
        try:
            found = self._file.load()
        except SettingsError as error:
            self.problem = str(error)
            logger.warning("settings not changed: the file has a mistake", extra={"error": self.problem})
            return
        self.problem = None
        kept = {name: getattr(self.current, name) for name in FIXED}
        self.waiting = tuple(to_camel(name) for name in sorted(FIXED) if getattr(found, name) != kept[name])
        if self.waiting:
            logger.warning(
                "settings that need a restart have changed: until then the old ones are in force",
                extra={"file": str(self._file), "settings": list(self.waiting)},
            )
        taken = found.model_copy(update=kept)
        changed = [name for name in Settings.model_fields if getattr(taken, name) != getattr(self.current, name)]
        if changed:
            self.current = taken
            self._take(taken)
            values = {to_camel(name): value for name, value in taken.model_dump(mode="json").items() if name in changed}
            logger.info("settings changed", extra={"settings": values})

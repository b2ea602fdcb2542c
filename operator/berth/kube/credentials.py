"""Who Berth is to the API server, kept valid while the process runs.

Credentials end: a service account's token file is rewritten about every 50 minutes, a login plugin's token or
certificate after an hour. Two things keep them fresh. Where the end is known, they are loaded anew before it.
Where it is not, the server's 401 tells, and the caller asks for `renew`, at most once in a few seconds, so
that thousands of refused requests do not start thousands of plugins.

A client certificate belongs to a connection, not to a request. `generation` counts certificates, so that the
owner of the connections knows when to open new ones.
"""

import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

RENEW_INTERVAL = 5.0
"""Least seconds between two renewals that 401s ask for."""

EARLY_RETRY = 30.0
"""Seconds until the next try when loading ahead of the end failed; the old credentials are used meanwhile."""


@dataclass(frozen=True, slots=True)
class Login:
    """One loaded state. `authorization` is the header's value; `lifetime` in seconds, None if not known."""

    authorization: str | None = field(default=None, repr=False)
    cert_file: str | None = None
    key_file: str | None = None
    lifetime: float | None = None


class Credentials:
    """The current login and how to load the next. It holds no lock: loops of several threads may share it."""

    def __init__(
        self,
        login: Login,
        *,
        load: Callable[[], Awaitable[Login]],
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._tls = tls
        self._clock = clock
        self._loaded = float("-inf")
        self._until = float("inf")
        self.generation = 0
        self._use(login)

    @property
    def authorization(self) -> str | None:
        """Value of the Authorization header; None with a client certificate, or anonymously."""
        return self._login.authorization

    async def fresh(self) -> str | None:
        """Value of the Authorization header, loaded anew when its end is near.

        When that fails the old value is used until the server refuses it, and the failure is logged.
        """
        if self._clock() >= self._until:
            # Moved before the await: whoever asks meanwhile uses the old value and starts no second load.
            self._until = self._clock() + EARLY_RETRY
            try:
                self._use(await self._load())
            except (OSError, ValueError) as error:
                log.warning("Credentials could not be loaded anew, using the old ones: %s", error)
        return self._login.authorization

    async def renew(self) -> None:
        """Load anew because the server refused the login; does nothing within 5 s of the last renewal.

        Raises ConfigError when that is not possible.
        """
        if self._clock() - self._loaded < RENEW_INTERVAL:
            return
        try:
            self._use(await self._load())
        finally:
            # After a plugin that took long, and after a failure: those who waited meanwhile must not run it again.
            self._loaded = self._clock()

    def _use(self, login: Login) -> None:
        if login.cert_file is not None and self._tls is not None:
            # The context is shared by all later connections; those that are open keep the old certificate.
            self._tls.load_cert_chain(login.cert_file, login.key_file)
            self.generation += 1
        self._login = login
        self._until = float("inf") if login.lifetime is None else self._clock() + login.lifetime

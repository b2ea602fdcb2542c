"""Logins that end: loaded anew in time, and not more often than helps."""

import logging

import pytest

from berth.kube.config import ConfigError
from berth.kube.credentials import Credentials, Login


class Logins:
    """Hands out logins with the numbers 1, 2, ... and fails while told to; its clock is set by hand."""

    def __init__(self, lifetime: float | None) -> None:
        self.lifetime = lifetime
        self.loaded = 0
        self.broken = False
        self.now = 0.0

    async def load(self) -> Login:
        if self.broken:
            raise ConfigError("the plugin failed")
        self.loaded += 1
        return Login(authorization=f"Bearer {self.loaded}", lifetime=self.lifetime)

    def credentials(self) -> Credentials:
        first = Login(authorization="Bearer 0", lifetime=self.lifetime)
        return Credentials(first, load=self.load, clock=lambda: self.now)


async def test_a_login_is_loaded_anew_when_its_time_is_over() -> None:
    """Not before, so that a token file is read once a minute and not for each request."""
    logins = Logins(lifetime=60.0)
    credentials = logins.credentials()
    logins.now = 59.0
    assert await credentials.fresh() == "Bearer 0"
    logins.now = 60.0
    assert await credentials.fresh() == "Bearer 1"
    logins.now = 61.0
    assert await credentials.fresh() == "Bearer 1"


async def test_a_login_without_known_end_waits_for_a_refusal() -> None:
    """Only the server can tell that a static token has ended."""
    logins = Logins(lifetime=None)
    credentials = logins.credentials()
    logins.now = 1e9
    assert await credentials.fresh() == "Bearer 0"
    await credentials.renew()
    assert await credentials.fresh() == "Bearer 1"


async def test_the_old_login_serves_while_no_new_one_can_be_had(caplog: pytest.LogCaptureFixture) -> None:
    """A token is loaded ahead of its end, so it still works; the failure is told and tried again later."""
    logins = Logins(lifetime=60.0)
    credentials = logins.credentials()
    logins.now, logins.broken = 60.0, True
    with caplog.at_level(logging.WARNING):
        assert await credentials.fresh() == "Bearer 0"
    assert caplog.messages == ["Credentials could not be loaded anew, using the old ones: the plugin failed"]
    logins.broken = False
    assert await credentials.fresh() == "Bearer 0"
    logins.now = 90.0
    assert await credentials.fresh() == "Bearer 1"


async def test_many_refusals_start_one_renewal() -> None:
    """A storm of 401s must not start a storm of login plugins."""
    logins = Logins(lifetime=None)
    credentials = logins.credentials()
    for _ in range(100):
        await credentials.renew()
    assert logins.loaded == 1
    logins.now = 5.0
    await credentials.renew()
    assert logins.loaded == 2


async def test_a_renewal_that_is_impossible_says_why() -> None:
    """After a refusal there is no old login to go on with."""
    logins = Logins(lifetime=None)
    credentials = logins.credentials()
    logins.broken = True
    with pytest.raises(ConfigError, match="the plugin failed"):
        await credentials.renew()


def test_a_token_is_not_shown_where_a_login_is_printed() -> None:
    """Logs and tracebacks print values."""
    assert "secret" not in repr(Login(authorization="Bearer secret"))

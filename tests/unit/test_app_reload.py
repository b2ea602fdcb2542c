"""The settings file, read again while the operator runs."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth.app.metrics.reloads import SettingsCollector
from berth.app.reload import Reloader, SettingsFile
from berth.app.settings import FIXED, Settings
from berth.core.model import Mode


class Ground:
    """A settings file, and what was taken of it."""

    def __init__(self, tmp_path: Path, **overrides: Any) -> None:
        self.path = tmp_path / "settings.yaml"
        self.write(mode="Observe")
        self.taken: list[Settings] = []
        file = SettingsFile(self.path, **overrides)
        self.started = file.load()
        self.reloader = Reloader(file, self.started, self.taken.append)

    def write(self, **settings: Any) -> None:
        self.path.write_text(yaml.safe_dump(settings))

    def look(self) -> None:
        """Look until a change has been seen twice."""
        self.reloader.look()
        self.reloader.look()

    def metrics(self) -> dict[str, float]:
        return {s.name: s.value for family in SettingsCollector(self.reloader).collect() for s in family.samples}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_a_file_that_has_not_changed_is_not_taken_again(ground: Ground) -> None:
    """However often it is looked at, and whenever it was written."""
    ground.write(mode="Observe")
    ground.look()
    assert (ground.taken, ground.reloader.current) == ([], ground.started)


def test_a_changed_setting_is_in_force_a_moment_later(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which one, and what it is now."""
    ground.write(mode="Active", reportSeconds=3)
    with caplog.at_level(logging.INFO):
        ground.look()
    assert ground.taken == [Settings(mode=Mode.ACTIVE, report_seconds=3)]
    assert ground.reloader.current == ground.taken[0]
    (line,) = caplog.records
    assert line.__dict__["settings"] == {"mode": "Active", "reportSeconds": 3.0}
    assert ground.metrics() == {"berth_settings_valid": 1, "berth_settings_waiting": 0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: Asleep", "mode: 'Asleep': Input should be 'Active' or 'Observe'"),
        ("moed: Active", "moed: there is no such setting"),
        ("{", "is not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_with_a_mistake_keeps_the_settings_before_it(
    ground: Ground, caplog: pytest.LogCaptureFixture, text: str | None, told: str
) -> None:
    """It is told once in the log, and in the metrics until it is mended."""
    if text is None:
        ground.path.unlink()
    else:
        ground.path.write_text(text)
    for _ in range(2):
        ground.look()
    assert (ground.taken, ground.reloader.current) == ([], ground.started)
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert told in line.__dict__["error"]
    assert str(ground.path) in line.__dict__["error"]
    assert ground.metrics()["berth_settings_valid"] == 0

    ground.write(mode="Active")
    ground.look()
    assert ground.reloader.current.mode is Mode.ACTIVE
    assert ground.metrics()["berth_settings_valid"] == 1


def test_a_mistake_that_is_undone_is_no_change(ground: Ground) -> None:
    """Nothing is taken, and all is well again."""
    ground.path.write_text("mode: Asleep")
    ground.look()
    ground.write(mode="Observe")
    ground.look()
    assert (ground.taken, ground.reloader.problem) == ([], None)


OTHER: dict[str, Any] = {
    "listen": "127.0.0.1:1",
    "lease_namespace": "other",
    "lease_name": "other",
    "lease_seconds": 20,
    "identity": "other",
    "connections": 3,
    "pod_priority_class": "other",
}


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_cannot_change_while_the_operator_runs_waits_for_its_next_start(
    ground: Ground, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """It is told, and what else the file says is in force."""
    changed = Settings.model_validate({name: OTHER[name]}).model_dump(mode="json", by_alias=True, exclude_unset=True)
    ground.write(mode="Active", **changed)
    ground.look()
    assert ground.reloader.current == Settings(mode=Mode.ACTIVE)
    assert ground.reloader.waiting == tuple(changed)
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.__dict__["settings"] == list(changed)
    assert ground.metrics() == {"berth_settings_valid": 1, "berth_settings_waiting": 1}

    ground.write(mode="Active")
    ground.look()
    assert ground.metrics()["berth_settings_waiting"] == 0


def test_what_the_command_line_says_wins_over_every_version_of_the_file(tmp_path: Path) -> None:
    """As over the first one."""
    ground = Ground(tmp_path, mode="Observe")
    ground.write(mode="Active", reportSeconds=3)
    ground.look()
    assert ground.reloader.current == Settings(mode=Mode.OBSERVE, report_seconds=3)


def test_without_a_file_nothing_changes() -> None:
    """The settings of the start are in force for ever."""
    taken: list[Settings] = []
    file = SettingsFile(None)
    Reloader(file, file.load(), taken.append).look()
    assert taken == []


def test_a_file_that_is_being_written_is_waited_for(ground: Ground) -> None:
    """Half of it may be legal, and mean something else."""
    ground.path.write_text("")
    ground.reloader.look()
    ground.write(mode="Observe", reportSeconds=3)
    ground.reloader.look()
    assert ground.taken == []
    ground.reloader.look()
    assert ground.taken == [Settings(mode=Mode.OBSERVE, report_seconds=3)]


@pytest.mark.looptime
async def test_the_file_is_looked_at_every_few_seconds(ground: Ground) -> None:
    """Until it is cancelled."""
    task = asyncio.create_task(ground.reloader.run())
    ground.write(mode="Active")
    await asyncio.sleep(5)
    assert ground.reloader.current.mode is Mode.ACTIVE
    task.cancel()

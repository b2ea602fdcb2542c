"""The settings file: what may stand in it, and what is said about what may not."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from berth.app.settings import Settings, SettingsError, load
from berth.core.faults import Waits
from berth.core.model import Mode

NAMES = ", ".join(sorted(to_camel(name) for name in Settings.model_fields))


def written(tmp_path: Path, **settings: Any) -> Path:
    path = tmp_path / "berth.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_without_a_file_there_are_defaults_that_suit_a_cluster() -> None:
    """And that act."""
    assert load(None) == Settings()
    assert load(None).mode is Mode.ACTIVE


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """All of it may be commented out."""
    path = tmp_path / "berth.yaml"
    path.write_text("# mode: Observe\n")
    assert load(path) == Settings()


def test_every_setting_is_read_under_its_name_in_camel_case(tmp_path: Path) -> None:
    """As the fields of all other files of Kubernetes."""
    values: dict[str, Any] = {
        "mode": "Observe",
        "listen": "127.0.0.1:0",
        "quietSeconds": 0.2,
        "batchSeconds": 2,
        "reportSeconds": 0,
        "poolReportSeconds": 1,
        "refusedSeconds": 5,
        "backfillDepth": 2,
        "assumedSeconds": 3600,
        "patiencePercent": 5,
        "auditSeconds": 60,
        "leaseNamespace": "berth-system",
        "leaseName": "berth",
        "leaseSeconds": 20,
        "identity": "berth-0",
        "nodeGraceSeconds": 1,
        "chargeWindowSeconds": 2,
        "unconfirmedPodSeconds": 3,
        "unschedulableSeconds": 4,
        "avoidSeconds": 5,
        "podPriorityClass": "berth",
        "connections": 8,
    }
    assert {to_camel(name) for name in Settings.model_fields} == values.keys()
    found = load(written(tmp_path, **values)).model_dump(mode="json", by_alias=True)
    assert found == values


def test_what_the_command_line_says_wins(tmp_path: Path) -> None:
    """What it does not say does not."""
    found = load(written(tmp_path, mode="Observe", auditSeconds=60), mode=None, listen="127.0.0.1:1", audit_seconds=7)
    assert (found.mode, found.listen, found.audit_seconds) == (Mode.OBSERVE, "127.0.0.1:1", 7)


def test_how_long_doubts_are_waited_out_is_set_here(tmp_path: Path) -> None:
    """In seconds, by default as the heart has it."""
    assert load(None).waits() == Waits()
    values = {"nodeGraceSeconds": 1, "chargeWindowSeconds": 2, "unconfirmedPodSeconds": 3}
    found = load(written(tmp_path, **values, unschedulableSeconds=4, avoidSeconds=5)).waits()
    assert found == Waits(node_grace=1, charge_window=2, unconfirmed=3, unschedulable=4, avoid=5)


ADDRESS = "must be an address and a port of at most 65535, such as 0.0.0.0:8080"
NAME = "must be a name as Kubernetes knows them: lower case letters, digits, `-` and `.`"
WRONG = [
    ("mode", "observe", "Input should be 'Active' or 'Observe'"),
    ("mode", None, "Input should be 'Active' or 'Observe'"),
    ("listen", "8080", ADDRESS),
    ("listen", "localhost:http", ADDRESS),
    ("listen", "0.0.0.0:65536", ADDRESS),
    ("listen", 8080, "Input should be a valid string"),
    ("quietSeconds", -0.1, "Input should be greater than or equal to 0"),
    ("quietSeconds", 5.1, "Input should be less than or equal to 5"),
    ("quietSeconds", True, "Input should be a valid number"),
    ("quietSeconds", "50ms", "Input should be a valid number"),
    ("quietSeconds", float("nan"), "Input should be "),
    ("batchSeconds", 0, "Input should be greater than 0"),
    ("batchSeconds", 61, "Input should be less than or equal to 60"),
    ("reportSeconds", -1, "Input should be greater than or equal to 0"),
    ("reportSeconds", 3601, "Input should be less than or equal to 3600"),
    ("poolReportSeconds", 0, "Input should be greater than or equal to 0.1"),
    ("poolReportSeconds", 3601, "Input should be less than or equal to 3600"),
    ("refusedSeconds", 0.5, "Input should be greater than or equal to 1"),
    ("refusedSeconds", 3601, "Input should be less than or equal to 3600"),
    ("backfillDepth", -1, "Input should be greater than or equal to 0"),
    ("backfillDepth", 101, "Input should be less than or equal to 100"),
    ("assumedSeconds", 59, "Input should be greater than or equal to 60"),
    ("assumedSeconds", 31_536_001, "Input should be less than or equal to 31536000"),
    ("assumedSeconds", "24h", "Input should be a valid integer"),
    ("patiencePercent", -1, "Input should be greater than or equal to 0"),
    ("patiencePercent", 101, "Input should be less than or equal to 100"),
    ("auditSeconds", 0, "Input should be greater than 0"),
    ("auditSeconds", 86401, "Input should be less than or equal to 86400"),
    ("leaseNamespace", "", NAME),
    ("leaseNamespace", "Kube_System", NAME),
    ("leaseName", "-berth", NAME),
    ("leaseSeconds", 0.5, "Input should be greater than or equal to 1"),
    ("leaseSeconds", 301, "Input should be less than or equal to 300"),
    ("identity", 7, "Input should be a valid string"),
    ("nodeGraceSeconds", -1, "Input should be greater than or equal to 0"),
    ("nodeGraceSeconds", 3601, "Input should be less than or equal to 3600"),
    ("chargeWindowSeconds", "90s", "Input should be a valid integer"),
    ("chargeWindowSeconds", 3601, "Input should be less than or equal to 3600"),
    ("unconfirmedPodSeconds", -1, "Input should be greater than or equal to 0"),
    ("unconfirmedPodSeconds", 86401, "Input should be less than or equal to 86400"),
    ("unschedulableSeconds", 0, "Input should be greater than or equal to 1"),
    ("unschedulableSeconds", 3601, "Input should be less than or equal to 3600"),
    ("avoidSeconds", 0, "Input should be greater than or equal to 1"),
    ("avoidSeconds", 3601, "Input should be less than or equal to 3600"),
    ("podPriorityClass", "Berth", "'Berth' must be a name from kubectl get priorityclass"),
    ("connections", 0, "Input should be greater than or equal to 1"),
    ("connections", 1001, "Input should be less than or equal to 1000"),
    ("connections", 1.5, "Input should be a valid integer"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_a_wrong_value_is_told_with_file_field_value_and_what_is_legal(
    tmp_path: Path, name: str, value: Any, text: str
) -> None:
    """Nothing is guessed, and the operator does not start."""
    path = written(tmp_path, **{name: value})
    with pytest.raises(SettingsError, match=re.escape(f"{path}: {name}: {value!r}: {text}")):
        load(path)


def test_every_setting_has_a_wrong_value_in_the_table() -> None:
    """A new one needs a bound, and a word about it."""
    assert {to_camel(name) for name in Settings.model_fields} == {name for name, _, _ in WRONG}


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Not one after the other, one start each."""
    path = written(tmp_path, connections=0, quietSeconds=9)
    with pytest.raises(SettingsError, match=r"quietSeconds: 9: .*; connections: 0: "):
        load(path)


@pytest.mark.parametrize("key", ["quietSecond", "observe", "leaderElection"])
def test_an_unknown_setting_is_told_with_those_that_there_are(tmp_path: Path, key: str) -> None:
    """A typing mistake must not be a setting that silently does nothing."""
    path = written(tmp_path, **{key: 1})
    with pytest.raises(SettingsError, match=re.escape(f"{path}: {key}: there is no such setting; there are {NAMES}")):
        load(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"mode: [", "is not YAML"),
        (b"mode: \xff\xfe", "is not YAML"),
        (b"\x00", "is not YAML"),
        (b"- mode: Observe", "must be a mapping of settings, such as `mode: Observe`"),
        (b"Observe", "must be a mapping of settings, such as `mode: Observe`"),
        (b"1: 2", "1: 1: Keys should be strings"),
    ],
)
def test_a_file_that_is_no_settings_file_is_told_as_that(tmp_path: Path, content: bytes, text: str) -> None:
    """With its name."""
    path = tmp_path / "berth.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(f"{path}: {text}")):
        load(path)


def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    """Missing, or a directory."""
    missing = tmp_path / "nothing.yaml"
    with pytest.raises(SettingsError, match=re.escape(f"{missing}: cannot be read: No such file or directory")):
        load(missing)
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)

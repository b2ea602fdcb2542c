"""The commands as programs: what they import before they run, how they end, what completes them."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from berth.__main__ import main
from berth.cli import completing
from berth.cli.commands import COMMANDS, plugin
from berth.cli.options import of_state

HEAVY = ("aiohttp", "asyncio", "kopf", "kubernetes", "pydantic", "yaml")


def imported(code: str) -> set[str]:
    """Packages that a fresh Python has imported after some code."""
    show = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_help_imports_nothing_of_weight() -> None:
    """It is what a shell runs at every completion; names of jobs cost the rest when they are asked for."""
    assert imported("import berth.__main__, berth.cli.commands").isdisjoint(HEAVY)


def test_commands_that_read_statuses_import_no_models() -> None:
    """Objects are shown as they came; what validates them and what plans with them costs most of a second."""
    code = "import berth.cli.work, berth.cli.watch, berth.cli.queue, berth.cli.history, berth.cli.top"
    assert imported(code).isdisjoint({"kopf", "kubernetes", "pydantic", "prometheus_client"})


def test_both_programs_have_the_same_commands() -> None:
    """`berth queue` and `kubectl berth queue` are one."""
    assert set(plugin.commands) == {command.name for command in COMMANDS}
    assert set(main.commands) == set(plugin.commands) | {"run", "replay"}


def told_in_the_guide() -> list[str]:
    """Every command that the guide shows."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "plugin.md").read_text()
    return [line.removeprefix("$ kubectl berth ") for line in guide.splitlines() if line.startswith("$ kubectl berth ")]


def test_the_guide_shows_every_command_and_only_what_there_is() -> None:
    """What it shows can be typed."""
    lines = told_in_the_guide()
    for line in lines:
        name, *words = line.split()
        plugin.commands[name].make_context(name, words)
    assert {line.split()[0] for line in lines} | {"completion"} == set(plugin.commands)


USAGE = {
    "queue of one namespace and of all": ["queue", "-A", "-n", "x"],
    "watching for scripts": ["queue", "-w", "-o", "json"],
    "explaining nothing": ["explain"],
    "planning nothing": ["plan"],
    "releasing nothing": ["release"],
    "releasing some and all": ["release", "a", "--all"],
    "an unknown form": ["top", "-o", "xml"],
}


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE.keys())
def test_wrong_usage_ends_with_2_before_anybody_is_asked(words: list[str]) -> None:
    """The text says what is wrong."""
    ended = CliRunner().invoke(plugin, [*words, "--kubeconfig", "/nowhere"] if len(words) > 1 else words)
    assert ended.exit_code == 2
    assert "Error: " in ended.output


def test_a_kubeconfig_that_is_not_there_is_named() -> None:
    """And ends with 1."""
    ended = CliRunner().invoke(plugin, ["queue", "--kubeconfig", "/nowhere/config"])
    assert (ended.exit_code, ended.output) == (
        1,
        "Error: kubeconfig /nowhere/config: there is no such file; correct the path\n",
    )


def test_exit_codes_tell_states() -> None:
    """0: it runs or has succeeded; 3: it waits; 4: it has failed for good."""
    states = ("Starting", "Running", "Succeeded", "Pending", "Requeued", "Suspended", "Unknown", "Failed")
    assert [of_state(state) for state in states] == [0, 0, 0, 3, 3, 3, 3, 4]


def test_kubectl_is_told_candidates_in_its_own_form() -> None:
    """One a line, help after a tab, then cobra's directive: no file names but after -f."""
    lines = list(completing.candidates(plugin, ["qu"]))
    assert lines == ["queue\tJobs that wait: in which order, why, and...", ":4"]
    assert list(completing.candidates(plugin, ["top", "-o", ""])) == ["wide", "json", "yaml", "name", ":4"]
    assert list(completing.candidates(plugin, ["plan", "-f", ""]))[-1] == ":0"
    assert "explain" in {line.partition("\t")[0] for line in completing.candidates(plugin, [""])}


def test_names_that_cannot_be_had_are_no_candidates(capfd: pytest.CaptureFixture[str]) -> None:
    """A cluster that is not there, and rights that are missing, leave the line as it was typed; nothing is printed."""
    for words in (["explain"], ["history"], ["release"], ["tree"]):
        assert list(completing.candidates(plugin, [*words, "--kubeconfig", "/nowhere", ""])) == [":4"]
    assert list(completing.candidates(plugin, ["queue", "--kubeconfig", "/nowhere", "--pool", ""])) == [":4"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_for_the_program_that_prints_them(shell: str) -> None:
    """The variable that they set is the one that the program looks at."""
    ended = CliRunner().invoke(main, ["completion", shell], prog_name="berth")
    assert ended.exit_code == 0
    assert "_BERTH_COMPLETE=" in ended.output
    ended = CliRunner().invoke(plugin, ["completion", shell], prog_name="kubectl berth")
    assert "_KUBECTL_BERTH_COMPLETE=" in ended.output

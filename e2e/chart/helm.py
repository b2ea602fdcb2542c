"""Helm, with all of its own files in a directory that is given: nothing of the user's is read or written."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.chart.generate import CHART, ROOT
from e2e.ground.binaries import Binaries, Origin

_TIMEOUT_S = 120.0
Manifest = dict[str, Any]


class HelmError(RuntimeError):
    """Helm refused; the message is what it said."""


class Helm:
    """Runs Helm on Berth's chart. `kubeconfig`: the cluster, for commands that need one."""

    def __init__(self, directory: Path, *, kubeconfig: Path | None = None, binaries: Binaries | None = None) -> None:
        self._program = tool("helm", binaries)
        self._directory = directory
        self._rendered: dict[tuple[str, str, str], str] = {}
        homes = {f"HELM_{kind}_HOME": str(directory / f"helm-{kind.lower()}") for kind in ("CACHE", "CONFIG", "DATA")}
        self._env = {**os.environ, **homes}
        if kubeconfig is not None:
            self._env["KUBECONFIG"] = str(kubeconfig)

    def render(
        self, values: Mapping[str, Any] | None = None, *, name: str = "berth", namespace: str = "berth-system"
    ) -> str:
        """The manifests of a release, as YAML; the same are rendered once. Raises HelmError."""
        key = (yaml.safe_dump(dict(values or {})), name, namespace)
        if key not in self._rendered:
            options = ["--namespace", namespace]
            self._rendered[key] = self.run("template", name, str(ROOT / CHART), *options, values=values)
        return self._rendered[key]

    def manifests(
        self, values: Mapping[str, Any] | None = None, *, name: str = "berth", namespace: str = "berth-system"
    ) -> list[Manifest]:
        """The same, read."""
        return [found for found in yaml.safe_load_all(self.render(values, name=name, namespace=namespace)) if found]

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run a command with values; what it says. Raises HelmError."""
        options: list[str] = []
        if values is not None:
            path = self._directory / "values.yaml"
            path.write_text(yaml.safe_dump(dict(values)))
            options = ["--values", str(path)]
        done = subprocess.run(
            [str(self._program), *arguments, *options],
            capture_output=True,
            text=True,
            env=self._env,
            check=False,
            timeout=timeout_s,
        )
        if done.returncode != 0:
            raise HelmError(
                f"helm {' '.join(arguments)}: exit code {done.returncode}\n{(done.stdout + done.stderr).strip()}"
            )
        return done.stdout


def tool(name: str, binaries: Binaries | None = None) -> Path:
    """A program that the chart is checked with; it is not built here, as that takes minutes."""
    found = (binaries or Binaries()).find(name)
    if found.origin is Origin.ABSENT:
        raise RuntimeError(f"{name} is not built; run `make tools` first")
    return found.path


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one manifest of a kind, or of a kind and a name."""
    found = [m for m in manifests if m["kind"] == kind and name in ("", m["metadata"]["name"])]
    if len(found) != 1:
        raise LookupError(f"{len(found)} manifests of {kind} {name}".rstrip())
    return found[0]

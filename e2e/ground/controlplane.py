"""One control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK on loopback.

    with ControlPlane() as plane:
        plane.kubectl("get", "--raw", "/readyz")

It starts empty, with a certificate authority of its own, in a directory that is its own; several live side by side.
However its owner ends, nothing of it runs on: a normal end stops the programs in order, and a killed owner takes
them along (``processes``).  A part may be killed, frozen and brought back on the same port and data, as tests of
failures need.
"""

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.ground import pki, ports, stages, workspace
from e2e.ground.api import Api, ApiError
from e2e.ground.binaries import Binaries
from e2e.ground.components import COMPONENTS, ENVIRONMENT, PORT_NAMES, SERVER_HOSTS, Layout, arguments
from e2e.ground.processes import Child
from e2e.ground.waiting import until

_GRACE_S = 5.0
_END_S = 1.0
_SERVERS = ("etcd", "kube-apiserver")
_HEALTH_PATHS = {"etcd": "/health", "kube-apiserver": "/readyz"}
_IDENTITIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kwok": ("kwok", ("system:masters",)),
}


class KubectlError(RuntimeError):
    """kubectl failed; the message holds its arguments and what it said."""


class ControlPlane:
    """A control plane that this process owns.

    ``directory`` keeps its files and logs after the stop; without one a temporary directory is used and removed.
    A directory is started from empty: what an earlier control plane left in it is removed, a directory that holds
    anything else is refused.  ``base_port`` is the API server's port, the five after it are used too; without it
    free ports are taken.  ``components`` are those to run, of ``components.COMPONENTS``; etcd and kube-apiserver
    must be among them.  ``extra_args`` are added to a component's command line.  ``stages_file`` is a configuration of
    KWOK to use in place of its standard stages and ours.  ``timeout_s`` is how long the
    start may take.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        base_port: int | None = None,
        components: Collection[str] = COMPONENTS,
        extra_args: Mapping[str, Sequence[str]] | None = None,
        binaries: Binaries | None = None,
        stages_file: Path | None = None,
        timeout_s: float = 90.0,
    ) -> None:
        extra = {} if extra_args is None else dict(extra_args)
        for what, names in (("components", components), ("extra_args", extra)):
            unknown = sorted(set(names) - set(COMPONENTS))
            if unknown:
                raise ValueError(f"{what}: {', '.join(unknown)} unknown; choose from {', '.join(COMPONENTS)}")
        if not {"etcd", "kube-apiserver"} <= set(components):
            raise ValueError(f"components {sorted(components)}: etcd and kube-apiserver are needed")
        self._wanted_directory = directory
        self._base_port = base_port
        self._names = tuple(name for name in COMPONENTS if name in components)
        self._extra = extra
        self._binaries = Binaries() if binaries is None else binaries
        self._stages_file = stages_file
        self._timeout_s = timeout_s
        self._layout: Layout | None = None
        self._children: dict[str, Child] = {}
        self._api: Api | None = None
        self._health: dict[str, Api] = {}
        self._kubectl: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def layout(self) -> Layout:
        """Directory, ports and files; RuntimeError before the start and after the stop."""
        if self._layout is None:
            raise RuntimeError("the control plane is not started")
        return self._layout

    @property
    def directory(self) -> Path:
        """Where all of its files are."""
        return self.layout.root

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self.layout.server

    @property
    def ports(self) -> Mapping[str, int]:
        """Ports by ``components.PORT_NAMES``."""
        return self.layout.ports

    @property
    def api(self) -> Api:
        """Requests as administrator."""
        if self._api is None:
            raise RuntimeError("the control plane is not started")
        return self._api

    @property
    def pids(self) -> dict[str, int]:
        """Process numbers of the components that run."""
        return {name: child.pid for name, child in self._children.items() if child.alive and child.pid}

    def start(self) -> None:
        """Start everything and wait until pods can be created.

        ChildError when a component dies meanwhile, TimeoutError when it takes too long, ports.PortTakenError,
        workspace.DirectoryInUseError, gobuild.BuildError.  Whatever ends the start, Ctrl-C included, nothing is
        left running.
        """
        if self._layout is not None:
            raise RuntimeError("the control plane is started already")
        programs = self._binaries.ensure((*self._names, "kubectl"))
        standard_stages = self._binaries.stage_files() if "kwok" in self._names else ()
        chosen = ports.assign(PORT_NAMES, base=self._base_port)
        try:
            self._layout = Layout(workspace.claim(self._wanted_directory), chosen)
            self._kubectl = programs["kubectl"]
            self._write_files(standard_stages)
            for name in self._names:
                argv = [str(programs[name]), *arguments(name, self.layout), *self._extra.get(name, ())]
                self._children[name] = Child(
                    name,
                    argv,
                    log=self.layout.log(name),
                    pid_file=self.directory / f"{name}.pid",
                    cwd=self.directory,
                    env={**ENVIRONMENT, **os.environ},
                )
            self._start_children()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything that runs; does nothing when nothing does."""
        for client in (self._api, *self._health.values()):
            if client is not None:
                client.close()
        self._api, self._health = None, {}
        # All are told at once, as nothing has to be brought to safety: the next start begins empty.
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + _END_S
        for child in reversed(self._children.values()):
            child.stop(grace_s=max(0.0, deadline - time.monotonic()))
        self._children = {}
        if self._layout is not None:
            if self._wanted_directory is None:
                shutil.rmtree(self.directory)
            else:
                workspace.release(self.directory)
            self._layout = None

    def child(self, component: str) -> Child:
        """The process of one component; KeyError when it is not one of this control plane."""
        return self._children[component]

    def pause(self, component: str) -> None:
        """Freeze a component: its connections stay open and nothing answers."""
        self.child(component).pause()

    def resume(self, component: str) -> None:
        """Let a frozen component run on."""
        self.child(component).resume()

    def kill(self, component: str) -> None:
        """SIGKILL a component and wait until it is gone."""
        self.child(component).kill()

    def stop_component(self, component: str) -> None:
        """Stop a component in good order."""
        self.child(component).stop(grace_s=_GRACE_S)

    def start_component(self, component: str) -> None:
        """Bring a component back on its port and data, and wait until it is ready."""
        if component == "kwok" and not self.child("kwok").alive:
            # A new KWOK is somebody else to the leases of the old one and would wait until they expire.
            self.api.delete("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
        self.child(component).start()
        self.wait_ready(component)

    def wait_ready(self, component: str = "kube-apiserver", *, timeout_s: float | None = None) -> None:
        """Wait until a component says that it is ready; ChildError when it has died."""
        health = self._health[component]
        path = _HEALTH_PATHS.get(component, "/healthz")
        self._wait_for(component, f"{component} to be ready", lambda: _answers(lambda: health.text(path)), timeout_s)

    def check(self) -> None:
        """Raise ChildError when one of the components has died."""
        for child in self._children.values():
            if child.pid is not None:
                child.check()

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator; KubectlError when it fails, unless ``check`` is off."""
        if self._kubectl is None:
            raise RuntimeError("the control plane is not started")
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.directory / "kubectl-cache")}
        done = subprocess.run(
            [str(self._kubectl), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env=env,
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr.strip()}")
        return done

    def _write_files(self, standard_stages: Sequence[Path]) -> None:
        """Certificates, keys, kubeconfigs and stages."""
        at = self.layout
        at.pki.mkdir(mode=0o700)
        authority = pki.Authority("berth-ground", now=datetime.now(UTC))
        authority.pair.write(at.pki, "ca")
        authority.issue("kube-apiserver", hosts=SERVER_HOSTS).write(at.pki, "server")
        private, public = pki.service_account_keys()
        pki.write_secret(at.pki / "sa.key", private)
        (at.pki / "sa.pub").write_bytes(public)
        users: dict[Path, tuple[str, tuple[str, ...]]] = {at.kubeconfig: ("admin", ("system:masters",))}
        users |= {at.component_kubeconfig(name): user for name, user in _IDENTITIES.items() if name in self._names}
        for path, (user, groups) in users.items():
            content = pki.kubeconfig(
                server=at.server,
                authority=authority.pair.certificate,
                user=user,
                pair=authority.issue(user, organizations=groups),
            )
            pki.write_secret(path, content.encode())
        if standard_stages:
            own = self._stages_file
            at.stages.write_text(stages.configuration(standard_stages) if own is None else own.read_text())
        self._api = Api.from_kubeconfig(at.kubeconfig)
        self._health = {name: self._api.at(at.url(name)) for name in self._names}

    def _start_children(self) -> None:
        clients = [name for name in self._names if name not in _SERVERS]
        for names in (_SERVERS, clients):
            for name in names:
                self._children[name].start()
            for name in names:
                self.wait_ready(name)
        if "kube-controller-manager" in clients:
            # No pod can be created before its service account is there.
            path = "/api/v1/namespaces/default/serviceaccounts/default"
            present = partial(_answers, lambda: self.api.get(path))
            self._wait_for("kube-controller-manager", "the service account 'default'", present)
        self.check()

    def _wait_for(
        self, component: str, what: str, condition: Callable[[], bool], timeout_s: float | None = None
    ) -> None:
        child = self.child(component)

        def satisfied() -> bool:
            child.check()
            return condition()

        timeout = self._timeout_s if timeout_s is None else timeout_s
        until(satisfied, lambda: f"{what}; end of {child.log}:\n{child.tail()}", timeout_s=timeout)


def _answers(request: Callable[[], object]) -> bool:
    try:
        request()
    except (ApiError, OSError, http.client.HTTPException):
        return False
    return True

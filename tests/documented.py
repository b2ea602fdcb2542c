"""Commands that the documents show, and what is done with each: run by a test, or left out for a reason.

Both lists are closed: a command that is in neither fails a test, and so does an entry that no document shows any more.
`tests/integration/test_documented.py` runs the stories, in their order, each on a control plane of its own. Where a
document shows what is answered, the first line of it has to be that.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from e2e.chart.generate import ROOT

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_PROGRAMS = ("berth", "helm", "kubectl", "make", "pip", "pipx")
_WORDS = 3  # fewer name a command, and do not call it

_WARN = (
    "kubectl patch validatingadmissionpolicybinding berth-accelerators --type=merge "
    """-p '{"spec":{"validationActions":["Warn"]}}'"""
)
_MIRRORED = (
    "helm install berth charts/berth -n berth-system --create-namespace "
    "--set image.repository=registry.example/ml/berth"
)

_WHAT_IF = (
    "berth simulate now.yaml --set job=vision/resnet,replicas=2 --set job=vision/resnet,level=leaf,policy=Required"
)
_QUEUED = "takes a job that waits; test_simulate_live.py asks about one"

STORIES: dict[str, tuple[str, ...]] = {
    # A cluster without Helm, the operator run from a clone; then its users.
    "by hand": (
        "kubectl apply --server-side -f crds/",
        "kubectl apply -f crds/",
        "kubectl apply -f policies/",
        "kubectl apply -f crds/ -f policies/",
        "berth run",
        "berth run --config settings.yaml",
        "kubectl get crd",
        "kubectl get validatingadmissionpolicies",
        "kubectl get lease -n kube-system berth-operator",
        "kubectl apply -f examples/10-pool-h800.yaml",
        "kubectl get apool",
        "kubectl get apool -o wide",
        "kubectl describe apool",
        "kubectl describe apool h800",
        "kubectl apply -f examples/00-namespaces.yaml -f examples/30-job-small.yaml",
        "kubectl get tj -n vision -o wide",
        "kubectl get tj -o wide",
        "kubectl describe tj",
        "kubectl describe tj resnet",
        "kubectl describe tj resnet -n vision",
        "kubectl plugin list",
        "source <(berth completion bash)",
        "kubectl berth --help",
        "kubectl berth queue",
        "kubectl berth queue -n vision",
        "kubectl berth explain llama -n vision",
        "kubectl berth explain resnet -n vision",
        "kubectl berth plan -f job.yaml",
        "kubectl berth plan -f small.yaml",
        "kubectl berth top",
        "kubectl berth tree",
        "kubectl berth tree h800",
        "kubectl berth history flaky -n vision",
        "berth simulate scenarios/small.yaml --out results",
        "berth snapshot > now.yaml",
        "berth simulate now.yaml --html future.html",
        "berth replay cycle.json",
        "berth replay cycle.json --explain llm/llama",
        "kubectl label namespace vision berth.dev/managed=true",
        _WARN,
        "kubectl berth release --all -n vision",
    ),
    # A cluster with Helm, from the first release to nothing.
    "with Helm": (
        "helm template berth charts/berth -n berth-system --show-only templates/rbac.yaml",
        "helm install berth charts/berth --namespace berth-system --create-namespace",
        "kubectl rollout status -n berth-system deployment/berth",
        "kubectl get pods -n berth-system",
        "kubectl create clusterrolebinding berth-planners --clusterrole=berth-planner --group=ml-engineers",
        "kubectl auth can-i --list --as=system:serviceaccount:berth-system:berth",
        "helm upgrade berth charts/berth -n berth-system",
        "helm upgrade berth charts/berth -n berth-system --reuse-values --set settings.mode=Active",
        "helm rollback berth -n berth-system",
        "helm uninstall berth -n berth-system",
        _MIRRORED,
        "kubectl delete crd trainingjobs.berth.dev acceleratorpools.berth.dev",
        "kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy berth-fence",
    ),
}

LEFT_OUT: dict[str, str] = {
    "make demo": "takes minutes; tests of the demo run what it consists of",
    'make demo DEMO="--gangs 24 --keep"': "the same",
    'make demo DEMO="--gangs 60 --keep"': "the same",
    "make demo DEMO=--keep": "the same",
    "make test": "runs this test",
    "make e2e": "is the kind suite, which .ci/run runs",
    "export PYTHONPATH=operator:.": "of the kind suite",
    ".venv/bin/python -m e2e.kind doctor": "of the kind suite",
    ".venv/bin/python -m e2e.kind up": "of the kind suite",
    ".venv/bin/python -m e2e.kind down": "of the kind suite",
    "pip install .": "the environment that runs this test was installed so",
    "pipx install .": "pipx is the user's",
    "kubectl port-forward -n berth-system deploy/berth 8080 &": "takes a kubelet; the test asks a process",
    "curl -s http://127.0.0.1:8080/debug/snapshot > cycle.json": "the same",
    "kubectl drain --disable-eviction": "takes the user's node",
    "kubectl describe tj NAME": "NAME is the user's; run for resnet",
    "kubectl describe apool NAME": "NAME is the user's; run for h800",
    "kubectl rollout restart": "takes the user's Deployment",
    "kubectl logs --previous": "takes a kubelet",
    "kubectl get apool --field-selector": "takes one of the fields that follow; test_columns.py asks by each",
    "kubectl get tj --field-selector": "the same",
    "kubectl get -o wide": "is completed by a kind; run with each of them",
    "kubectl delete tj": "takes a name; run by most other tests",
    "helm upgrade --install": "is completed above; test_chart_release.py runs it",
    "make bench ONLY=plugin_help": "a benchmark",
    "berth simulate FILE": "FILE is the user's; run for small.yaml",
    "berth simulate scenarios/small.yaml": "the same; run with --out",
    "berth simulate mine.yaml": "mine.yaml is the user's; test_sim_scenario_mistakes.py has its mistakes",
    "berth simulate --from-cluster --job vision/resnet --replicas 2": _QUEUED,
    "kubectl berth simulate --from-cluster --job resnet --replicas 2": _QUEUED,
    _WHAT_IF: _QUEUED,
    "kubectl berth snapshot": "run as `berth snapshot`",
    "kubectl berth plan": "takes a file; run with two",
}


def documents() -> Iterator[Path]:
    """README, and what users read: guides, concepts, reference."""
    yield ROOT / "README.md"
    for folder in ("guides", "concepts", "reference"):
        yield from sorted((ROOT / "docs" / folder).glob("*.md"))


def shown() -> dict[str, str]:
    """Every command of the documents, with the name of one that shows it."""
    return {command: path.name for path in documents() for command in commands(path.read_text())}


def answers() -> dict[str, str]:
    """The first line that documents show as the answer to a command, where they show one."""
    found: dict[str, str] = {}
    for path in documents():
        for language, block in _FENCED.findall(path.read_text()):
            lines = block.splitlines() if language == "" else []
            for asked, told in pairwise(lines):
                if asked.startswith("$ "):
                    found[asked.removeprefix("$ ")] = told
    return found


def commands(text: str) -> Iterator[str]:
    """Commands of a document: of blocks without a language, and those in a sentence that are more than a name."""
    for language, block in _FENCED.findall(text):
        if language in ("", "sh", "bash", "console"):
            yield from _of_block(block)
    for code in _INLINE.findall(_FENCED.sub("", text)):
        command = " ".join(code.split())
        if command.split()[0] in _PROGRAMS and len(command.split()) >= _WORDS:
            yield command


def _of_block(block: str) -> Iterator[str]:
    """Lines after a prompt where there are prompts. Elsewhere all lines, unless the block is a picture or an output."""
    lines = block.splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in prompted or ([] if _is_output(lines) else lines):
        command = re.sub(r"\s+#.*$", "", line).strip()
        if command:
            yield command


OUTPUTS = (
    " kubectl apply ─► API server",  # README: the way of a job
    "Berth  847 hosts",  # the demo's screen
    'pods "eval" is forbidden',  # a refusal
)
"""How blocks without a language begin that show no commands."""


def _is_output(lines: list[str]) -> bool:
    return lines[0].startswith(OUTPUTS)

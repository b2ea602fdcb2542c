"""The commands for people, as click declares them: names, options, help. What they do is in `work`.

They stand in two programs: `berth`, and `kubectl-berth`, which kubectl runs for `kubectl berth`. Nothing of weight is
imported here, so that help and completion are quick.
"""

import sys
from pathlib import Path
from typing import Any

import click

from berth import __version__
from berth.cli import options

_LISTS = ("wide", "json", "yaml", "name")


def _target(found: dict[str, Any]) -> Any:
    """Take the options of the cluster out of a command's own."""
    from berth.cli.cluster import Target

    given = {key: found.pop(key, None) for key in ("kubeconfig", "context", "namespace")}
    return Target(**given, everywhere=bool(found.pop("everywhere", False)))


def _alone(form: str | None, *, watch: bool) -> None:
    if watch and form not in (None, "wide"):
        raise click.UsageError(f"--watch prints tables only: leave out -o {form}, or use kubectl get -w -o {form}")


def _scoped(found: dict[str, Any]) -> None:
    if found.get("everywhere") and found.get("namespace"):
        raise click.UsageError("-n names one namespace and -A means all: leave one of the two out")


@click.command()
@options.cluster
@options.namespace
@options.everywhere
@click.option("--pool", help="Only jobs that may run in this pool.", shell_complete=options.completed("pools"))
@options.output(*_LISTS)
@options.watch
def queue(pool: str | None, output: str | None, watch: bool, **found: Any) -> None:
    """Jobs that wait: in which order, why, and when each may start."""
    _alone(output, watch=watch)
    _scoped(found)
    from berth.cli import work

    options.run(work.show_queue(_target(found), output, pool, watch=watch))


_EXIT_CODE = click.option(
    "--exit-code", is_flag=True, help="End with 3 if the job waits, with 4 if it has failed for good."
)


@click.command()
@click.argument("job", shell_complete=options.completed("jobs"))
@options.cluster
@options.namespace
@options.output("json", "yaml", "name")
@options.watch
@_EXIT_CODE
def explain(job: str, output: str | None, watch: bool, exit_code: bool, **found: Any) -> None:
    """Where a job stands, why it waits, and what would let it start.

    JOB is NAME or NAMESPACE/NAME.
    """
    _alone(output, watch=watch)
    from berth.cli import work

    options.run(work.show_job(_target(found), job, output, watch=watch, past=False, exit_code=exit_code))


@click.command()
@click.argument("job", shell_complete=options.completed("jobs"))
@options.cluster
@options.namespace
@options.output("json", "yaml", "name")
@options.watch
def history(job: str, output: str | None, watch: bool, **found: Any) -> None:
    """Attempts of a job: what ended each, what was charged, how long it held devices.

    JOB is NAME or NAMESPACE/NAME.
    """
    _alone(output, watch=watch)
    from berth.cli import work

    options.run(work.show_job(_target(found), job, output, watch=watch, past=True, exit_code=False))


@click.command()
@options.cluster
@options.output(*_LISTS)
@options.watch
def top(output: str | None, watch: bool, **found: Any) -> None:
    """Pools, and their devices by state."""
    _alone(output, watch=watch)
    from berth.cli import work

    options.run(work.show_pools(_target(found), output, watch=watch))


@click.command()
@click.argument("pool", nargs=-1, shell_complete=options.completed("pools"))
@options.cluster
@click.option("--nodes", is_flag=True, help="Down to the single node.")
@options.output("wide", "json", "yaml")
def tree(pool: tuple[str, ...], nodes: bool, output: str | None, **found: Any) -> None:
    """Network tree of the pools (all, or those named): what is free, and who has the rest."""
    from berth.cli import work

    options.run(work.show_tree(_target(found), pool, output, nodes=nodes))


@click.command()
@click.option("-f", "--filename", "file", required=True, help="Manifest of one or several TrainingJobs; -: stdin.")
@options.cluster
@options.namespace
@options.output("json", "yaml", "name")
@click.option("--exit-code", is_flag=True, help="End with 3 if a job would wait.")
def plan(file: str, output: str | None, exit_code: bool, **found: Any) -> None:
    """Where a job would run if it were applied now, or why it would wait. Writes nothing."""
    from berth.cli import work

    options.run(work.show_plan(_target(found), file, output, exit_code=exit_code))


@click.command()
@click.argument("file", required=False)
@click.option("--policy", "policies", multiple=True, metavar="P", help="Instead of the file's policies; repeatable.")
@click.option(
    "--load",
    "loads",
    multiple=True,
    metavar="L",
    type=click.FloatRange(0, 10, min_open=True),
    help="Instead of the file's loads; repeatable.",
)
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="Seeds 1 to N instead of the file's.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a report for a browser.")
@click.option("--json", "json_", type=click.Path(path_type=Path), metavar="FILE", help="Write JSON lines.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write both into a directory.")
@click.option("-j", "--processes", type=click.IntRange(1), default=1, show_default=True, help="Runs at one time.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr. Absent: if that is a terminal.")
@options.output("wide", "json")
@click.option("--from-cluster", is_flag=True, help="Play the present cluster and queue forward, instead of a file.")
@click.option("--job", metavar="NAME", help="A job of the queue: when it starts, beside what --replicas and --set ask.")
@click.option("--replicas", type=click.IntRange(1), metavar="N", help="With --job: what if it asks for so many?")
@click.option(
    "--set", "sets", multiple=True, metavar="job=NAME,FIELD=VALUE,...", help="What if this job were so? Repeatable."
)
@options.cluster
@options.namespace
def simulate(
    file: str | None,
    policies: tuple[str, ...],
    loads: tuple[float, ...],
    seeds: int | None,
    html: Path | None,
    json_: Path | None,
    out: Path | None,
    processes: int,
    progress: bool | None,
    output: str | None,
    from_cluster: bool,
    job: str | None,
    replicas: int | None,
    sets: tuple[str, ...],
    **found: Any,
) -> None:
    """Play a scenario under the cluster's own rules and a virtual clock, or what the present cluster will do.

    FILE is a scenario, see docs/reference/scenario.md. With --job or --set it tells when the job starts, as it is and
    as it would be.
    """
    if from_cluster == (file is not None):
        raise click.UsageError("name a scenario, or give --from-cluster, and not both")
    if replicas is not None and job is None:
        raise click.UsageError("--replicas needs --job: whose replicas?")
    if not from_cluster and (found["kubeconfig"] or found["context"] or found["namespace"]):
        raise click.UsageError("--kubeconfig, --context and -n say which cluster --from-cluster means; leave them out")
    asked = job is not None or bool(sets)
    if from_cluster and (policies or loads or seeds is not None):
        raise click.UsageError("--policy, --load and --seeds are for scenarios; write one with berth snapshot")
    if asked and (policies or loads or seeds is not None or html or json_ or out):
        raise click.UsageError(
            "--job and --set print when the job starts, under the scenario's first policy, load and "
            "seed: leave --policy, --load, --seeds, --html, --json and --out out"
        )
    if asked and output == "wide":
        raise click.UsageError("-o wide is for results of runs; leave it out, or take -o json")

    namespace = found["namespace"]

    def work() -> int:
        if asked:
            from berth.cli import forecast

            document = forecast.from_cluster(_target(found)) if file is None else forecast.from_file(file)
            base = Path(file).parent if file is not None else Path()
            question = forecast.asked(document, base, job, replicas, sets, namespace)
            return forecast.answer(question, output)
        from berth.cli import simulate as simulating
        from berth.sim.scenario.cases import Changes

        outputs = simulating.Outputs.of(output, html, json_, out)
        if file is None:
            from berth.cli import forecast

            ready = forecast.ready(forecast.from_cluster(_target(found)), Path())
        else:
            ready = simulating.read(file, Changes(policies or None, loads or None, seeds))
        return simulating.played(ready, outputs, processes=processes, progress=progress)

    options.finish(work)


@click.command()
@options.cluster
def snapshot(**found: Any) -> None:
    """Print the present cluster and queue as a scenario: berth snapshot > now.yaml, then berth simulate now.yaml."""
    from berth.cli import forecast

    options.finish(lambda: forecast.print_snapshot(_target(found)))


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=options.completed("jobs"))
@options.cluster
@options.namespace
@options.everywhere
@click.option("--all", "whole", is_flag=True, help="All jobs of the namespace.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--force", is_flag=True, help="Do not look whether an operator leads.")
@click.option("--lease-namespace", default="kube-system", show_default=True, help="As in the operator's settings.")
@click.option("--lease-name", default="berth-operator", show_default=True, help="As in the operator's settings.")
def release(
    jobs: tuple[str, ...],
    whole: bool,
    dry_run: bool,
    force: bool,
    lease_namespace: str,
    lease_name: str,
    **found: Any,
) -> None:
    """Let go of jobs where Berth is uninstalled: finalizers of Berth's, and the budgets that refuse evictions.

    Jobs and pods stay.
    """
    _scoped(found)
    if bool(jobs) == (whole or found["everywhere"]):
        raise click.UsageError("name jobs, or give --all (of the namespace) or -A (of all namespaces)")
    from berth.cli import work

    lease = (lease_namespace, lease_name)
    options.run(work.let_go(_target(found), jobs, lease, dry_run=dry_run, force=force))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell: source <(berth completion bash).

    For `kubectl berth`, kubectl itself asks the program kubectl_complete-berth, which is installed with it.
    """
    from berth.cli import completing

    click.echo(completing.script(context.find_root(), shell))


COMMANDS: tuple[click.Command, ...] = (
    queue,
    explain,
    history,
    top,
    tree,
    plan,
    simulate,
    snapshot,
    release,
    completion,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kubectl berth")
def plugin() -> None:
    """Berth for people: what waits and why, where things are, what would fit."""


for _command in COMMANDS:
    plugin.add_command(_command)


def kubectl() -> None:
    """The program `kubectl-berth`."""
    plugin(prog_name="kubectl berth", complete_var="_KUBECTL_BERTH_COMPLETE")


def complete() -> None:
    """The program `kubectl_complete-berth`: kubectl gives it what was typed, and takes one candidate a line."""
    from berth.cli import completing

    for line in completing.candidates(plugin, sys.argv[1:]):
        click.echo(line)

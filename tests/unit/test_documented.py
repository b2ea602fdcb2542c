"""Commands in documents are all known: none goes unnoticed, and none is listed that is not shown."""

from tests.documented import LEFT_OUT, OUTPUTS, STORIES, commands, documents, shown


def test_every_command_is_run_or_left_out_for_a_reason() -> None:
    """One that is new has to be put into a story of `tests/documented.py`, or be told why it cannot be run."""
    known = {command for story in STORIES.values() for command in story} | set(LEFT_OUT)
    unknown = {command: document for command, document in shown().items() if command not in known}
    assert unknown == {}


def test_nothing_is_listed_that_no_document_shows() -> None:
    """Entries go with the command."""
    told = shown()
    listed = [command for story in STORIES.values() for command in story] + list(LEFT_OUT)
    assert [command for command in listed if command not in told] == []
    assert len(set(listed)) == len(listed)
    texts = [path.read_text() for path in documents()]
    assert [output for output in OUTPUTS if not any(f"```\n{output}" in text for text in texts)] == []


def test_reasons_are_given() -> None:
    """A command that is left out says why."""
    assert [command for command, reason in LEFT_OUT.items() if not reason.strip()] == []


def test_commands_are_found_wherever_they_stand() -> None:
    """With and without a prompt, with a remark, in a sentence over two lines; outputs, values and names are none."""
    text = """
```
$ kubectl berth top
NAME  NODES
$ kubectl berth tree h800   # a remark
```

```
helm install a b
docker run --rm c
```

```yaml
kubectl: no
```

`kubectl get
tj -A` shows `kubectl get`, `make generate`, `Pending`.
"""
    assert list(commands(text)) == [
        "kubectl berth top",
        "kubectl berth tree h800",
        "helm install a b",
        "docker run --rm c",
        "kubectl get tj -A",
    ]

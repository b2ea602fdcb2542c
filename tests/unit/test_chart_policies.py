"""Files of policies as templates of the chart: what is replaced, and what cannot become a template."""

from pathlib import Path

import pytest

from e2e.chart.policies import Policy, read

BINDING = """\
# Refuses this and that: see docs. And more.
kind: ValidatingAdmissionPolicy
metadata:
  name: one
spec:
  validations:
  - expression: "{'a': {'b': 1}}['a']['b'] == 1 && user == 'system:serviceaccount:berth-system:berth'"
---
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: one
spec:
  validationActions: [Deny, Audit]
  paramRef:
    namespace: kube-system
    name: berth-operator
"""
MAP = """\
# Parameters.
kind: ConfigMap
metadata:
  name: entries
  namespace: kube-system
data:
  one: |
    a

    b
  two: ""
"""


def policy(tmp_path: Path, text: str, name: str = "two-words.yaml") -> Policy:
    (tmp_path / name).write_text(text)
    (found,) = read(tmp_path)
    return found


def test_a_policy_is_known_by_its_file_its_first_sentence_and_its_actions(tmp_path: Path) -> None:
    """From these its switch and its description are made."""
    found = policy(tmp_path, BINDING)
    assert (found.key, found.says, found.actions) == ("twoWords", "Refuses this and that.", ("Deny", "Audit"))


def test_what_a_release_may_change_is_replaced_and_braces_of_expressions_are_quoted(tmp_path: Path) -> None:
    """Everything else stands as it stood."""
    text = policy(tmp_path, BINDING).template()
    assert text.splitlines()[1] == "{{- if .Values.policies.twoWords.enabled }}"
    assert "{'a': {'b': 1{{ \"}}\" }}['a']['b'] == 1" in text
    assert 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "berth.serviceAccountName" . }}\'"' in text
    assert "  validationActions: {{ toJson .Values.policies.twoWords.validationActions }}\n" in text
    assert "    name: {{ .Values.settings.leaseName }}\n" in text
    assert text.endswith("{{- end }}\n")


def test_entries_of_a_config_map_come_from_the_values_where_they_are(tmp_path: Path) -> None:
    """Empty lines in them, and empty ones, included."""
    found = policy(tmp_path, MAP)
    assert (found.actions, found.parameters[0].entries) == ((), {"one": "a\n\nb\n", "two": ""})
    text = found.template()
    assert 'fromJson `{"one": "a\\n\\nb\\n", "two": ""}`' in text
    assert "    a\n" not in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BINDING.partition("\n")[2], "begins without a comment"),
        (BINDING.replace("[Deny, Audit]", "\n  - Deny"), "each written as `validationActions: \\[Deny\\]`"),
        (BINDING + "---\n" + BINDING.partition("---\n")[2].replace("Deny, ", ""), "the same validationActions"),
        (MAP.replace("data:\n", "data: {}\nother:\n"), "`data:` of each ConfigMap must begin a line"),
    ],
)
def test_a_file_that_cannot_become_a_template_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """With its name and the remedy."""
    with pytest.raises(ValueError, match=told) as refused:
        policy(tmp_path, text)
    assert "two-words.yaml" in str(refused.value)


def test_a_backtick_in_an_entry_is_refused(tmp_path: Path) -> None:
    """It would end the string that the entries are held in."""
    with pytest.raises(ValueError, match="ConfigMap entries: a backtick"):
        policy(tmp_path, MAP.replace("    a\n", "    `a`\n")).template()

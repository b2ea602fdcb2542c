"""The heart and the API say the same words: what is decided must be accepted where it is written."""

from enum import StrEnum

import pytest

from berth.api import job, job_status
from berth.core import model, plan


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(plan.State, job_status.State, id="states"),
        pytest.param(model.Cause, job_status.Cause, id="causes"),
        pytest.param(model.Policy, job.Policy, id="policies"),
    ],
)
def test_the_same_words_on_both_sides(ours: type[StrEnum], theirs: type[StrEnum]) -> None:
    """Neither side has a word that the other does not know."""
    assert {str(word) for word in ours} == {str(word) for word in theirs}


def test_every_reason_is_one_that_a_condition_may_have() -> None:
    """A reason outside the closed set would be refused with the whole status."""
    known = frozenset[str]().union(*job_status.JOB_REASONS.values())
    assert {str(reason) for reason in plan.Reason} <= known

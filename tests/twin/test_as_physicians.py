"""The physicians' habit at histories that may come: against the habit asked about a record that shows them."""

import numpy as np
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin
from scipy.special import logit

from data.cohort import typed_frame
from twin.policy.as_physicians import as_physicians
from twin.policy.exact import everything, follow
from twin.policy.prospects import prospects
from twin.policy.standing import standings

PATIENTS = 12
DISSECTION = 2


def test_histories_move_the_habit_as_records_of_them_do() -> None:
    """What a history does not tell, a sum of toxicities say, is not recorded either: it counts as average in both."""
    twin, frame = structural_twin(), at_baseline(structural_cohort()).head(PATIENTS)
    behaviour = twin.effects.behaviour
    (standing,) = standings(twin, frame)
    (some,) = prospects(twin, frame, standing)
    course = follow(some, as_physicians(behaviour, some, frame), everything(some))
    question = next(one for key, one in course.questions.items() if key == "01-")
    assert question.decision == DISSECTION
    found = logit(course.yes["01-"])
    step = next(sight.step for sight in some.ahead["010"].sights if sight.step.moment == "after_rt")
    agents = next(sight for sight in some.ahead["010"].sights if sight.step.manner)
    states = step.space(np.array([0.0, 1.0, 0.0]))
    assert found.shape == (PATIENTS, agents.states * len(states))
    nodal = [variable.name for variable in step.variables].index("rt_response_nodal")
    summed = [k for k, variable in enumerate(step.variables) if variable.summed]
    asked = []
    for state in states:
        shown = {
            variable.columns[0]: variable.levels[code][0]
            for variable, code in zip(step.variables, state, strict=True)
            if not variable.summed
        }
        (agent,) = agents.step.variables
        shown[agent.columns[0]] = agent.levels[agents.codes[0, 0]][0]
        record = typed_frame(frame.assign(induction_chemo=0.0, concurrent_chemo=1.0, **shown), twin.spec)
        asked.append(logit(behaviour.probability(record, "neck_dissection")))
    expected = np.column_stack(asked)
    assert np.ptp(expected, axis=1).min() > 0.5, "the habit goes by responses"
    first = found[:, : len(states)]
    np.testing.assert_allclose(first, expected, atol=1e-9)
    assert len(np.unique(states[:, nodal])) > 1
    assert len(summed) <= 1


def test_patients_differ_as_their_records_do() -> None:
    twin, frame = structural_twin(), at_baseline(structural_cohort()).head(PATIENTS)
    behaviour = twin.effects.behaviour
    (standing,) = standings(twin, frame)
    (some,) = prospects(twin, frame, standing)
    course = follow(some, as_physicians(behaviour, some, frame))
    for decision in ("induction_chemo", "concurrent_chemo"):
        key = {"induction_chemo": "---", "concurrent_chemo": "0--"}[decision]
        record = frame if decision == "induction_chemo" else frame.assign(induction_chemo=0.0)
        expected = logit(behaviour.probability(record, decision))
        found = logit(course.yes[key][:, 0])
        assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-9)

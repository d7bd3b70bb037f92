from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from data.cohort import Cohort
from data.errors import Conflict, NotFound, WrongUsage
from data.store.store import ModelSummary, Store


@pytest.fixture
def stocked(store: Store, small_cohort: Cohort) -> Store:
    """A store with two cohorts to fit models on."""
    for name in ("demo", "other"):
        store.import_cohort(name, small_cohort, source="a.csv", mapping=None, report={}, actor="me")
    return store


def fitted(version: str, cohort: str = "demo") -> ModelSummary:
    return ModelSummary(version=version, cohort=cohort, cohort_version=1, summary={"c_index": 0.75})


def test_the_first_model_of_a_cohort_serves_and_later_ones_wait(stocked: Store) -> None:
    first = stocked.record_model(fitted("demo-1"), actor="me")
    second = stocked.record_model(fitted("demo-2"), actor="me")
    other = stocked.record_model(fitted("other-1", "other"), actor="me")
    assert (first.serves, second.serves, other.serves) == (True, False, True)
    assert first.promoted_at is not None
    assert second.promoted_at is None
    assert stocked.serving("demo") == first
    assert [model.version for model in stocked.models("demo")] == ["demo-2", "demo-1"]
    assert [model.version for model in stocked.models()] == ["other-1", "demo-2", "demo-1"]


def test_the_newest_promotion_serves_even_when_it_goes_back(stocked: Store) -> None:
    for version in ("demo-1", "demo-2", "demo-3"):
        stocked.record_model(fitted(version), actor="me")
    for version in ("demo-3", "demo-1", "demo-2", "demo-1"):
        assert stocked.promote(version, actor="me").serves
        serving = stocked.serving("demo")
        assert serving is not None
        assert serving.version == version
    assert sum(model.serves for model in stocked.models("demo")) == 1


def test_a_clock_that_goes_back_does_not_change_what_serves(stocked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stocked.record_model(fitted("demo-1"), actor="me")
    stocked.record_model(fitted("demo-2"), actor="me")
    monkeypatch.setattr("data.store.models.now", lambda: datetime.now(UTC) - timedelta(days=400))
    stocked.promote("demo-2", actor="me")
    serving = stocked.serving("demo")
    assert serving is not None
    assert serving.version == "demo-2"


def test_what_is_recorded_comes_back(stocked: Store) -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    summary = {"death": {"c_index": 0.1 + 0.2, "events": 30}, "note": "Ü"}
    stocked.record_model(ModelSummary("demo-1", "demo", 1, summary, created), actor="me")
    model = stocked.models("demo")[0]
    assert (model.cohort, model.cohort_version, model.summary, model.created_at) == ("demo", 1, summary, created)
    assert model.as_dict()["created_at"] == "2026-01-02T03:04:05.678901+00:00"


def test_a_model_is_immutable(stocked: Store) -> None:
    stocked.record_model(fitted("demo-1"), actor="me")
    with pytest.raises(Conflict, match="model 'demo-1' exists"):
        stocked.record_model(fitted("demo-1", "other"), actor="me")
    assert stocked.models("other") == []


def test_a_model_names_a_cohort_version_that_exists(stocked: Store) -> None:
    with pytest.raises(NotFound, match="unknown cohort 'nowhere'"):
        stocked.record_model(fitted("x-1", "nowhere"), actor="me")
    with pytest.raises(NotFound, match="available: 1"):
        stocked.record_model(ModelSummary("demo-1", "demo", cohort_version=2), actor="me")
    assert stocked.models() == []


@pytest.mark.parametrize("version", ["", "..", "a/b", "x" * 129, "a b"])
def test_a_version_that_could_leave_its_folder_is_refused(stocked: Store, version: str) -> None:
    with pytest.raises(WrongUsage, match="cannot name a model"):
        stocked.record_model(fitted(version), actor="me")


def test_an_unknown_model_cannot_be_promoted(stocked: Store) -> None:
    stocked.record_model(fitted("demo-1"), actor="me")
    with pytest.raises(NotFound, match=r"unknown model 'demo-9' \(available: demo-1\)"):
        stocked.promote("demo-9", actor="me")


def test_models_of_a_deleted_cohort_stay_listed_and_serve_no_more(stocked: Store, small_cohort: Cohort) -> None:
    stocked.record_model(fitted("demo-1"), actor="me")
    stocked.delete("demo", actor="me")
    assert stocked.serving("demo") is None
    assert [model.version for model in stocked.models("demo")] == ["demo-1"]
    with pytest.raises(NotFound, match="unknown cohort 'demo'"):
        stocked.promote("demo-1", actor="me")
    again = stocked.import_cohort("demo", small_cohort, source="a.csv", mapping=None, report={}, actor="me")
    assert stocked.serving("demo") is None, "a model of other patients must not serve by the name alone"
    assert stocked.next_model_number("demo") == 2
    model = stocked.record_model(ModelSummary("demo-2", "demo", again.version), actor="me")
    assert model.serves


def test_numbers_count_the_models_of_a_cohort(stocked: Store) -> None:
    assert stocked.next_model_number("demo") == 1
    stocked.record_model(fitted("demo-1"), actor="me")
    stocked.record_model(fitted("other-1", "other"), actor="me")
    assert stocked.next_model_number("demo") == 2


def test_every_act_is_in_the_audit(stocked: Store) -> None:
    stocked.record_model(fitted("demo-1"), actor="ann")
    stocked.promote("demo-1", actor="bob")
    acts = [(entry.actor, entry.action, entry.subject) for entry in stocked.audit()]
    assert acts[-2:] == [("ann", "model.record", "demo-1"), ("bob", "model.promote", "demo-1")]
    assert stocked.verify_audit().intact

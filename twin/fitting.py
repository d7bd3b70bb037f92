"""A cohort in, a fitted twin out: effects of decisions from trials and cohort, prognosis given them, support."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

from data.cohort import Cohort, content_digest
from data.errors import Refused
from data.schema import OutcomeKind
from twin.capability import Subject
from twin.fit_settings import FEWEST_DRAWS, FitSettings
from twin.marginal import OutcomeHazards
from twin.models.outcome import BinaryModel
from twin.origin import Origin
from twin.prediction import FittedTwin
from twin.sample import Sample
from twin.support import SupportModel
from twin.threads import one_thread
from twin.trainer import Progress, Teller, Trainer

__all__ = ["FEWEST_DRAWS", "FitSettings", "Progress", "fit_twin"]

LIBRARIES: Final = ("numpy", "scipy", "pandas", "scikit-learn", "xgboost-cpu", "torch")


def fit_twin(cohort: Cohort, settings: FitSettings | None = None, progress: Progress | None = None) -> FittedTwin:
    """Fit a twin on a cohort.

    Raises:
        Refused: the cohort cannot teach a single outcome.
    """
    settings = settings or FitSettings()
    sample = Sample.of(cohort)
    offered = [cohort.spec.outcome(name) for name in sample.capability.outcomes]
    if not offered:
        reasons = "; ".join(f"{able.name}: {able.reason}" for able in sample.capability.about(Subject.OUTCOME))
        raise Refused(f"cohort '{cohort.name}' cannot teach any outcome ({reasons})", remedy="add patients or columns")
    tell = Teller(progress, len(offered) + 2)
    with one_thread():
        tell("what is missing, and what decisions do")
        trainer = Trainer.of(sample, offered, settings)
        hazards: dict[str, OutcomeHazards] = {}
        binaries: dict[str, BinaryModel] = {}
        for outcome in offered:
            tell(outcome.label)
            if outcome.kind is OutcomeKind.BINARY:
                binaries[outcome.name] = trainer.binary(outcome)
            else:
                hazards[outcome.name] = trainer.hazards(outcome, tell)
        marginal = trainer.marginal(hazards, binaries)
        tell("states between decisions")
        states = trainer.states(marginal)
        encoded = sample.encoding.encode(sample.known)
        support = SupportModel.fit(encoded, sample.decisions, sample.known, trainer.own_propensity())
    tell("fitted")
    return FittedTwin(
        spec=cohort.spec,
        capability=sample.capability,
        origin=_origin(cohort, settings),
        marginal=marginal,
        states=states,
        dependences=trainer.dependences(marginal),
        effects=trainer.effects,
        support_model=support,
    )


def _origin(cohort: Cohort, settings: FitSettings) -> Origin:
    return Origin(
        cohort=cohort.name,
        version=cohort.version,
        digest=content_digest(cohort.frame, cohort.spec),
        synthetic=cohort.synthetic,
        time_zero=cohort.time_zero,
        patients=cohort.size,
        draws=settings.draws,
        seed=settings.seed,
        interval=settings.interval,
        evidence_weight=settings.evidence_weight,
        libraries={"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    )

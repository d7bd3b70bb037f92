"""A synthetic cohort in, the ratings its patients would have given out, and the rating that is to be expected of each.

A rating is a normal severity, rounded and cut to the scale. Location and spread of the severity give each item and week
the mean and standard deviation aimed at; patients differ around it by what was recorded of them, what they were given,
their frailty and chance. As all of that is normal or takes few values, an expected rating is a finite sum.

Sources by short name: `docs/symptoms.md` lists them; fitted and assumed as in `data.synthetic.parameters`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.optimize import root
from scipy.special import expit, ndtr, ndtri

from data.errors import SpecificationError
from data.symptoms import Questionnaire, SymptomTable, load_questionnaire
from data.synthetic import states
from data.synthetic.baseline import Baseline, codes
from data.synthetic.cohort import SyntheticCohort, generate
from data.synthetic.draws import BoolArray, Draw, FloatArray, seeded_draw
from data.synthetic.hazards import LANDMARK, Treatment, early_death_rate
from data.synthetic.late_toxicity import aspiration_logit, tube_logit
from data.synthetic.parameters import AGENTS, SUBSITES, Parameters
from data.synthetic.recording import INDUCTION_END
from data.synthetic.simulation import Trajectories
from data.synthetic.treatment import Forced
from data.synthetic.truth import frailty_nodes
from data.units import conversion_factor

WEEKS: Final = (0.0, 7.0, 12.0, 27.0)
"""From the start of radiotherapy: before it, at its end, and 5 and 20 weeks after that."""
_NODES: Final = 6
"""Of the quadrature over the frailty: four times as many change no expected rating by 0.001 (tested)."""
_REFERENCE_PATIENTS: Final = 2_000
_REFERENCE_SEED: Final = 1

GENERAL, MOOD, THROAT, MOUTH = range(4)
"""Items that rise and fall together."""


@dataclass(frozen=True, slots=True)
class Course:
    """One item over `WEEKS`: the mean and standard deviation of its ratings, and how it answers to treatment."""

    mean: tuple[float, float, float, float]
    sd: tuple[float, float, float, float]
    cluster: int
    concurrent: float
    """Answer to concurrent therapy as a multiple of `Effects.concurrent`"""


COURSES: Final[Mapping[str, Course]] = MappingProxyType(
    {
        # DITTO tutorial: shape of dry mouth, taste, swallowing and mucus. Survivors of locally advanced disease, 63
        # months: mean and SD of dry mouth 4.37 and 3.21, swallowing 3.24 and 3.10, taste 2.40 and 3.02, mucus 2.29 and
        # 2.83, choking 2.01 and 2.72, all 22 symptoms 1.36. Hanna 2015: pain, fatigue, distress and sleep lead before
        # treatment. Rosenthal 2014: fatigue, drowsiness, appetite, mucus and taste answer most to concurrent therapy.
        # Sio 2016: taste, dry mouth, swallowing, appetite and fatigue lead in all. All other figures: assumed.
        "pain": Course((1.6, 5.0, 2.2, 1.3), (2.2, 2.8, 2.3, 2.0), THROAT, 1.0),
        "fatigue": Course((1.7, 5.0, 3.2, 2.3), (2.2, 2.6, 2.5, 2.4), GENERAL, 1.3),
        "nausea": Course((0.4, 3.0, 1.0, 0.5), (1.2, 2.9, 1.9, 1.3), GENERAL, 1.0),
        "sleep": Course((1.8, 3.7, 2.2, 1.7), (2.4, 2.9, 2.5, 2.2), GENERAL, 0.7),
        "distress": Course((1.9, 2.6, 1.6, 1.2), (2.3, 2.7, 2.2, 2.0), MOOD, 0.5),
        "breath": Course((0.5, 1.0, 0.7, 0.6), (1.3, 1.8, 1.5, 1.4), GENERAL, 0.5),
        "memory": Course((0.8, 1.6, 1.3, 1.4), (1.5, 2.1, 1.9, 1.9), GENERAL, 0.5),
        "appetite": Course((0.8, 5.0, 2.7, 1.4), (1.8, 3.2, 2.8, 2.2), GENERAL, 1.3),
        "drowsiness": Course((1.1, 4.0, 2.0, 1.3), (1.8, 2.8, 2.3, 1.9), GENERAL, 1.3),
        "dry_mouth": Course((0.5, 4.1, 4.1, 4.0), (1.3, 2.9, 2.8, 2.9), MOUTH, 0.8),
        "sadness": Course((1.2, 2.1, 1.3, 1.0), (2.0, 2.6, 2.1, 1.9), MOOD, 0.5),
        "vomiting": Course((0.15, 1.8, 0.5, 0.2), (0.8, 2.7, 1.5, 0.9), GENERAL, 1.0),
        "numbness": Course((0.6, 1.2, 1.3, 1.2), (1.5, 2.1, 2.1, 2.0), GENERAL, 0.5),
        "mucus": Course((0.8, 5.4, 3.0, 1.8), (1.7, 3.0, 2.8, 2.5), THROAT, 1.3),
        "swallowing": Course((1.3, 5.3, 3.1, 1.9), (2.1, 3.0, 2.8, 2.6), THROAT, 1.0),
        "choking": Course((0.5, 2.9, 1.6, 1.1), (1.3, 2.8, 2.2, 2.0), THROAT, 0.8),
        "voice": Course((0.7, 3.2, 1.8, 1.0), (1.7, 2.9, 2.3, 1.9), THROAT, 0.8),
        "skin": Course((0.4, 4.0, 0.8, 0.4), (1.2, 3.0, 1.5, 1.1), THROAT, 0.6),
        "constipation": Course((0.8, 3.4, 1.5, 0.8), (1.7, 3.1, 2.2, 1.6), GENERAL, 1.0),
        "taste": Course((0.4, 6.4, 4.7, 3.8), (1.3, 3.0, 3.1, 3.1), MOUTH, 1.3),
        "sores": Course((0.9, 4.9, 1.5, 0.7), (1.8, 3.1, 2.2, 1.5), THROAT, 1.0),
        "teeth": Course((0.6, 2.0, 1.2, 0.9), (1.5, 2.8, 2.1, 1.9), MOUTH, 0.5),
        "activity": Course((1.3, 4.2, 2.2, 1.2), (2.2, 3.0, 2.6, 2.1), MOOD, 1.0),
        "mood": Course((1.4, 3.1, 1.7, 1.1), (2.1, 2.9, 2.3, 2.0), MOOD, 0.8),
        "work": Course((1.5, 4.6, 2.6, 1.4), (2.4, 3.2, 2.9, 2.3), MOOD, 1.0),
        "relations": Course((0.8, 2.1, 1.1, 0.7), (1.7, 2.7, 2.0, 1.6), MOOD, 0.8),
        "walking": Course((0.6, 2.1, 1.0, 0.6), (1.5, 2.6, 1.9, 1.5), MOOD, 1.0),
        "enjoyment": Course((1.5, 4.0, 2.2, 1.3), (2.4, 3.1, 2.6, 2.2), MOOD, 1.0),
    }
)


@dataclass(frozen=True, slots=True)
class Effects:
    """What moves the severity of an item, in its standard deviations; a number a week where it differs by week."""

    per_decade: float = -0.17  # Eraj 2017: aged 65 and over 3.48 against 4.37 dry mouth, 1.30 against 2.01 choking
    per_decade_of_taste: float = 0.05  # Eraj 2017: 2.81 against 2.40
    female: float = 0.15  # Hanna 2015: women report more before treatment; size assumed
    female_dry_mouth: float = 0.30  # Aggarwal 2021: odds ratio 1.82
    current_smoker: float = 0.15  # assumed
    smoker_dry_mouth: float = 0.35  # Aggarwal 2021: odds ratio 2.56, of smoking at the time of the survey
    per_ecog: float = 0.30  # Rosenthal 2014: performance status and severity; size assumed
    per_t: tuple[float, ...] = (0.18, 0.10, 0.12, 0.15)  # Gunn 2013: T before treatment; of THROAT; size assumed
    base_of_tongue: tuple[float, ...] = (0.05, 0.20, 0.20, 0.20)  # Sheu 2014: primary site; THROAT, MOUTH; size assumed
    both_necks: tuple[float, ...] = (0.0, 0.20, 0.25, 0.25)  # Aggarwal 2021: less after one-sided radiotherapy; MOUTH
    aspiration_before: float = 0.5  # assumed; of swallowing and choking
    frailty: float = 0.20  # per SD; assumed
    induction: tuple[float, ...] = (0.35, 0.15, 0.10, 0.05)  # assumed; of GENERAL and taste
    concurrent: tuple[float, ...] = (0.0, 0.55, 0.35, 0.20)  # Rosenthal 2014, Sheu 2014: more severe; size assumed
    platinum: tuple[float, ...] = (0.0, 0.45, 0.15, 0.0)  # assumed; beside `concurrent`: nausea and vomiting
    platinum_nerves: tuple[float, ...] = (0.0, 0.25, 0.40, 0.45)  # assumed; of numbness
    cetuximab_skin: tuple[float, ...] = (0.0, 0.60, 0.30, 0.05)  # assumed
    aspiration: tuple[float, ...] = (0.0, 0.25, 0.60, 0.70)  # assumed; within six months; of choking and swallowing
    feeding_tube: tuple[float, ...] = (0.0, 0.30, 0.65, 0.80)  # assumed; at six months; of swallowing and appetite
    tube_taste: tuple[float, ...] = (0.0, 0.15, 0.30, 0.35)  # assumed


@dataclass(frozen=True, slots=True)
class Chance:
    """Shares of the variance of severity that nothing recorded explains; what is left is of the single answer."""

    patient: float = 0.26  # fitted: Rosenthal 2007, Cronbach alpha .88 of the core and .83 of the head and neck items
    visit: float = 0.08  # fitted: the same
    cluster: tuple[float, ...] = (0.06, 0.32, 0.12, 0.12)  # fitted: Rosenthal 2007, alpha .92 of the interference items
    cluster_lasting: float = 0.6  # assumed: share of the cluster's part that is the same at every week
    item: float = 0.14  # assumed: what is a patient's own about an item


@dataclass(frozen=True, slots=True)
class Answering:
    """Who fills in the questionnaire: log-odds that a visit is missed, and the share of questions left out."""

    missed: tuple[float, ...] = (
        -2.1,
        -1.4,
        -1.05,
        -0.55,
    )  # assumed: with the rest 16, 26, 32 and 42 % of visits missed
    per_ecog: float = 0.3  # assumed
    current_smoker: float = 0.3  # assumed
    frailty: float = 0.2  # assumed: the sicker answer less, which no recorded column explains
    habit: float = 0.8  # assumed: SD of a patient's own log-odds
    left_out: float = 0.025  # assumed


EFFECTS: Final = Effects()
CHANCE: Final = Chance()
ANSWERING: Final = Answering()


def symptoms(synthetic: SyntheticCohort, seed: int = 0) -> SymptomTable:
    """The ratings of a synthetic cohort: of who is alive and followed at each week, with visits and answers missing.

    Args:
        synthetic: the patients.
        seed: of the ratings; the seed of the cohort is the natural one. Patient i of a seed is the same however many
            patients there are.

    Raises:
        SpecificationError: the questionnaire asks for items or weeks that are not modelled here.
    """
    asked = _questionnaire(synthetic)
    spec, frame = synthetic.cohort.spec, synthetic.cohort.frame
    draw = seeded_draw(synthetic.cohort.size, seed)
    ratings = draw_ratings(synthetic, synthetic.happened, draw)
    followed = frame[spec.follow_up].to_numpy(dtype=np.float64)[:, None] > _months(synthetic.happened.induction)
    answered = _answered(synthetic.baseline, synthetic.happened.frailty, draw)
    ratings[~(followed[:, None, :] & answered)] = np.nan
    return SymptomTable.of(asked, frame[spec.key].tolist(), ratings)


def draw_ratings(synthetic: SyntheticCohort, happened: Trajectories, draw: Draw) -> FloatArray:
    """(patients, items, weeks) ratings under what happened, also of those who did not live to give one."""
    scale = _scale()
    severity = _explained(synthetic, happened) - scale.centre + np.sqrt(scale.unexplained) * _chance(draw)
    rounded = np.round(scale.location + scale.spread * severity)
    return np.asarray(np.clip(rounded, 0.0, 10.0) + 0.0)  # no negative zero


def expected_ratings(synthetic: SyntheticCohort, plans: Sequence[str]) -> FloatArray:
    """Each patient's expected rating under each plan, in those alive at the week.

    Conditioned on what is true at baseline (the HPV status too), not on frailty, agent, aspiration or feeding tube:
    these are summed over, the agent by the physicians' habit. A neck dissection changes ratings by way of them only.
    Deaths after month 6 do not reweight the frailty.

    Args:
        synthetic: n patients.
        plans: any of `data.synthetic.PLANS`.

    Returns:
        (n, plans, items, weeks) on the scale of the questionnaire.

    Raises:
        WrongUsage: an unknown plan.
    """
    Forced.from_plans(list(plans), len(plans))
    return np.stack([_expected_under(synthetic, plan) for plan in plans], axis=1)


def _questionnaire(synthetic: SyntheticCohort) -> Questionnaire:
    asked = load_questionnaire(synthetic.cohort.spec)
    if (
        asked is None
        or asked.names != tuple(COURSES)
        or asked.weeks != WEEKS
        or (asked.lowest, asked.highest) != (0, 10)
    ):
        raise SpecificationError(
            f"the questionnaire of {synthetic.cohort.spec.name} is not the one that is modelled",
            remedy="give every item of the questionnaire a course in data/synthetic/symptoms.py",
        )
    return asked


def _months(induction: BoolArray) -> FloatArray:
    """(..., weeks) month from time zero of every week, for (...) patients with or without induction."""
    weeks = np.array(WEEKS) * (conversion_factor("weeks", "months") or np.nan)
    return np.where(induction, INDUCTION_END, 0.0)[..., None] + weeks


@dataclass(frozen=True, slots=True)
class _Tables:
    """Effects as (items, weeks); agents as (agents, items, weeks)."""

    induction: FloatArray
    agents: FloatArray
    aspiration: FloatArray
    feeding_tube: FloatArray


@cache
def _tables() -> _Tables:
    e, clusters = EFFECTS, np.array([course.cluster for course in COURSES.values()])
    concurrent = np.outer([course.concurrent for course in COURSES.values()], e.concurrent)
    platinum = concurrent + _of("nausea", "vomiting") * e.platinum + _of("numbness") * e.platinum_nerves
    cetuximab = concurrent + _of("skin") * e.cetuximab_skin
    by_agent = {"none": 0.0 * concurrent, "platinum": platinum, "cetuximab": cetuximab, "other": concurrent}
    return _Tables(
        induction=((clusters == GENERAL)[:, None] | (_of("taste") > 0)) * np.array(e.induction),
        agents=np.stack([by_agent[agent] for agent in AGENTS]),
        aspiration=_of("swallowing", "choking") * e.aspiration,
        feeding_tube=_of("swallowing", "appetite") * e.feeding_tube + _of("taste") * e.tube_taste,
    )


def _of(*items: str) -> FloatArray:
    """(items, 1) of 1 for these items and 0 for the others."""
    return np.array([[float(name in items)] for name in COURSES])


def _of_baseline(synthetic: SyntheticCohort) -> FloatArray:
    """(patients, items, weeks): what is recorded before treatment."""
    b, e = synthetic.baseline, EFFECTS
    clusters = np.array([course.cluster for course in COURSES.values()])[:, None]
    throat, mouth = clusters == THROAT, clusters == MOUTH
    base_of_tongue = codes(synthetic.cohort.frame, "subsite", SUBSITES) == SUBSITES.index("base_of_tongue")
    of_age = np.where(_of("taste") > 0, e.per_decade_of_taste, e.per_decade)
    terms = [
        (b.decades, of_age),
        (b.female, e.female + _of("dry_mouth") * (e.female_dry_mouth - e.female)),
        (b.current_smoker, e.current_smoker + _of("dry_mouth") * (e.smoker_dry_mouth - e.current_smoker)),
        (b.ecog, np.array(e.per_ecog)),
        (b.t, throat * np.array(e.per_t)),
        (base_of_tongue, (throat | mouth) * np.array(e.base_of_tongue)),
        (b.contralateral, mouth * np.array(e.both_necks)),
        (b.aspiration, _of("swallowing", "choking") * e.aspiration_before),
    ]
    found = np.zeros((b.size, len(COURSES), len(WEEKS)))
    for value, effect in terms:
        found += np.asarray(value, dtype=np.float64)[:, None, None] * effect
    return found


def _explained(synthetic: SyntheticCohort, happened: Trajectories) -> FloatArray:
    """(patients, items, weeks) severity that comes from what is recorded, the frailty and what happened."""
    tables = _tables()
    return np.asarray(
        _of_baseline(synthetic)
        + happened.frailty[:, None, None] * EFFECTS.frailty
        + happened.induction[:, None, None] * tables.induction
        + tables.agents[happened.agent]
        + happened.aspiration[:, None, None] * tables.aspiration
        + happened.feeding_tube[:, None, None] * tables.feeding_tube
    )


def _chance(draw: Draw) -> FloatArray:
    """(patients, items, weeks) normal noise of variance 1, shared between answers as `Chance` says."""
    c = CHANCE
    lasting = [np.sqrt(c.cluster_lasting) * ndtri(draw(f"symptoms_cluster_{k}")) for k in range(len(c.cluster))]
    patient = np.sqrt(c.patient) * ndtri(draw("symptoms_patient"))
    item = [np.sqrt(c.item) * ndtri(draw(f"symptoms_{name}")) for name in COURSES]
    found = np.empty((len(patient), len(COURSES), len(WEEKS)))
    for w, week in enumerate(WEEKS):
        visit = patient + np.sqrt(c.visit) * ndtri(draw(f"symptoms_visit_{week:g}"))
        passing = np.sqrt(1.0 - c.cluster_lasting)
        cluster = [own + passing * ndtri(draw(f"symptoms_cluster_{k}_{week:g}")) for k, own in enumerate(lasting)]
        for j, (name, course) in enumerate(COURSES.items()):
            share = c.cluster[course.cluster]
            answer = np.sqrt(1.0 - c.patient - c.visit - share - c.item) * ndtri(draw(f"symptoms_{name}_{week:g}"))
            found[:, j, w] = visit + np.sqrt(share) * cluster[course.cluster] + item[j] + answer
    return found


def _answered(b: Baseline, frailty: FloatArray, draw: Draw) -> BoolArray:
    """(patients, items, weeks) whether there is an answer."""
    a = ANSWERING
    own = (
        a.per_ecog * b.ecog
        + a.current_smoker * b.current_smoker
        + a.frailty * frailty
        + a.habit * ndtri(draw("symptoms_answering"))
    )
    came = np.stack(
        [draw(f"symptoms_came_{week:g}") >= expit(a.missed[w] + own) for w, week in enumerate(WEEKS)], axis=-1
    )
    given = [[draw(f"symptoms_given_{name}_{week:g}") >= a.left_out for week in WEEKS] for name in COURSES]
    return np.asarray(came[:, None, :] & np.array(given).transpose(2, 0, 1))


@dataclass(frozen=True, slots=True)
class _Scale:
    """From severities to the scale of the questionnaire, each (items, weeks)."""

    location: FloatArray
    spread: FloatArray
    centre: FloatArray
    """Mean of the explained severity in the reference cohort"""
    unexplained: FloatArray
    """Variance that chance adds, so that severities have variance 1 in the reference cohort"""


@cache
def _scale() -> _Scale:
    reference = generate(_REFERENCE_PATIENTS, _REFERENCE_SEED)
    explained = _explained(reference, reference.happened)
    means = np.array([course.mean for course in COURSES.values()])
    sds = np.array([course.sd for course in COURSES.values()])
    fitted = np.array([_severity(m, s) for m, s in zip(means.ravel(), sds.ravel(), strict=True)])
    location, spread = fitted.T.reshape(2, *means.shape)
    return _Scale(location, spread, explained.mean(axis=0), 1.0 - explained.var(axis=0))


def _severity(mean: float, sd: float) -> tuple[float, float]:
    """Location and spread of the normal severity whose ratings have that mean and standard deviation."""

    def off(guess: FloatArray) -> list[float]:
        first, second = _moments(guess[0], np.exp(guess[1]))
        return [first - mean, np.sqrt(second - first**2) - sd]

    found = root(off, [mean - sd, np.log(1.5 * sd)])
    if not found.success:
        raise ArithmeticError(f"no severity gives ratings of mean {mean} and standard deviation {sd}")
    return float(found.x[0]), float(np.exp(found.x[1]))


_CUTS: Final = np.arange(0.5, 10.0)
"""A rating is at least k where the severity is above k - 1/2."""


def _moments(location: float, spread: float) -> tuple[float, float]:
    """Mean of a rating and of its square."""
    above = ndtr((location - _CUTS) / spread)
    return float(above.sum()), float((above * (2.0 * _CUTS)).sum())


def _mean_rating(location: FloatArray, spread: FloatArray) -> FloatArray:
    """Expected rating of a normal severity."""
    total = np.zeros(np.broadcast_shapes(location.shape, spread.shape))
    for cut in _CUTS:
        total += ndtr((location - cut) / spread)
    return np.asarray(total)


def _expected_under(synthetic: SyntheticCohort, plan: str) -> FloatArray:
    """(patients, items, weeks)."""
    b, p, tables, scale = synthetic.baseline, synthetic.parameters, _tables(), _scale()
    induction = np.asarray(plan[0] == "1")
    fixed = _of_baseline(synthetic) + tables.induction * induction
    result = np.zeros_like(fixed)
    for latent in _latent(b, plan, p):
        severity = (
            fixed
            + latent.frailty * EFFECTS.frailty
            + tables.agents[latent.agent]
            + tables.aspiration * latent.aspiration
            + tables.feeding_tube * latent.feeding_tube
        )
        location = scale.location + scale.spread * (severity - scale.centre)
        result += latent.chance[:, None, :] * _mean_rating(location, scale.spread * np.sqrt(scale.unexplained))
    return np.asarray(result)


@dataclass(frozen=True, slots=True)
class _Latent:
    """One combination of what is summed over, and its chance (patients, weeks) in those alive at the week."""

    frailty: float
    agent: int
    aspiration: bool
    feeding_tube: bool
    chance: FloatArray


def _latent(b: Baseline, plan: str, p: Parameters) -> list[_Latent]:
    """Every combination under a plan; the chances of a patient at a week add up to 1."""
    induction, concurrent, dissection = (np.asarray(digit == "1") for digit in plan)
    nodes, weights = frailty_nodes(_NODES)
    rate = early_death_rate(b.with_axes(1), nodes, induction, concurrent, p)
    alive = weights[:, None] * np.exp(-rate[..., None] * np.minimum(_months(induction), LANDMARK))
    alive /= alive.sum(axis=1, keepdims=True)
    agents = range(1, len(AGENTS)) if concurrent else (0,)
    chosen = (
        states.agent_under_plan(b.with_axes(1), nodes, induction, p.concurrent_habit, p.induction)
        if concurrent
        else np.ones((b.size, len(nodes), 1))
    )
    found = []
    for (node, frailty), (k, agent) in itertools.product(enumerate(nodes), enumerate(agents)):
        treatment = Treatment(induction, np.asarray(agent), dissection)
        aspirates = expit(aspiration_logit(b, np.asarray(frailty), treatment, p.toxicity))
        for aspiration, tube in itertools.product((False, True), repeat=2):
            fed = expit(tube_logit(b, np.asarray(frailty), treatment, np.asarray(aspiration), p.toxicity))
            chance = (
                chosen[:, node, k] * np.where(aspiration, aspirates, 1.0 - aspirates) * np.where(tube, fed, 1.0 - fed)
            )
            found.append(_Latent(float(frailty), agent, aspiration, tube, alive[:, node, :] * chance[:, None]))
    return found

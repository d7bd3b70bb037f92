"""Every constant of the structural model, each with its source on the same line.

Sources by short name: cohort, the published description of the 536-patient reference cohort (marginals by treatment
sequence); fitted, chosen so that the simulated cohort reproduces the figures of that description (see the report);
range, inside what the sources listed in `docs/synthetic.md` leave plausible; assumed, no published figure was found; or
the study that gives the number. Hazard and odds ratios are written as ratios and logged where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_YEAR = 2005  # cohort: treated 2005-2013
LAST_YEAR = 2013  # cohort: treated 2005-2013
HEAVY_PACK_YEARS = 30.0  # Elhalawani 2020, BMC Cancer 20:912: the threshold above which outcome is worse
SITES = ("SYN-CENTRE-A", "SYN-CENTRE-B", "SYN-CENTRE-C")
T_STAGES = ("T1", "T2", "T3", "T4")
N_STAGES = ("N0", "N1", "N2", "N3")
RESPONSES = ("CR", "PR", "SD", "PD")
AGENTS = ("none", "platinum", "cetuximab", "other")
DOSE_CHANGES = ("none", "modified", "delayed", "cancelled", "delayed_modified", "regimen_change")
TOXICITY_SITES = ("dermatologic", "neurologic", "gastrointestinal", "hematologic", "other")
NEUROLOGIC = TOXICITY_SITES.index("neurologic")
SMOKING = ("never", "former", "current")
GRADES = ("1", "2", "3", "4", "unknown")
SUBSITES = ("base_of_tongue", "tonsil", "soft_palate", "glossopharyngeal_sulcus", "unknown")
RACES = ("white", "black", "asian", "hispanic", "native_american", "other", "unknown")
LEVELS = ("1a", "1b", "2a", "2b", "3", "4", "5a", "5b", "6", "rp")


@dataclass(frozen=True, slots=True)
class Population:
    """Who the patients are. Pairs are (HPV-negative, HPV-positive)."""

    hpv_positive: float = 305 / 348  # cohort: 305 of 348 tested
    year_growth: float = 0.06  # fitted: accrual grows by the year, which with the closing date gives the follow-up
    sites: tuple[float, ...] = (0.60, 0.25, 0.15)  # assumed: one large centre and two smaller ones
    male: float = 471 / 536  # cohort
    race: tuple[float, ...] = (0.912, 0.030, 0.007, 0.039, 0.002, 0.004, 0.006)  # cohort; the last three assumed
    median_age: tuple[float, float] = (
        61.5,
        57.9,
    )  # cohort: median 57.9, mean 58.94; HPV-negative older (assumed 3.6 y)
    log_age_sd: float = 0.155  # fitted: the cohort's mean lies a year above its median
    age_bounds: tuple[float, float] = (21.0, 86.0)  # cohort: 20.95-85.9
    smoking: tuple[tuple[float, ...], ...] = (
        (0.13, 0.34, 0.53),
        (0.446, 0.385, 0.169),
    )  # cohort margins; split by HPV fitted
    median_pack_years: tuple[tuple[float, float], ...] = ((38.0, 45.0), (12.7, 30.4))  # former, current: Gillison 2012
    log_pack_years_sd: tuple[float, float] = (0.6, 1.15)  # fitted: median 5, mean 16.75
    pack_year_bounds: tuple[float, float] = (0.5, 120.5)  # cohort: maximum 120; whole numbers are recorded
    ecog_cutpoints: tuple[float, ...] = (0.75, 3.1)  # assumed: about two thirds ECOG 0, 5 % ECOG 2
    ecog_per_decade: float = -0.35  # assumed: older patients are frailer
    ecog_current_smoker: float = -0.4  # assumed
    grade: tuple[tuple[float, ...], ...] = (
        (0.02, 0.42, 0.37, 0.005, 0.185),  # cohort margins; HPV-negative better differentiated (assumed split)
        (0.01, 0.268, 0.531, 0.006, 0.185),  # cohort margins
    )
    subsite: tuple[tuple[float, ...], ...] = (
        (0.45, 0.35, 0.05, 0.05, 0.10),  # cohort margins; HPV-negative more often off the tonsils (assumed split)
        (0.503, 0.425, 0.005, 0.015, 0.052),  # cohort margins
    )
    bilateral: float = 21 / 536  # cohort
    t_stage: tuple[tuple[float, ...], ...] = ((0.145, 0.33, 0.26, 0.265), (0.225, 0.42, 0.21, 0.145))  # cohort margins
    aspiration: tuple[float, ...] = (0.01, 0.02, 0.035, 0.08)  # cohort: 3.0 %; by T assumed


@dataclass(frozen=True, slots=True)
class Nodes:
    """How disease spreads through the neck. Probabilities given a positive neck."""

    positive: float = 516 / 536  # cohort: N0 3.7 %
    bulky: float = 17 / 516  # cohort: N3 3.2 % (a node above 6 cm in either table of the eighth edition)
    ipsi_2a: float = 0.9  # cohort: 88.8 % of all
    ipsi_2b: tuple[float, float] = (0.70, 0.921)  # cohort: 86.9 % of all; without, with level 2A
    ipsi_3: tuple[float, float, float] = (0.25, 0.33, 0.445)  # cohort: 40.5 %; by number of level 2 sublevels involved
    ipsi_4: tuple[float, float] = (0.012, 0.198)  # cohort: 8.6 %; without, with level 3
    ipsi_5a: tuple[float, float] = (0.015, 0.09)  # cohort: 2.1 %; without, with level 4
    ipsi_5b: tuple[float, float] = (0.005, 0.28)  # cohort: 1.1 %; without, with level 5A
    ipsi_1b: float = 0.060  # cohort: 5.8 %
    ipsi_1a: tuple[float, float] = (0.004, 0.09)  # cohort: 0.9 %; without, with level 1B
    ipsi_rp: tuple[float, float] = (0.068, 0.13)  # cohort: 7.6 %; T1-3, T4
    contra_logit: float = -1.46  # fitted: contralateral 2A 22.2 %
    contra_by_t: tuple[float, ...] = (-0.5, 0.0, 0.4, 0.8)  # fitted: contralateral disease by sequence and T
    contra_level_3: float = 0.55  # fitted
    contra_midline: float = 0.8  # assumed: a primary across the midline drains to both sides
    contra_2a: float = 0.86  # cohort: 22.2 % of all
    contra_2b: tuple[float, float] = (0.80, 0.86)  # cohort: 22.0 % of all; without, with contralateral 2A
    contra_3: float = 0.37  # cohort: 9.5 % of all
    contra_4: tuple[float, float] = (0.01, 0.22)  # cohort: 2.2 % of all; without, with contralateral 3
    contra_5a: float = 0.016  # cohort: 0.4 % of all
    contra_5b: float = 0.031  # cohort: 0.8 % of all
    contra_1b: float = 0.058  # cohort: 1.5 % of all
    contra_rp: float = 0.043  # cohort: 1.1 % of all


@dataclass(frozen=True, slots=True)
class HpvTesting:
    """Log-odds that HPV status was not determined; the true status plays no part."""

    intercept: float = -0.99  # cohort: 35.1 % unknown
    per_year: float = -0.28  # assumed: testing became routine; the year is counted from 2009
    contralateral: float = 0.75  # fitted: stage I 34.7 %
    t_stage: tuple[float, ...] = (-0.15, 0.0, 0.15, 0.15)  # fitted: stage I 34.7 %
    site: tuple[float, ...] = (0.0, 0.3, 0.6)  # assumed: the smaller centres tested less


@dataclass(frozen=True, slots=True)
class InductionHabit:
    """Log-odds that induction is given."""

    intercept: float = -2.01  # cohort: 36.2 %
    t_stage: tuple[float, ...] = (0.0, 0.29, 0.57, 0.92)  # cohort: .24 .33 .41 .52
    n_stage: tuple[float, ...] = (-4.0, 0.0, 0.96, 2.7)  # cohort: .00 .20 .52 .76
    level_4: float = 2.99  # cohort: .85 with level 4 involved
    contralateral_2a: float = 1.29  # cohort: .67
    retropharyngeal: float = 1.05  # cohort: .56
    hpv_negative: float = 0.65  # cohort: .51 (positive .32, unknown .39)
    per_year: float = -0.08  # fitted: HPV unknown .39, unknown being commoner early
    per_decade_of_age: float = -0.3  # cohort: mean age 58.1 with, 59.4 without
    per_ecog: float = -0.5  # fitted: crude survival alike with and without induction
    frailty: float = 0.05  # fitted: crude outcomes by decision
    site: tuple[float, ...] = (0.0, -0.25, 0.35)  # assumed: local habit, without effect on outcomes


@dataclass(frozen=True, slots=True)
class ConcurrentHabit:
    """Log-odds that systemic therapy accompanies radiotherapy, and which agent is chosen."""

    intercept: float = -0.11  # cohort: 76.5 %
    t_stage: tuple[float, ...] = (0.0, 1.46, 3.04, 4.92)  # cohort: .49 .75 .91 .98
    n_stage: tuple[float, ...] = (0.0, 0.0, 0.71, 0.9)  # cohort: .75 .71 .81 .88
    after_induction: float = -1.98  # cohort: 70 % after induction, 80 % without
    induction_per_year: float = 0.30  # cohort: IC+RT patients 56 % HPV-unknown, that is, early years
    complete_primary_response: float = -0.6  # cohort: IC primary response and de-escalation
    hpv_negative: float = 0.93  # cohort: .88 (positive .74, unknown .78)
    level_4: float = 2.53  # cohort: .89
    contralateral_2a: float = 0.72  # cohort: .84
    per_decade_of_age: float = -0.30  # cohort: mean age 61.3 with radiotherapy alone
    frailty: float = 0.25  # fitted: crude outcomes by decision
    cetuximab: float = -0.64  # cohort: 37.2 % without induction; log-odds against platinum
    cetuximab_after_induction: float = -1.01  # cohort: 19.9 %
    cetuximab_per_decade: float = 0.45  # assumed: older patients are spared cisplatin
    cetuximab_per_ecog: float = 0.4  # assumed
    cetuximab_after_neurotoxicity: float = 0.9  # assumed: neuropathy and hearing loss forbid cisplatin
    other: float = -2.0  # cohort: 7.7 % without induction
    other_after_induction: float = -1.4  # cohort: 2.2 %


@dataclass(frozen=True, slots=True)
class NeckHabit:
    """Log-odds of a planned neck dissection, and neck dissection after failure."""

    by_nodal_response: tuple[float, ...] = (-3.71, -1.13, -0.92, -0.6)  # cohort: CR .07, PR .34, SD .40 (with salvage)
    level_4: float = 1.59  # cohort: .41
    n_stage: tuple[float, ...] = (1.0, 0.0, 0.0, -0.5)  # cohort: .15 .19 .23 .18
    primary_partial: float = 0.67  # cohort: .31
    current_smoker: float = 0.25  # cohort: current smokers 35 % of CC+ND
    frailty: float = 0.05  # fitted: crude outcomes by decision
    salvage: float = 0.4  # cohort: 43 % of locoregional failures had neck dissection, against 18 % of the others
    salvage_delay: float = 6.0  # assumed: months from failure; whoever dies before is not operated


@dataclass(frozen=True, slots=True)
class InductionStates:
    """What is seen after induction. Responses: proportional odds, best first."""

    primary_cutpoints: tuple[float, ...] = (-0.59, 2.5, 5.3)  # cohort: CR 43.3, PR 45.9, SD 5.2 %; PD tiny
    nodal_cutpoints: tuple[float, ...] = (-2.78, 2.48, 5.3)  # cohort: CR 8.2, PR 80.9, SD 5.2 %
    hpv_positive: float = 0.5  # ECOG 1308: 70 % complete primary responses in HPV-positive; damped to the cohort
    t_stage: tuple[float, ...] = (0.4, 0.1, -0.1, -0.4)  # assumed: bulk responds less often completely
    bulky_nodes: float = -0.8  # assumed
    frailty: float = -0.35  # assumed: a marker of resistant disease
    unrecorded: float = 0.056  # cohort: primary 5.6 %, nodal 5.7 %
    toxicity: tuple[float, ...] = (0.14, 0.1, 0.16, 0.12, 0.1)  # cohort: derm, neuro, GI, heme, other
    toxicity_frailty: float = 0.5  # fitted: frailty raises toxicity
    toxicity_per_decade: float = 0.15  # assumed
    dose_change: tuple[float, ...] = (0.72, 0.085, 0.040, 0.045, 0.025, 0.085)  # cohort, without dose-limiting toxicity
    dose_change_toxic: tuple[float, ...] = (0.37, 0.137, 0.067, 0.152, 0.039, 0.235)  # cohort, with it


@dataclass(frozen=True, slots=True)
class RadiotherapyStates:
    """What is prescribed and what is seen after radiotherapy. Responses: proportional odds, best first."""

    primary_cutpoints: tuple[float, ...] = (1.17, 5.2, 7.0)  # cohort: CR 84.1, PR 14.0, SD 0.4 %
    primary_t_stage: tuple[float, ...] = (0.7, 0.2, -0.2, -0.5)  # cohort: CR .91 with radiotherapy alone, mostly T1-2
    primary_after_induction: tuple[float, ...] = (1.1, 0.3, -0.9, -1.7)  # assumed: by response to induction
    nodal_cutpoints: tuple[float, ...] = (-0.57, 3.39, 5.3)  # cohort: CR 46.3, PR 47.9, SD 1.9 %
    nodal_n_stage: tuple[float, ...] = (0.0, 0.15, -0.05, -0.5)  # cohort: responses by sequence
    nodal_after_induction: tuple[float, ...] = (1.2, 0.1, -1.2, -2.0)  # assumed: by response to induction
    hpv_positive: float = 0.25  # assumed
    concurrent: float = 0.25  # assumed: chemotherapy sensitises
    frailty: float = -0.3  # assumed
    unrecorded: float = 0.015  # cohort: 1.5 % of primaries; of necks 3.9 %, the share of N0
    toxicity_platinum: tuple[float, ...] = (0.013, 0.051, 0.074, 0.067, 0.047)  # cohort: derm 3.4, neuro 4.9, GI 6.8,
    toxicity_cetuximab: tuple[float, ...] = (0.063, 0.02, 0.03, 0.018, 0.045)  # heme 5.9, other 5.4 % of the 410;
    toxicity_other: tuple[float, ...] = (0.017, 0.042, 0.061, 0.051, 0.047)  # by agent assumed
    toxicity_frailty: float = 0.6  # fitted: frailty raises toxicity
    schedules: tuple[tuple[float, int], ...] = ((66.0, 30), (70.0, 33), (70.0, 35), (72.0, 40))  # practice in 2005-2013
    schedule_alone: tuple[float, ...] = (0.80, 0.15, 0.05, 0.0)  # cohort: mean dose 66.9 Gy with radiotherapy alone
    schedule_concurrent: tuple[float, ...] = (0.22, 0.57, 0.14, 0.07)  # cohort: mean 68.7 Gy, 2.11 Gy per fraction


@dataclass(frozen=True, slots=True)
class Prognosis:
    """Hazard ratios of the covariates on one transition out of the event-free state."""

    hpv_positive: float
    per_pack_year: float
    heavy_smoker: float
    per_year_of_age: float
    t_stage: tuple[float, ...]
    bulky_nodes: float
    contralateral: float
    low_neck: float
    per_ecog: float
    female: float
    primary_response: tuple[float, ...]
    nodal_response: tuple[float, ...]
    frailty: float


@dataclass(frozen=True, slots=True)
class TreatmentEffects:
    """Causal hazard ratios of the decisions, alike on every transition out of the event-free state unless said."""

    concurrent_death: float = 0.78  # MACH-NC 2021: overall .83; platinum in the young, mixture with cetuximab about .80
    concurrent_locoregional: float = 0.67  # MACH-NC: the gain is mostly locoregional
    concurrent_distant: float = 0.78  # MACH-NC
    full_effect_until_age: float = 55.0  # MACH-NC: benefit falls with age (trend p .03) ...
    no_effect_from_age: float = 70.0  # ... and is absent from 70
    platinum: float = 0.87  # against the usual mixture of agents, of which the ratios above speak ...
    cetuximab: float = 1.17  # ... so that cetuximab against platinum is 1.35; RTOG 1016: OS 1.45, range 1.3-1.45
    other_agent: float = 0.97  # assumed
    induction_hpv_positive: float = 1.22  # Sher 2016: trend to harm 1.63, range 1.1-1.6
    induction_hpv_negative: float = 1.0  # pooled trials 1.01
    induction_hpv_negative_advanced: float = 0.62  # Sher 2016: T4 or N3, HPV-negative .63
    dissection_locoregional: float = 0.75  # after a nodal response short of complete only; assumed
    dissection_death: float = 1.25  # PET-NECK 2016: surveillance against planned dissection .92; in all about 1.0
    early_death_induction: float = 1.3  # on death before month 6: PARADIGM, DeCIDE toxicity; assumed size
    early_death_concurrent: float = 1.2  # on death before month 6: assumed


@dataclass(frozen=True, slots=True)
class Course:
    """Baseline hazards per month and what follows a failure."""

    early_death: float = 0.0016  # assumed: before month 6; about 1 in 100 dies before the response to radiotherapy
    early_per_ecog: float = 1.8  # assumed
    early_per_year_of_age: float = 1.03  # assumed
    early_frailty: float = 1.5  # assumed
    breaks: tuple[float, ...] = (12.0, 24.0, 48.0)  # months at which the hazards below change, from month 6 on
    death: tuple[float, ...] = (0.00046, 0.00046, 0.00054, 0.0012)  # fitted: 85.3 % alive at 48 months, 129 deaths
    locoregional: tuple[float, ...] = (0.0084, 0.0048, 0.0017, 0.0007)  # fitted: 76 failures, median at about a year
    distant: tuple[float, ...] = (
        0.0023,
        0.002,
        0.00092,
        0.00033,
    )  # fitted: 57 failures; Larsen 2016 median 8.5-13 months
    death_prognosis: Prognosis = field(
        default=Prognosis(
            hpv_positive=0.42,  # Ang 2010: .42 on death in all, of which failures carry a part
            per_pack_year=1.01,  # Gillison 2012
            heavy_smoker=1.7,  # above 30 pack-years; Elhalawani 2020: stage I 5-year survival 91.6 vs 78.4 %
            per_year_of_age=1.055,  # range 1.03-1.04 on death in all
            t_stage=(0.6, 1.0, 1.5, 2.2),  # range: T4 1.6-2 on death in all
            bulky_nodes=2.0,  # range: N3 2+ on death in all
            contralateral=1.1,  # assumed
            low_neck=1.2,  # assumed
            per_ecog=2.0,  # assumed; performance status in Fakhry 2017
            female=0.75,  # assumed
            primary_response=(1.0, 1.2, 1.8, 1.8),  # assumed
            nodal_response=(1.0, 1.0, 1.5, 1.5),  # assumed
            frailty=1.2,  # per SD; fitted: crude outcomes by decision
        )
    )
    locoregional_prognosis: Prognosis = field(
        default=Prognosis(
            hpv_positive=0.33,  # RTOG 0522: progression-free survival 72.8 vs 49.2 %
            per_pack_year=1.01,  # smoking acts on survival and distant failure more than on locoregional failure
            heavy_smoker=1.2,  # PMC9856262: heavy smoking acts little on locoregional failure
            per_year_of_age=1.0,  # assumed
            t_stage=(0.5, 1.0, 1.6, 2.6),  # range 1.6-2 for T4
            bulky_nodes=1.8,  # assumed
            contralateral=1.1,  # assumed
            low_neck=1.3,  # assumed
            per_ecog=1.3,  # assumed
            female=0.8,  # assumed
            primary_response=(1.0, 2.0, 4.0, 4.0),  # assumed
            nodal_response=(1.0, 1.5, 3.5, 3.5),  # assumed
            frailty=1.3,  # per SD; fitted
        )
    )
    distant_prognosis: Prognosis = field(
        default=Prognosis(
            hpv_positive=0.55,  # RTOG 0129 and 0522: p16-negative 1.60
            per_pack_year=1.008,  # RTOG 0129 and 0522: any smoking 3.09
            heavy_smoker=1.5,  # PMC9856262: heavy smoking raises distant failure
            per_year_of_age=1.025,  # RTOG 0129 and 0522: age 50 and over 3.28
            t_stage=(0.6, 1.0, 1.5, 2.1),  # RTOG 0129 and 0522: T4 1.63
            bulky_nodes=2.64,  # RTOG 0129 and 0522: N3 2.64
            contralateral=1.4,  # assumed
            low_neck=1.7,  # Garden 2013: level IV and distant failure; size assumed
            per_ecog=1.3,  # assumed
            female=0.8,  # assumed
            primary_response=(1.0, 1.3, 2.5, 2.5),  # assumed
            nodal_response=(1.0, 1.2, 2.5, 2.5),  # assumed
            frailty=1.3,  # per SD; fitted
        )
    )
    death_after_locoregional: float = (
        0.034  # HPV-positive, mean age; PMC9272675: 47 % alive 2 years after relapse, 32 % after 5
    )
    death_after_distant: float = 0.055  # the same series: multisite 5-year 9 %, solitary 46 %
    death_after_both: float = 0.085  # the same series
    after_failure_shape: tuple[float, ...] = (1.1, 1.0, 0.65, 0.4)  # the same series: those who live long die slowly
    after_failure_hpv_negative: float = 1.7  # Larsen 2016, Ang 2010: shorter survival after progression
    after_failure_per_year_of_age: float = 1.02  # assumed
    after_failure_frailty: float = 1.2  # assumed
    distant_after_locoregional: float = 3.0  # hazard ratio against the event-free; assumed
    locoregional_after_distant: float = 1.3  # hazard ratio against the event-free; assumed


@dataclass(frozen=True, slots=True)
class LateToxicity:
    """Odds ratios of aspiration, and of a feeding tube given aspiration; among those alive at month 6."""

    aspiration_intercept: float = -3.26  # cohort: 18.3 %
    tube_intercept: float = -3.12  # cohort: 18.3 %
    tube_share: float = 0.6  # assumed: share of every log odds ratio that acts on the tube beside aspiration
    tube_given_aspiration: float = 9.79  # Wentzel 2021: 26 % have either, so 10.6 % have both
    platinum: float = 3.12  # range
    cetuximab: float = 2.21  # Setton 2015: less than cytotoxic agents; size assumed
    other_agent: float = 2.67  # assumed
    induction: float = 1.25  # range 1.5
    dissection_aspiration: float = 1.5  # assumed; SMARTER nomogram ranks it
    dissection_tube: float = 1.15  # assumed
    t_stage: tuple[float, ...] = (0.8, 1.0, 1.4, 2.4)  # range: T4 about 3
    n2_or_more: float = 1.3  # Setton 2015
    per_year_of_age: float = 1.035  # Setton 2015
    current_smoker: float = 1.6  # Setton 2015
    hpv_negative: float = 1.5  # SMARTER nomogram
    aspiration_baseline: float = 8.0  # assumed
    frailty: float = 1.4  # per SD; fitted


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Censoring, independent of everything but the year of diagnosis."""

    closing_year: float = 2018.0  # cohort: longest follow-up 156 months from the beginning of 2005
    earliest_loss: float = 6.0  # cohort: shortest follow-up about 6 months
    loss_rate: float = 0.0016  # per month from then on; fitted: mean follow-up 77.5 months


@dataclass(frozen=True, slots=True)
class Parameters:
    """The whole model."""

    population: Population = field(default_factory=Population)
    nodes: Nodes = field(default_factory=Nodes)
    hpv_testing: HpvTesting = field(default_factory=HpvTesting)
    induction_habit: InductionHabit = field(default_factory=InductionHabit)
    concurrent_habit: ConcurrentHabit = field(default_factory=ConcurrentHabit)
    neck_habit: NeckHabit = field(default_factory=NeckHabit)
    induction: InductionStates = field(default_factory=InductionStates)
    radiotherapy: RadiotherapyStates = field(default_factory=RadiotherapyStates)
    effects: TreatmentEffects = field(default_factory=TreatmentEffects)
    course: Course = field(default_factory=Course)
    toxicity: LateToxicity = field(default_factory=LateToxicity)
    follow_up: FollowUp = field(default_factory=FollowUp)


PARAMETERS = Parameters()

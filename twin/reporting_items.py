"""The items of TRIPOD+AI, each with the place where a model card of this project answers it.

Collins et al. 2024 (doi:10.1136/bmj-2023-078378), the items shortened. An item that the software cannot know is left to
whoever holds the cohort, and says so.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HOLDER: Final = "to be stated by the holder of the cohort"


class Item(NamedTuple):
    """One item of the checklist."""

    number: str
    topic: str
    answered: str
    """Section of the card, page of the documentation, or who has to say it"""


TRIPOD_AI: Final = (
    Item("1", "Title: prediction model, population, outcome", "title, *What it is*"),
    Item("2", "Abstract", "*What it is*, *How good it is*"),
    Item("3a", "Health care context and existing models", "*What it is for*, `docs/benchmarks.md`"),
    Item("3b", "Target population, purpose, intended users", "*What it is for*"),
    Item("3c", "Known health inequalities", "*For whom it is good*; known inequalities are " + HOLDER),
    Item("4", "Objectives: development or evaluation", "development and internal validation: *How good it is*"),
    Item("5a", "Sources of data, representativeness", "*What it learnt from*; representativeness is " + HOLDER),
    Item("5b", "Dates of accrual and follow-up", "*What it learnt from*, as far as cohorts hold dates"),
    Item("6a", "Setting, number and location of centres", HOLDER),
    Item("6b", "Eligibility", HOLDER),
    Item("6c", "Treatments received", "*What it learnt from*"),
    Item("7", "Data preparation and quality checks", "`docs/dictionary.md`; findings of the import"),
    Item("8a", "Outcome: definition, horizon, assessment", "*What it predicts*, `docs/dictionary.md`"),
    Item("8b", "Outcome: who assessed it", HOLDER),
    Item("8c", "Outcome: blinding", HOLDER),
    Item("9a", "Choice of predictors", "*How it works*: what is known before the question, chosen before the data"),
    Item("9b", "Predictors: definition, when measured", "`docs/dictionary.md`"),
    Item("9c", "Predictors: who assessed them", HOLDER),
    Item("10", "Sample size", "*What it learnt from*; all patients there are, no calculation"),
    Item("11", "Missing data", "*How it works*, *What it learnt from*"),
    Item("12a", "How data were used", "*How good it is*"),
    Item("12b", "Handling of predictors", "`docs/twin.md`"),
    Item("12c", "Model type, building, tuning, internal validation", "*How it works*, `docs/twin.md`"),
    Item("12d", "Heterogeneity between clusters", "*Other years, other centres*"),
    Item("12e", "Performance measures", "*How good it is*"),
    Item("12f", "Model updating", "*Maintenance*"),
    Item("12g", "How predictions are calculated in an evaluation", "`docs/twin.md`"),
    Item("13", "Class imbalance", "not handled, so that risks stay calibrated"),
    Item(
        "14",
        "Fairness: approaches",
        "*For whom it is good*, *How it works*: origin, centre and year never enter a model",
    ),
    Item("15", "Model output", "*What it predicts*: risks with intervals; no classes"),
    Item("16", "Differences between development and evaluation data", "*On other cohorts*"),
    Item("17", "Ethical approval", HOLDER),
    Item("18a", "Funding", HOLDER),
    Item("18b", "Conflicts of interest", HOLDER),
    Item("18c", "Protocol", "none was registered"),
    Item("18d", "Registration", "none"),
    Item("18e", "Data sharing", HOLDER + "; synthetic cohorts can be made again"),
    Item("18f", "Code sharing", "this repository"),
    Item("19", "Patient and public involvement", "none so far"),
    Item("20a", "Flow of participants, follow-up", "*What it learnt from*"),
    Item("20b", "Characteristics of participants", "*What it learnt from*"),
    Item("20c", "Development against evaluation data", "*On other cohorts*"),
    Item("21", "Participants and events in each analysis", "*How good it is*"),
    Item("22", "Model specification", "the files of the version; `docs/twin.md`"),
    Item("23a", "Performance with intervals, by subgroup", "*How good it is*, *For whom it is good*"),
    Item("23b", "Heterogeneity of performance", "*Other years, other centres*"),
    Item("24", "Results of updating", "every version has a card of its own"),
    Item("25", "Interpretation, fairness included", "*Known limits*, *For whom it is good*"),
    Item("26", "Limitations", "*Known limits*"),
    Item("27a", "Poor or missing input when used", "*How it works*: refusal, imputation, support"),
    Item("27b", "Interaction and expertise required", "*What it is for*"),
    Item("27c", "Next steps", "*Maintenance*"),
)

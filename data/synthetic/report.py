"""Nothing but the model in, `docs/synthetic.md` out: how the synthetic cohort is made and how it compares.

Run as ``python -m data.synthetic.report --out docs/synthetic.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path

from data.synthetic.cohort import SyntheticCohort, generate
from data.synthetic.effects import HORIZON, MONTH, confounding, true_effects
from data.synthetic.published import SIGNIFICANCE, Comparison, Kind, Verdict, compare

DEMONSTRATION_PATIENTS = 536
"""As many as the published cohort."""
DEMONSTRATION_SEED = 0
LARGE_PATIENTS = 20_000
LARGE_SEED = 1
EFFECT_PATIENTS = 3_000

_SECTIONS = {
    "1.1": "Treatment sequences (induction, concurrent therapy, neck dissection)",
    "1.2": "Baseline and radiotherapy",
    "1.3": "By treatment sequence",
    "1.4": "States between decisions",
    "1.5": "Outcomes",
    "1.6": "Decisions by what they answer to, and crude outcomes by decision",
}


def report() -> str:
    """The whole page as Markdown."""
    large = generate(LARGE_PATIENTS, LARGE_SEED)
    comparisons = compare(generate(DEMONSTRATION_PATIENTS, DEMONSTRATION_SEED), large)
    introduction = resources.files("data.synthetic").joinpath("introduction.md").read_text(encoding="utf-8")
    return "\n".join([introduction, *_effects(generate(EFFECT_PATIENTS, LARGE_SEED)), *_calibration(comparisons)])


def _effects(synthetic: SyntheticCohort) -> list[str]:
    effects = [
        (e.comparison, e.group, e.patients, f"{e.hazard_ratio:.2f}", f"{100 * e.risk_difference:+.1f}", e.intended)
        for e in true_effects(synthetic)
    ]
    differences = [(c.decision, f"{100 * c.crude:+.1f}", f"{100 * c.true:+.1f}") for c in confounding(synthetic)]
    return [
        "## True effects on death",
        "",
        f"In {synthetic.cohort.size:,} synthetic patients. The hazard ratio is the geometric mean over patients of the "
        f"ratio of cumulative hazards at month {HORIZON:.0f}, the difference that of the risks then, in per cent.",
        "",
        *_table(("Comparison", "Patients", "n", "Hazard ratio", "Risk difference, %", "Expected"), effects),
        "",
        "## What a naive comparison shows instead",
        "",
        f"Risk of death at month {MONTH:.0f}, treated minus untreated, in per cent: as observed among those alive at "
        "month 6, and as it is when the same patients are treated or not.",
        "",
        *_table(("Decision", "Observed", "True"), differences),
        "",
    ]


def _calibration(comparisons: Sequence[Comparison]) -> list[str]:
    counted = Counter(comparison.verdict for comparison in comparisons)
    figures = len(comparisons)
    unusual = sum(abs(comparison.demonstration_z) > 2.0 for comparison in comparisons)
    lines = [
        "## Comparison with the published figures",
        "",
        f"Model: {LARGE_PATIENTS:,} patients, seed {LARGE_SEED}. Demonstration: {DEMONSTRATION_PATIENTS} patients, "
        f"seed {DEMONSTRATION_SEED}. SE: sampling error of the figure in as many patients as it was published for, by "
        "the model. z: model minus published, in SE. The verdict asks whether the published figure is a plausible "
        "sample of the model: exactly binomial for shares, normal for means; adjusted for multiplicity means at a "
        f"family-wise level of {SIGNIFICANCE:.2f} by Bonferroni over all {figures} figures. All are measured among "
        "those alive at month 6, since the published cohort holds completed sequences.",
        "",
        f"Of {figures} figures {counted[Verdict.WITHIN]} lie within two standard errors, {counted[Verdict.ADJUSTED]} "
        f"more within sampling error adjusted for multiplicity, and {counted[Verdict.DIFFERS]} differ. "
        f"The demonstration is a sample of the model: {unusual} of its figures lie more than two standard errors away.",
        "",
        *_outside(comparisons),
    ]
    for section, group in groupby(comparisons, key=lambda comparison: comparison.figure.section):
        lines += [f"### {_SECTIONS[section]}", "", *_table(_COLUMNS, map(_row, group)), ""]
    return lines


def _outside(comparisons: Sequence[Comparison]) -> list[str]:
    """The figures beyond two standard errors, each with what is known of the reason."""
    beyond = [c for c in comparisons if c.verdict is not Verdict.WITHIN]
    if not beyond:
        return []
    rows = [(c.figure.figure, c.figure.patients, f"{c.z:+.1f}", c.verdict, c.figure.explanation or "-") for c in beyond]
    return [*_table(("Beyond two standard errors", "n", "z", "Verdict", "Reason"), rows), ""]


_COLUMNS = ("Figure", "n", "Published", "Demonstration", "Model", "SE", "z", "Verdict")


def _row(comparison: Comparison) -> tuple[object, ...]:
    figure = comparison.figure
    digits = 2 if figure.kind is Kind.MEAN else 3
    numbers = (figure.published, comparison.demonstration, comparison.large, comparison.standard_error)
    return (
        figure.figure,
        figure.patients,
        *(f"{number:.{digits}f}" for number in numbers),
        f"{comparison.z:+.1f}",
        comparison.verdict,
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    body = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *body]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Compare the synthetic cohort with the published one.")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    out: Path = parser.parse_args(arguments).out
    out.write_text(report(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

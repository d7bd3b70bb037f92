"""Files of ratings: bytes in, the report of their check and the table out; and a table in, the same as CSV out."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from data.checks.identifiers import Pseudonymiser
from data.cohort import Cohort
from data.errors import Refused
from data.export import neutralised
from data.findings import Severity
from data.importing import COMMAND_LINE_LIMITS, DONE, REFUSED, WITH_WARNINGS, ImportReport, Limits
from data.reader.marker import Marker
from data.symptoms import ITEM, PATIENT, RATING, WEEK, Questionnaire, SymptomTable, load_questionnaire
from data.symptoms.reading import check_symptoms


@dataclass(frozen=True, slots=True)
class CheckedRatings:
    """A report, and the ratings that may be stored; ``None`` when none may."""

    report: ImportReport
    table: SymptomTable | None


def questionnaire_of(cohort: Cohort) -> Questionnaire:
    """What the patients of a cohort are asked.

    Raises:
        Refused: nobody asks patients with the cohort's disease.
    """
    asked = load_questionnaire(cohort.spec)
    if asked is None:
        raise Refused(
            f"'{cohort.spec.name}' has no questionnaire of symptoms",
            remedy=f"ratings need a file data/dictionary/{cohort.spec.name}_symptoms.csv that lists the items",
        )
    return asked


def check_ratings(
    content: bytes,
    file_name: str,
    cohort: Cohort,
    *,
    limits: Limits = COMMAND_LINE_LIMITS,
    pseudonymiser: Pseudonymiser | None = None,
) -> CheckedRatings:
    """Check a file of ratings as a whole; every fault of the input is a finding, never an exception.

    Args:
        content: the bytes of the file.
        file_name: what the report calls it.
        cohort: whose patients gave the ratings.
        limits: how large the file may be.
        pseudonymiser: the one the cohort was imported with; ``None`` where identifiers stand as they are.

    Raises:
        Refused: nobody asks patients with the cohort's disease.
    """
    asked = questionnaire_of(cohort)
    checked = check_symptoms(content, cohort, asked, limits=limits, pseudonymiser=pseudonymiser)
    if checked.rows is None:
        return CheckedRatings(ImportReport.unreadable(file_name, *checked.findings), None)
    table = checked.table
    warned = WITH_WARNINGS if checked.findings.has(Severity.WARNING) else DONE
    report = ImportReport(
        file=file_name,
        exit=REFUSED if table is None else warned,
        rows=checked.rows,
        kept=0 if table is None else len(table.frame),
        findings=tuple(checked.findings.listed),
        counts=checked.findings.counts,
        digest="" if table is None else table.digest,
        synthetic=cohort.synthetic,
    )
    return CheckedRatings(report, table)


def ratings_csv(table: SymptomTable, cohort: Cohort) -> bytes:
    """The ratings of a cohort as UTF-8 text, below a line that says whether they are invented.

    Reading it again gives the same ratings.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    out.write(Marker(synthetic=cohort.synthetic, spec=cohort.spec.name).line() + "\r\n")
    writer.writerow([PATIENT, ITEM, WEEK, RATING])
    for patient, item, week, rating in table.frame.itertuples(index=False, name=None):
        writer.writerow([neutralised(patient), item, f"{week:g}", "" if math.isnan(rating) else f"{rating:g}"])
    return out.getvalue().encode("utf-8")

"""Commands about cohorts and the ratings of their patients: make, check, import, export, list, delete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from data.errors import GeminaError, UnreadableInput
from data.export import cohort_csv, template_csv
from data.findings import Finding, Severity
from data.importing import COMMAND_LINE_LIMITS, ImportReport, Limits, check_source
from data.mapping import Mapping, load_mapping
from data.suggestion import suggest_mapping_for_source
from data.synthetic import generate
from twin.cli.terminal import (
    CohortOption,
    JsonOption,
    MappingOption,
    OutOption,
    SeedOption,
    SpecOption,
    StoreOption,
    answer,
    progress_bar,
    read_bytes,
    remark,
    say,
    specification,
    workspace,
    worst,
    write_bytes,
)
from twin.workspace import ImportRequest, RatingsRequest

FINDINGS_SHOWN = 20
"""Findings printed for a person; `--json` lists up to a thousand."""

MegabytesOption = Annotated[int, typer.Option("--max-mb", min=1, help="Largest file, MB.")]
PseudonymiseOption = Annotated[bool, typer.Option(help="Replace identifiers by a keyed hash.")]


def register(program: typer.Typer) -> None:
    """Add these commands to the program."""
    program.command("synth")(synth)
    program.command("template")(template)
    program.command("suggest-mapping")(suggest)
    program.command("check")(check)
    program.command("import")(import_)
    program.command("export")(export)
    program.command("import-symptoms")(import_symptoms)
    program.command("export-symptoms")(export_symptoms)
    program.command("cohorts")(cohorts)
    program.command("delete")(delete)
    program.command("purge")(purge)


def synth(
    patients: Annotated[int, typer.Option("--n", min=1, help="Number of patients.")],
    out: OutOption,
    seed: SeedOption = 0,
) -> int:
    """Write a synthetic cohort in canonical columns."""
    with progress_bar("synthetic cohort"):
        cohort = generate(patients, seed).cohort
        write_bytes(out, cohort_csv(cohort))
    say(f"{out}: {cohort.size} synthetic patients (seed {seed}); invented, not real people")
    return 0


def template(out: OutOption, spec: SpecOption = None) -> int:
    """Write the empty CSV template of a specification, with one commented example."""
    write_bytes(out, template_csv(specification(spec)))
    say(f"{out}: template of specification '{specification(spec).name}'")
    return 0


def suggest(
    file: Annotated[Path, typer.Argument(help="The file to map.")],
    out: OutOption,
    spec: SpecOption = None,
) -> int:
    """Write a mapping with what is certain; what is not stands under `unresolved`."""
    with progress_bar("suggestion"):
        suggestion = suggest_mapping_for_source(read_bytes(file), file.name, specification(spec))
    for finding in suggestion.findings:
        remark(str(finding))
    if suggestion.mapping is None:
        return suggestion.exit
    write_bytes(out, suggestion.mapping.as_json().encode())
    mapped = len(suggestion.mapping.columns) + len(suggestion.mapping.derive)
    say(f"{out}: {mapped} columns mapped, {len(suggestion.mapping.unresolved)} questions open")
    for question in suggestion.mapping.unresolved:
        remark(f"open: {question.column}: {question.reason}")
    return suggestion.exit


def check(
    files: Annotated[list[Path], typer.Argument(help="Files to check.")],
    mapping: MappingOption = None,
    spec: SpecOption = None,
    as_json: JsonOption = False,
) -> int:
    """Validate files without storing anything."""
    plan = _mapping(mapping)
    codes = []
    for file in files:
        with progress_bar(f"check of {file.name}"):
            report = _checked(file, plan, spec)
        codes.append(report.exit)
        _print_report(report, as_json)
    return worst(codes)


def _checked(file: Path, mapping: Mapping | None, spec: str | None) -> ImportReport:
    """The report of one file; a file that cannot be opened has one, too, so that the others are still checked."""
    try:
        content = read_bytes(file)
    except GeminaError as error:
        return _unreadable(file, error)
    wanted = specification(spec, mapping.spec if mapping else None)
    return check_source(content, str(file), wanted, mapping).report


def import_(
    file: Annotated[Path, typer.Argument(help="The file to import.")],
    cohort: CohortOption,
    mapping: MappingOption = None,
    spec: SpecOption = None,
    replacing: Annotated[
        bool, typer.Option("--replace", help="Replace a cohort of that name; its versions stay readable.")
    ] = False,
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave rows with errors out and list them.")] = False,
    pseudonymise: PseudonymiseOption = False,
    max_mb: MegabytesOption = 512,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Validate a file and store it as a cohort, in one transaction."""
    plan = _mapping(mapping)
    limits = COMMAND_LINE_LIMITS.with_megabytes(max_mb)
    request = ImportRequest(
        cohort=cohort,
        file_name=file.name,
        spec=specification(spec, plan.spec if plan else None),
        mapping=plan,
        limits=limits,
        replace=replacing,
        skip_bad_rows=skip_bad_rows,
        pseudonymise=pseudonymise,
    )
    content = _content(file, limits, as_json)
    with progress_bar("import"):
        report = replace(workspace(store).import_cohort(content, request), file=str(file))
    _print_report(report, as_json)
    return report.exit


def import_symptoms(
    file: Annotated[Path, typer.Argument(help="The ratings: patient_id, item, week, rating, one row each.")],
    cohort: CohortOption,
    replacing: Annotated[
        bool, typer.Option("--replace", help="Replace the ratings that the cohort's version has.")
    ] = False,
    pseudonymise: PseudonymiseOption = False,
    max_mb: MegabytesOption = 512,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Validate the ratings of symptoms of a cohort's patients and store them, in one transaction."""
    limits = COMMAND_LINE_LIMITS.with_megabytes(max_mb)
    request = RatingsRequest(cohort, file.name, limits, replacing, pseudonymise)
    content = _content(file, limits, as_json)
    with progress_bar("import of ratings"):
        report = replace(workspace(store).import_symptoms(content, request), file=str(file))
    _print_report(report, as_json)
    return report.exit


def export_symptoms(cohort: CohortOption, out: OutOption, store: StoreOption = None) -> int:
    """Write the ratings of symptoms of a cohort; importing the file again gives the same ratings."""
    write_bytes(out, workspace(store).export_symptoms(cohort))
    say(f"{out}: ratings of cohort '{cohort}'")
    return 0


def _content(file: Path, limits: Limits, as_json: bool) -> bytes:
    """The content of a file to import; one that cannot be read has its report before the error."""
    try:
        return _bounded_bytes(file, limits)
    except UnreadableInput as error:
        if as_json:
            answer(_unreadable(file, error).as_dict())
        raise


def _unreadable(file: Path, error: GeminaError) -> ImportReport:
    finding = Finding("unreadable_file", Severity.ERROR, 0, "", "", "a readable file", error.what, error.remedy)
    return ImportReport.unreadable(str(file), finding)


def _bounded_bytes(file: Path, limits: Limits) -> bytes:
    """The content of a file that is not larger than the limit: a larger one is refused before it fills the memory."""
    size = file.stat().st_size if file.is_file() else 0
    if size > limits.max_bytes:
        megabytes = limits.max_bytes // 1_000_000
        raise UnreadableInput(
            f"{file.name} has {size / 1e6:.1f} MB, the limit is {megabytes} MB", remedy="split it, or raise --max-mb"
        )
    return read_bytes(file)


def export(cohort: CohortOption, out: OutOption, store: StoreOption = None) -> int:
    """Write a cohort in canonical columns; importing the file again gives the same cohort."""
    write_bytes(out, workspace(store).export_cohort(cohort))
    say(f"{out}: cohort '{cohort}'")
    return 0


def cohorts(store: StoreOption = None, as_json: JsonOption = False) -> int:
    """List the cohorts of the store."""
    found = workspace(store).store.cohorts()
    if as_json:
        answer([cohort.as_dict() for cohort in found])
        return 0
    for cohort in found:
        mark = ", synthetic" if cohort.synthetic else ""
        say(f"{cohort.name}  version {cohort.version}, {cohort.patients} patients, {cohort.spec}{mark}")
    if not found:
        say("no cohorts yet: python -m twin init makes the demonstration, python -m twin import brings a file")
    return 0


def delete(cohort: CohortOption, store: StoreOption = None) -> int:
    """Delete a cohort with all its versions; the audit keeps that it was."""
    desk = workspace(store)
    desk.store.delete(cohort, actor=desk.settings.actor)
    say(f"cohort '{cohort}' is deleted")
    return 0


def purge(
    cohort: CohortOption,
    version: Annotated[int, typer.Option(min=1, help="The replaced version to remove for good.")],
    store: StoreOption = None,
) -> int:
    """Remove a replaced version of a cohort for good."""
    desk = workspace(store)
    desk.store.purge(cohort, version, actor=desk.settings.actor)
    say(f"version {version} of cohort '{cohort}' is removed")
    return 0


def _mapping(path: Path | None) -> Mapping | None:
    return load_mapping(read_bytes(path), path.name) if path else None


def _print_report(report: ImportReport, as_json: bool) -> None:
    if as_json:
        answer(report.as_dict())
        return
    say(f"{report.file}: {report.rows} rows read, {report.kept} kept, {sum(report.counts.values())} findings")
    for finding in report.findings[:FINDINGS_SHOWN]:
        say(f"  {finding}")
    if len(report.findings) > FINDINGS_SHOWN:
        counts = ", ".join(f"{code} x {count}" for code, count in report.counts.items())
        say(f"  ... in all: {counts} (--json lists them)")

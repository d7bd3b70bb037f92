"""The groups in which a twin is audited: named by the specification, and checked when it is loaded."""

from pathlib import Path

import pytest

from data.dictionary import load_specification
from data.errors import SpecificationError
from data.schema import AuditGroup

FOLDER = Path(__file__).parents[2] / "data" / "dictionary"


def changed_specification(folder: Path, before: str, after: str) -> str:
    """Path of a copy of the built-in specification with one change."""
    for source in FOLDER.glob("oropharynx*.csv"):
        (folder / source.name).write_bytes(source.read_bytes())
    text = (FOLDER / "oropharynx.toml").read_text(encoding="utf-8")
    assert text.count(before) == 1
    target = folder / "changed.toml"
    target.write_text(text.replace(before, after), encoding="utf-8")
    return str(target)


def test_oropharynx_audits_what_the_contract_names(spec):
    assert spec.audit_groups == (
        AuditGroup("sex"),
        AuditGroup("hpv_status"),
        AuditGroup("race_ethnicity"),
        AuditGroup("age_years", above=70.0),
        AuditGroup("site_id"),
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('column = "age_years"\nabove = 70.0', 'column = "age_years"', "'age_years' is a number without a threshold"),
        ('column = "site_id"', 'column = "site_id"\nabove = 3.0', "'site_id' is a number without a threshold"),
        ('column = "site_id"', 'column = "centre"', "column 'centre' is mentioned and not defined"),
    ],
    ids=["number without threshold", "text with one", "unknown column"],
)
def test_an_impossible_group_is_refused(tmp_path, before, after, said):
    with pytest.raises(SpecificationError, match=said):
        load_specification(changed_specification(tmp_path, before, after))

"""An import that is killed at any moment leaves the old version or the new one, never half of one."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np
import pandas as pd
import pytest

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.store.store import Store

PATIENTS = 5_000


def import_again_and_again(url: str, reports: Connection) -> None:
    """Replace a cohort until killed, all patients of one import having the same age; reports each stored version."""
    spec = load_specification()
    with Store.open(url) as store:
        for age in range(20, 100):
            values = pd.DataFrame({spec.key: [f"p{i}" for i in range(PATIENTS)], "age_years": float(age)})
            cohort = Cohort(spec, typed_frame(values, spec))
            stored = store.import_cohort(
                "demo", cohort, source="x", mapping=None, report={"age": age}, replace=True, actor="me"
            )
            reports.send(stored.version)


def last_version_before_the_kill(url: str, seconds: float) -> int:
    """Kill imports that many seconds after the first one was stored; the last version that was reported."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=import_again_and_again, args=(url, sender))
    process.start()
    sender.close()
    reported: int = receiver.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    try:
        while True:
            reported = receiver.recv()
    except EOFError:
        return reported
    finally:
        receiver.close()


@pytest.mark.parametrize("seconds", [0.011, 0.047, 0.093])
def test_a_killed_import_leaves_the_old_or_the_new(store_url: str, seconds: float) -> None:
    reported = last_version_before_the_kill(store_url, seconds)
    with Store.open(store_url) as store:
        store.record("me", "test", "x", {})  # the dead process holds no lock: the next writer gets its turn
        versions = store.versions("demo")
        assert versions[0].version - reported in (0, 1), "what was reported is stored, and at most one more"
        for summary in versions:
            cohort = store.load("demo", summary.version)
            assert cohort.size == PATIENTS
            assert np.unique(cohort.frame["age_years"]).tolist() == [store.report_of("demo", summary.version)["age"]]
        verdict = store.verify_audit()
        assert verdict.intact, str(verdict)
        assert verdict.entries == len(versions) + 1

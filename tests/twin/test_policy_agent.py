"""An agent learns, is kept as plain data, and serves without the library that trained it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin
from fixtures.treatment import SMALL, Always, patients, trivial

from data.errors import DamagedArtefact, Refused
from data.settings import Settings
from data.store import ModelSummary
from twin import registry
from twin.agents import discard_checkpoint, load_agent, load_checkpoint, save_agent, save_checkpoint
from twin.cli.main import main
from twin.policy.agent import Agent
from twin.policy.checkpoint import Checkpoint, TrainingSettings
from twin.policy.environment import TreatmentVecEnv
from twin.policy.exact import best, everything, follow, spread
from twin.policy.learner import Learner, reproducible
from twin.policy.lessons import Teacher
from twin.policy.observation import at_first, encoded, shares
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences
from twin.policy.process import Place, Process
from twin.policy.prospects import Standing
from twin.policy.regret import LEAST_SPREAD, Examination, Regret
from twin.policy.training import train
from twin.workspace import Workspace

USUAL = np.array([1.0, 0.5, 0.5, 0.2, 0.2])
FRAME = at_baseline(structural_cohort()).head(60)


@cache
def trained() -> tuple[Agent, tuple[Checkpoint, ...]]:
    kept: list[Checkpoint] = []
    return train(structural_twin(), FRAME, SMALL, keep=kept.append), tuple(kept)


def arrays_of(agent: Agent) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in agent.network.arrays.items()}


def examination(of: Patients, seed: int = 0) -> Examination:
    rng = np.random.default_rng(seed)
    return Examination.of(of, np.stack([Preferences(USUAL).draw(rng, of.size) for _ in range(3)]))


def stopping_after(lessons: int) -> Callable[[float, str], None]:
    """Somebody who presses Ctrl-C."""
    left = [lessons]

    def told(_: float, doing: str) -> None:
        if doing.endswith("exact solution"):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

    return told


def test_practice_alone_solves_what_is_trivial() -> None:
    process, always = Process.of(trivial()), Always(np.ones(1))
    with reproducible():
        learner = Learner(TreatmentVecEnv(process, always, 64, seed=1), 1, 32, 3e-3)
        learner.practise(8_000, 3e-3, lambda _: True, 1_000)
    agent = Agent(process.layout, learner.network(), {"complete": True})
    found = Examination.of(trivial(), np.ones((1, 200, 1))).regret(agent.decide)
    assert found.mean < 0.03


def test_lessons_teach_what_is_best_for_patients_who_were_not_taught() -> None:
    teacher, other = Teacher(trivial(), Always(np.ones(1))), trivial(400).take(np.arange(200, 400))
    with reproducible():
        learner = Learner(TreatmentVecEnv(Process.of(trivial()), teacher.preferences, 64), 0, 32, 3e-3)
        for number in range(150):
            lesson = teacher.lesson(np.random.default_rng(number))
            if not number:
                learner.scale_to(lesson)
            learner.learn(lesson, 50, 3e-3)
    agent = Agent(other.layout, learner.network(), {"complete": True})
    assert Examination.of(other, np.ones((1, 200, 1))).regret(agent.decide).mean < 0.03


def test_the_served_network_answers_as_the_policy_of_the_library() -> None:
    process = Process.of(patients())
    rng = np.random.default_rng(1)
    with reproducible():
        learner = Learner(TreatmentVecEnv(process, Preferences(USUAL), 64), 3, 32, 1e-3)
        learner.scale_to(Teacher(patients(), Preferences(USUAL)).lesson(rng))
        observations = learner.dqn.get_env().reset()  # type: ignore[union-attr]
        served = Agent(process.layout, learner.network(), {})
        values = served.values(observations)
        with np.errstate(all="raise"):
            theirs = learner.q_net(learner.dqn.policy.obs_to_tensor(observations)[0]).detach().numpy()
        np.testing.assert_allclose(values, theirs, atol=2e-6)
        clear = np.abs(values[:, 1] - values[:, 0]) > 1e-5
        actions, _ = learner.dqn.predict(observations, deterministic=True)
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(served.act(observations, np.ones((64, 2), bool))[clear], actions[clear])
        other = Learner(TreatmentVecEnv(process, Preferences(USUAL), 64), 4, 32, 1e-3)
        other.adopt(served.network)
        np.testing.assert_array_equal(other.dqn.predict(observations, deterministic=True)[0], actions)


def test_training_beats_an_untrained_network_and_says_how_it_was_measured() -> None:
    agent, _ = trained()
    said = agent.document
    assert said["complete"]
    assert said["patients"] == {"held_out": 12, "checked": 9, "taught": 39, "imagined": 40}
    assert said["regret"]["pairs"] == 12 * 21
    assert 0.0 <= said["regret"]["mean"] < 0.1
    assert said["regret_unrecorded"]["mean"] < 0.2
    json.dumps(said, allow_nan=False)
    exam = examination(patients())
    still = replace(agent.network, weights=tuple(0.0 * weight for weight in agent.network.weights))
    assert exam.regret(agent.decide).mean < exam.regret(Agent(agent.layout, still, {}).decide).mean


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, _ = trained()
    state = np.random.get_state()[1]
    again = train(structural_twin(), FRAME, SMALL)
    assert arrays_of(again) == arrays_of(first)
    assert again.document == first.document
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    other = train(structural_twin(), FRAME, replace(SMALL, seeds=(1,)))
    assert arrays_of(other) != arrays_of(first)


def test_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    kept: list[Checkpoint] = []
    with pytest.raises(KeyboardInterrupt):
        train(structural_twin(), FRAME, SMALL, stopping_after(4), keep=kept.append)
    save_checkpoint(tmp_path, "m", "seal", kept[-1])
    save_checkpoint(tmp_path, "m", "seal", kept[-1])
    start = load_checkpoint(tmp_path, "m", "seal")
    assert start is not None
    assert start.underway is not None
    assert start.underway.lessons == 4
    agent = train(structural_twin(), FRAME, start.settings, start=start)
    assert arrays_of(agent) == arrays_of(trained()[0])
    assert agent.document == trained()[0].document
    with pytest.raises(DamagedArtefact, match="another"):
        load_checkpoint(tmp_path, "m", "other seal")
    (path,) = (tmp_path / "m").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DamagedArtefact, match="checkpoint-"):
        load_checkpoint(tmp_path, "m", "seal")
    discard_checkpoint(tmp_path, "m")
    assert load_checkpoint(tmp_path, "m", "seal") is None


def test_when_time_is_over_the_best_so_far_is_taken() -> None:
    kept: list[Checkpoint] = []
    agent = train(structural_twin(), FRAME, SMALL, keep=kept.append, minutes=0.0)
    assert not agent.complete
    assert kept[-1].underway is not None
    assert kept[-1].underway.lessons == 1
    practised = replace(kept[-1].underway, lessons=SMALL.lessons)
    rest = train(structural_twin(), FRAME, SMALL, start=replace(kept[-1], underway=practised))
    assert rest.complete


def test_who_cannot_be_trained_for_is_told() -> None:
    with pytest.raises(Refused, match="12 patients"):
        train(structural_twin(), FRAME.head(12), SMALL)


def test_no_barred_option_is_ever_taken() -> None:
    agent, rng = trained()[0], np.random.default_rng(0)
    process = Process.of(patients())
    place = Place.start(process, Preferences(USUAL), rng, 10_000)
    nodes = rng.integers(len(process.nodes), size=10_000)
    history = np.array([rng.integers(len(process.nodes[node].seen)) for node in nodes])
    observations = process.observe(replace(place, node=nodes, history=history))
    allowed = rng.random((10_000, 2)) < 0.5
    allowed[~allowed.any(axis=1), 0] = True
    taken = agent.act(observations, allowed)
    assert allowed[np.arange(10_000), taken].all()
    assert len(set(taken[allowed.all(axis=1)])) == 2
    possible = everything(patients().prospects)
    possible[:, 1, 1] = False
    weights = spread(shares(USUAL), patients().size)
    course = follow(patients().prospects, agent.decide(patients(), weights), possible)
    assert not any(course.yes[key].any() for key in ("0--", "1--"))


def test_regret_of_the_best_is_none_and_of_another_is_what_it_loses() -> None:
    exam = examination(patients())
    assert exam.regret(lambda _, weights: best(weights)).largest == pytest.approx(0.0, abs=1e-12)
    wrong = exam.lost(lambda _, weights: lambda q: 1.0 - best(weights)(q))
    assert wrong.min() >= -1e-12
    assert wrong.mean() > 0.001
    said = Regret.of(np.array([0.0, 0.001]), np.array([0.0, 0.1]))
    assert (said.mean, said.narrow, said.optimal) == (pytest.approx(0.005), 0.5, 0.5)
    assert Regret.of(np.array([1e-6]), np.array([0.0])).mean == pytest.approx(1e-6 / LEAST_SPREAD)


def test_weights_that_are_multiplied_alike_change_no_decision() -> None:
    agent, here = trained()[0], patients()
    weights = spread(USUAL, here.size)
    one, other = (follow(here.prospects, agent.decide(here, scale * weights)) for scale in (1.0, 7.0))
    for key, yes in one.yes.items():
        np.testing.assert_array_equal(yes, other.yes[key])
    seen = here.seen("---")
    told = agent.utilities(here.inputs, seen, "---", weights)[:, 0]
    twice = agent.utilities(here.inputs, seen, "---", 2.0 * weights)[:, 0]
    np.testing.assert_allclose(1.0 - twice, 2.0 * (1.0 - told), rtol=1e-5)
    exact = follow(here.prospects, best(weights)).first.values(weights)[:, 0]
    assert np.abs(told - exact).mean() < 0.1


def test_ten_thousand_patients_take_seconds_and_one_takes_milliseconds() -> None:
    agent, twin = trained()[0], structural_twin()
    many = pd.concat([structural_cohort().frame] * 25, ignore_index=True)
    nothing = np.zeros((1, agent.layout.states))

    def answered(frame: pd.DataFrame) -> float:
        begun = time.process_time()
        told = agent.utilities(encoded(twin, frame), nothing, "---", spread(USUAL, len(frame)))
        assert told.shape == (len(frame), 1, 2)
        return time.process_time() - begun

    assert answered(many) < 10.0
    assert min(answered(many.iloc[[7]]) for _ in range(5)) < 0.01


def test_a_patient_on_the_way_whose_response_nobody_recorded_is_asked_about_too() -> None:
    twin, agent = structural_twin(), trained()[0]
    standing = Standing(np.arange(6), "1--", 1, 0.0, at_first(twin, 1).observed)
    found = examination(Patients.of(twin, FRAME.head(6), standing)).regret(agent.decide)
    assert 0.0 <= found.mean < 0.3


def test_what_is_kept_is_plain_data_and_comes_back_as_it_was(tmp_path: Path) -> None:
    agent, _ = trained()
    assert load_agent(tmp_path, "m", "seal") is None
    assert save_agent(tmp_path, "m", "seal", agent) == 1
    assert save_agent(tmp_path, "m", "seal", agent) == 2
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"agent.json", "agent.safetensors", "manifest.json"}
    for path in (tmp_path / "m" / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "m" / "2" / path.name).read_bytes()
    back = load_agent(tmp_path, "m", "seal")
    assert back is not None
    assert (back.layout, back.document, arrays_of(back)) == (agent.layout, agent.document, arrays_of(agent))


@pytest.mark.parametrize("name", ["agent.json", "agent.safetensors", "manifest.json"])
def test_a_file_that_was_changed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    save_agent(tmp_path, "m", "seal", trained()[0])
    path = tmp_path / "m" / "1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedArtefact, match=name):
        load_agent(tmp_path, "m", "seal")
    path.unlink()
    with pytest.raises(DamagedArtefact, match=name):
        load_agent(tmp_path, "m", "seal")


def test_an_agent_of_another_model_and_a_file_too_many_are_refused(tmp_path: Path) -> None:
    save_agent(tmp_path, "m", "seal", trained()[0])
    with pytest.raises(DamagedArtefact, match="for m as it is"):
        load_agent(tmp_path, "m", "another seal")
    (tmp_path / "m").rename(tmp_path / "n")
    with pytest.raises(DamagedArtefact, match="of n, got"):
        load_agent(tmp_path, "n", "seal")
    (tmp_path / "n").rename(tmp_path / "m")
    (tmp_path / "m" / "1" / "agent.pkl").write_bytes(b"")
    with pytest.raises(DamagedArtefact, match=r"agent\.pkl"):
        load_agent(tmp_path, "m", "seal")


def test_serving_imports_no_library_that_trains() -> None:
    script = "import sys, twin.agents, twin.policy.regret; print({'torch', 'gymnasium'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Small(TrainingSettings):
    """Training that takes seconds by default."""

    def __init__(self, **given: object) -> None:
        super().__init__(**{**vars(SMALL), **given})  # type: ignore[arg-type]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An installation with a twin."""
    for name in ("TWIN_STORE", "TWIN_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path))
    monkeypatch.setattr("twin.policy.checkpoint.TrainingSettings", Small)
    desk = Workspace(Settings.from_environment())
    origin = structural_twin().origin
    cohort = replace(structural_cohort(), frame=structural_cohort().frame.head(60))
    desk.store.import_cohort(origin.cohort, cohort, source="test", mapping=None, report={}, actor="test")
    digest = desk.store.cohort(origin.cohort).digest
    twin = replace(structural_twin(), origin=replace(origin, version=1, digest=digest))
    registry.save(twin, desk.settings.models_folder, "demo-1")
    desk.store.record_model(ModelSummary("demo-1", origin.cohort, 1, twin.headline()), actor="test")
    return desk


def test_the_command_trains_stops_and_goes_on(installed: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed.agent("demo-1") is None
    assert main(["train", "--model", "demo-1", "--resume"]) == 1
    assert "no training for demo-1 was stopped" in capsys.readouterr().err
    assert main(["train", "--model", "demo-1", "--seeds", "2", "--resume"]) == 64
    assert main(["train", "--model", "demo-1", "--minutes", "0", "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["complete"] is False
    assert "--resume" in said.err
    assert main(["train", "--model", "demo-1", "--resume"]) == 0
    assert "95th percentile" in capsys.readouterr().out
    agent = installed.agent("demo-1")
    assert agent is not None
    assert agent.complete
    assert registry.versions(installed.settings.models_folder) == ("demo-1",)
    assert [entry.action for entry in installed.store.audit()][-2:] == ["agent.train", "agent.train"]
    folder = installed.settings.models_folder / "agents" / "demo-1"
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_who_stops_the_command_is_told_how_to_go_on(
    installed: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Agent:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "train", interrupted)
    assert main(["train", "--model", "demo-1"]) == 130
    assert "--resume goes on" in capsys.readouterr().err

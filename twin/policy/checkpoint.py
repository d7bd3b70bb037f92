"""Where the training of an agent stands in; plain JSON and arrays by name out, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from twin.policy.agent import Network
from twin.policy.observation import Singles
from twin.policy.regret import Regret

UNDERWAY, BEST, MOMENTUM, DONE = "underway", "best", "momentum", "done"
"""First parts of the names of arrays"""
SEPARATOR: Final = "/"


@dataclass(frozen=True)
class TrainingSettings:
    """How an agent is trained; the defaults are those that were measured (`benchmarks/policy.py`)."""

    seeds: tuple[int, ...] = (0, 1, 2)
    imagined: int = 800
    """Patients mixed of those who teach"""
    lessons: int = 60
    batch: int = 512
    width: int = 128
    """Of both hidden layers"""
    rate: float = 4e-3
    """Of learning at the first lesson; it falls along a cosine"""
    decisions: int = 6_000
    """Of practice"""
    practice_rate: float = 1e-5
    checked: float = 0.15
    """Share of patients by whom the serving network is chosen"""
    held_out: float = 0.15
    """Share of patients on whom regret is reported"""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Those that `dataclasses.asdict` put in plain words and JSON made lists of."""
        return cls(**{**document, "seeds": tuple(document["seeds"])})


@dataclass(frozen=True, eq=False)
class Checked:
    """A network and its regret on the patients who choose."""

    network: Network
    regret: Regret
    lessons: int
    """Before it"""
    decisions: int
    """Of practice before it"""

    def as_dict(self) -> dict[str, Any]:
        """All but the network, as plain JSON."""
        return {"regret": self.regret.as_dict(), "lessons": self.lessons, "decisions": self.decisions}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], network: Network) -> Self:
        """A network and what `as_dict` said of it."""
        return cls(network, Regret(**document["regret"]), document["lessons"], document["decisions"])


@dataclass(frozen=True, eq=False)
class Trained:
    """What became of one seed."""

    seed: int
    best: Checked
    curve: tuple[Mapping[str, Any], ...]
    """Mean and 95th percentile of relative regret on the patients who choose, in the course of training"""


@dataclass(frozen=True, eq=False)
class Underway:
    """A seed that is being trained."""

    seed: int
    network: Network
    momentum: Mapping[str, Singles]
    """State of the optimiser"""
    lessons: int = 0
    decisions: int = 0
    best: Checked | None = None
    curve: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where training stands: seeds that are done, and the one underway; the replayed decisions are not kept."""

    settings: TrainingSettings
    done: tuple[Trained, ...] = ()
    underway: Underway | None = None

    @property
    def arrays(self) -> dict[str, Singles]:
        """By name."""
        result: dict[str, Singles] = {}
        for number, one in enumerate(self.done):
            result |= _under(f"{DONE}{number}", one.best.network.arrays)
        if self.underway is not None:
            result |= _under(UNDERWAY, self.underway.network.arrays) | _under(MOMENTUM, self.underway.momentum)
            if self.underway.best is not None:
                result |= _under(BEST, self.underway.best.network.arrays)
        return result

    def as_dict(self) -> dict[str, Any]:
        """All but the arrays, as plain JSON."""
        underway = self.underway
        return {
            "settings": asdict(self.settings),
            "done": [
                {"seed": one.seed, "best": one.best.as_dict(), "curve": [dict(said) for said in one.curve]}
                for one in self.done
            ],
            "underway": underway
            and {
                "seed": underway.seed,
                "lessons": underway.lessons,
                "decisions": underway.decisions,
                "best": underway.best and underway.best.as_dict(),
                "curve": [dict(said) for said in underway.curve],
            },
        }

    @classmethod
    def from_parts(cls, document: Mapping[str, Any], arrays: Mapping[str, Singles]) -> Self:
        """The checkpoint of `as_dict` and `arrays`.

        Raises:
            KeyError, TypeError, ValueError: they are of something else.
        """
        done = tuple(
            Trained(one["seed"], Checked.from_dict(one["best"], _network(arrays, f"{DONE}{k}")), tuple(one["curve"]))
            for k, one in enumerate(document["done"])
        )
        settings = TrainingSettings.from_dict(document["settings"])
        said = document["underway"]
        if said is None:
            return cls(settings, done)
        best = said["best"] and Checked.from_dict(said["best"], _network(arrays, BEST))
        underway = Underway(
            seed=said["seed"],
            network=_network(arrays, UNDERWAY),
            momentum=_within(arrays, MOMENTUM),
            lessons=said["lessons"],
            decisions=said["decisions"],
            best=best,
            curve=tuple(said["curve"]),
        )
        return cls(settings, done, underway)


def _under(place: str, arrays: Mapping[str, Singles]) -> dict[str, Singles]:
    return {f"{place}{SEPARATOR}{name}": array for name, array in arrays.items()}


def _within(arrays: Mapping[str, Singles], place: str) -> dict[str, Singles]:
    start = place + SEPARATOR
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _network(arrays: Mapping[str, Singles], place: str) -> Network:
    return Network.from_arrays(_within(arrays, place))

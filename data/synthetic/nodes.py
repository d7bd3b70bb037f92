"""Noise, T category and midline in, involved nodal levels and the N category out."""

from __future__ import annotations

import numpy as np

from data.synthetic.draws import BoolArray, Draw, FloatArray, IntArray, happens
from data.synthetic.parameters import LEVELS, N_STAGES, T_STAGES, Nodes


def nodal_levels(draw: Draw, t: IntArray, midline: BoolArray, nodes: Nodes) -> tuple[dict[str, BoolArray], BoolArray]:
    """Involvement of every level by the names of its column, and whether a node exceeds 6 cm.

    Spread runs down the neck: a level is likelier involved when the level above it is.
    """
    positive = draw("node_positive") < nodes.positive
    ipsi = _ipsilateral(draw, t, positive, nodes)
    contra = _contralateral(draw, t, midline, positive, ipsi["3"], nodes)
    columns = {f"ln_ipsi_{level}": ipsi[level] for level in LEVELS}
    columns |= {f"ln_contra_{level}": contra[level] for level in LEVELS}
    return columns, positive & (draw("bulky_nodes") < nodes.bulky)


def _ipsilateral(draw: Draw, t: IntArray, positive: BoolArray, nodes: Nodes) -> dict[str, BoolArray]:
    def involved(level: str, probability: FloatArray | float) -> BoolArray:
        return positive & (draw(f"ipsi_{level}") < probability)

    two_a = involved("2a", nodes.ipsi_2a)
    two_b = involved("2b", _after(two_a, nodes.ipsi_2b))
    three = involved("3", np.array(nodes.ipsi_3)[two_a.astype(int) + two_b])
    four = involved("4", _after(three, nodes.ipsi_4))
    five_a = involved("5a", _after(four, nodes.ipsi_5a))
    one_b = involved("1b", nodes.ipsi_1b)
    levels = {
        "1a": involved("1a", _after(one_b, nodes.ipsi_1a)),
        "1b": one_b,
        "2a": two_a,
        "2b": two_b,
        "3": three,
        "4": four,
        "5a": five_a,
        "5b": involved("5b", _after(five_a, nodes.ipsi_5b)),
        "6": np.zeros(len(t), dtype=bool),
        "rp": involved("rp", _after(t == T_STAGES.index("T4"), nodes.ipsi_rp)),
    }
    levels["2a"] = two_a | (positive & ~np.any(list(levels.values()), axis=0))
    return levels


def _contralateral(
    draw: Draw, t: IntArray, midline: BoolArray, positive: BoolArray, ipsi_3: BoolArray, nodes: Nodes
) -> dict[str, BoolArray]:
    logit = (
        nodes.contra_logit
        + np.array(nodes.contra_by_t)[t]
        + nodes.contra_level_3 * ipsi_3
        + nodes.contra_midline * midline
    )
    crossed = positive & happens(draw("contralateral"), logit)

    def involved(level: str, probability: FloatArray | float) -> BoolArray:
        return crossed & (draw(f"contra_{level}") < probability)

    two_a = involved("2a", nodes.contra_2a)
    three = involved("3", nodes.contra_3)
    levels = {
        "1a": np.zeros(len(t), dtype=bool),
        "1b": involved("1b", nodes.contra_1b),
        "2a": two_a,
        "2b": involved("2b", _after(two_a, nodes.contra_2b)),
        "3": three,
        "4": involved("4", _after(three, nodes.contra_4)),
        "5a": involved("5a", nodes.contra_5a),
        "5b": involved("5b", nodes.contra_5b),
        "6": np.zeros(len(t), dtype=bool),
        "rp": involved("rp", nodes.contra_rp),
    }
    levels["2a"] = two_a | (crossed & ~np.any(list(levels.values()), axis=0))
    return levels


def _after(neighbour: BoolArray, probabilities: tuple[float, float]) -> FloatArray:
    return np.where(neighbour, probabilities[1], probabilities[0])


def nodal_stage(levels: dict[str, BoolArray], bulky: BoolArray, hpv_recorded: IntArray) -> IntArray:
    """Index into `N_STAGES` by the clinical tables of the eighth edition.

    HPV-positive: N1 ipsilateral, N2 contralateral, N3 above 6 cm. Otherwise, also where HPV was not determined: N1 a
    single ipsilateral node (here: a single level), N2 several or contralateral, N3 above 6 cm.
    """
    ipsi = np.sum([levels[f"ln_ipsi_{level}"] for level in LEVELS], axis=0)
    contra = np.any([levels[f"ln_contra_{level}"] for level in LEVELS], axis=0)
    second = contra | ((hpv_recorded != 1) & (ipsi > 1))
    positive = (ipsi > 0) | contra
    return np.select(
        [~positive, bulky, second],
        [N_STAGES.index("N0"), N_STAGES.index("N3"), N_STAGES.index("N2")],
        default=N_STAGES.index("N1"),
    ).astype(np.int64)

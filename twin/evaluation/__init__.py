"""How good a twin is: cross-validated risks of held-out patients, scored beside plain references."""

from twin.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
from twin.evaluation.text import as_text

__all__ = ["Evaluation", "EvaluationSettings", "as_text", "evaluate"]

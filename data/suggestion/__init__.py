"""A table in, a mapping with what is certain out; what is not certain is asked."""

from data.suggestion.suggest import suggest_mapping, suggest_mapping_for_source, suggestion_exit

__all__ = ["suggest_mapping", "suggest_mapping_for_source", "suggestion_exit"]

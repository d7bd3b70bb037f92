"""What is wrong with typed values: missing ones, contradictions, times, stages, direct identifiers."""

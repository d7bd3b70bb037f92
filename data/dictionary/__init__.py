"""The specifications: one TOML file a disease beside the CSV files it names, and what reads them."""

from data.dictionary.load import DEFAULT_SPECIFICATION, load_built_in, load_specification

__all__ = ["DEFAULT_SPECIFICATION", "load_built_in", "load_specification"]

"""How the columns of a file become canonical ones: the mapping file and what it derives."""

from data.mapping.model import Mapping, MappingError, load_mapping

__all__ = ["Mapping", "MappingError", "load_mapping"]

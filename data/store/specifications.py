"""The specification a stored cohort was checked with: kept as JSON, found again whatever has become of its file."""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter, ValidationError

from data.dictionary import load_specification
from data.errors import Conflict, NotFound, SpecificationError
from data.schema import Specification


def specification_document(spec: Specification) -> str:
    """The whole specification as JSON.

    Raises:
        Conflict: it has the name and version of one that comes with the program and says something else.
    """
    built_in = _built_in(spec.name, spec.version)
    if built_in is not None and built_in != spec:
        raise Conflict(
            f"specification '{spec.name}' version {spec.version} differs from the built-in one of that name",
            remedy="give it another name or another version",
        )
    return _adapter().dump_json(spec).decode()


@cache
def stored_specification(name: str, version: int, document: str) -> Specification:
    """The built-in specification of that name and version, or else the stored one.

    Raises:
        SpecificationError: the stored document does not fit this version of the program.
    """
    built_in = _built_in(name, version)
    if built_in is not None:
        return built_in
    try:
        return _adapter().validate_json(document)
    except ValidationError as error:
        raise SpecificationError(
            f"specification '{name}' version {version}, as stored, cannot be read by this version of the program",
            remedy="import the cohort again with its specification file",
        ) from error


def _built_in(name: str, version: int) -> Specification | None:
    try:
        spec = load_specification(name)
    except NotFound:
        return None
    return spec if spec.version == version else None


@cache
def _adapter() -> TypeAdapter[Specification]:
    return TypeAdapter(Specification)

"""Our table of search parameters says what R4's definitions say, type by type."""

import re
from dataclasses import dataclass, replace

import pytest

from imaging_fhir.fhir.definitions import definition
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.search import MOMENTS, SPANS, SearchParameter
from tests.r4_parameters import R4Parameter, r4_parameters

LEFT_OUT = {"_query", "near"}  # as docs/conformance.md says
OTHER_PATHS = {
    ("ImagingStudy", "modality"): {"series.modality", "modality"},  # also of one not yet done
    ("Consent", "source-reference"): {"sourceReference"},  # the other `source` is no reference
}


@dataclass(frozen=True)
class Meaning:
    paths: frozenset[str]
    only: str = ""
    where: str = ""
    exists: bool = False


def own_meaning(parameter: SearchParameter) -> Meaning:
    where = "{}={}".format(*parameter.where) if parameter.where else ""
    paths = frozenset(path.removesuffix("[x]") for path in parameter.paths)
    return Meaning(paths, parameter.only, where, parameter.exists)


def r4_meaning(expression: str, base: str) -> Meaning:
    """`(A.b as T)` and `A.b.as(T)` are bT here; `where(resolve() is T)` and its like are apart."""
    only = re.search(r"\.where\(resolve\(\) is (\w+)\)", expression)
    where = re.search(r"\.where\((\w+)='(\w+)'\)", expression)
    exists = re.fullmatch(r"(\S+)\.exists\(\) and \1 != false", expression)
    bare = re.sub(r"\.where\([^|]*\)", "", exists[1] if exists else expression)
    return Meaning(
        frozenset(path_of(part.strip(), base) for part in bare.split("|")),
        only[1] if only else "",
        "=".join(where.groups()) if where else "",
        bool(exists),
    )


def path_of(text: str, base: str) -> str:
    text = re.sub(r"\((\S+) as (\w+)\)|(\S+)\.as\((\w+)\)", typed, text)
    return text.removeprefix(base).removeprefix(".")


def typed(match: re.Match[str]) -> str:
    path, type_ = match[1] or match[3], match[2] or match[4]
    return path + type_[:1].upper() + type_[1:]


def table() -> list[tuple[str, str]]:
    return [(name, code) for name in RESOURCE_TYPES for code in r4_parameters(name)]


def test_the_table_has_no_parameter_of_r4_that_r4_has_not() -> None:
    for type_ in RESOURCE_TYPES.values():
        for parameter in type_.search_parameters:
            assert (parameter.name not in r4_parameters(type_.name)) == parameter.own, parameter.url
    assert len(table()) > 500


@pytest.mark.parametrize(("type_name", "name"), table())
def test_a_parameter_is_what_r4_defines(type_name: str, name: str) -> None:
    r4 = r4_parameters(type_name)[name]
    own = RESOURCE_TYPES[type_name].by_name.get(name)
    if name in LEFT_OUT or own is None:
        assert own is None
        assert name in LEFT_OUT or (type_name, name) == ("Binary", "_content")
        return
    assert (own.type, own.url) == (r4.type, r4.url)
    if r4.type == "reference":
        assert own.targets == () or set(own.targets) == targets_of(r4)
        assert bool(own.targets) == bool(targets_of(r4))
    require_same_paths(type_name, own, r4)


def targets_of(r4: R4Parameter) -> set[str]:
    """`patient` is one, also where the definition, which is of several types, lets in Group."""
    return {"Patient"} if r4.name == "patient" else set(r4.targets)


def require_same_paths(type_name: str, own: SearchParameter, r4: R4Parameter) -> None:
    if own.words:
        return  # the definition names no elements
    if r4.components:
        for ours, theirs in zip(own.components, r4.components, strict=True):
            if (type_name, ours.name) != ("Group", "value"):  # the parameter `value` says which
                assert own_meaning(ours) == r4_meaning(theirs, "")
    meaning = r4_meaning(r4.expression, "Resource" if r4.name[:1] == "_" else type_name)
    paths = OTHER_PATHS.get((type_name, r4.name), meaning.paths)
    assert own_meaning(own) == replace(meaning, paths=frozenset(paths))


def test_a_moment_is_one_date_at_most() -> None:
    """As it is to be for its index to be walked no further than it is asked for."""
    for moment in MOMENTS:
        type_, _, name = moment.partition(".")
        parameter = RESOURCE_TYPES[type_].by_name[name]
        assert parameter.type == "date"
        [path] = parameter.paths
        element = definition(type_).elements[path]
        assert element.type in ("date", "dateTime", "instant"), moment
        assert not element.is_list, moment


def test_a_span_is_one_value_at_most() -> None:
    """As it is to be for the end of an entry to tell whether its resource is found."""
    for span in SPANS:
        type_, _, name = span.partition(".")
        parameter = RESOURCE_TYPES[type_].by_name[name]
        assert parameter.type == "date"
        [path] = parameter.paths
        within = type_
        for step in path.split("."):
            stem = step.removesuffix("[x]")
            elements = definition(within).elements
            found = [elements[one] for one in elements if one == step or one[: len(stem)] == stem]
            assert found, span
            assert not any(one.is_list for one in found), span
            within = found[0].type

import pytest

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.definitions import definition
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES, ResourceType
from imaging_fhir.model.search import SearchParameter

each_type = pytest.mark.parametrize("type_", RESOURCE_TYPES.values(), ids=lambda type_: type_.name)


@each_type
def test_every_path_leads_to_an_element_of_r4(type_: ResourceType) -> None:
    for parameter in type_.search_parameters:
        for path in whole_paths(parameter):
            assert leads_somewhere(type_.name, path), f"{type_.name}.{parameter.name}: {path}"


def whole_paths(parameter: SearchParameter) -> list[str]:
    """Those of a composite are its parts', below each of its own."""
    if not parameter.components:
        return list(parameter.paths)
    parts = [path for part in parameter.components for path in part.paths]
    return [f"{path}.{part}".strip(".") for path in parameter.paths for part in parts]


def leads_somewhere(type_name: str, path: str) -> bool:
    """No path is the resource itself, whose words `_content` is about."""
    if not path:
        return True
    step, _, rest = path.partition(".")
    name = step.partition("@")[0]
    known = definition(type_name)
    if name.endswith("[x]"):
        return name[:-3] in known.choices
    element = known.elements.get(name)
    if element is None:
        return False
    return not rest or leads_somewhere(element.type, rest)


@each_type
def test_a_reference_leads_where_r4_lets_its_element_lead(type_: ResourceType) -> None:
    """A parameter that several types share has the targets of them all."""
    for parameter in type_.references:
        assert set(parameter.targets) <= set(RESOURCE_NAMES)
        for path in parameter.paths:
            allowed = targets_at(type_.name, path)
            if allowed is not None:
                assert set(parameter.targets) & allowed, f"{type_.name}.{parameter.name}"


def targets_at(type_name: str, path: str) -> frozenset[str] | None:
    name, _, rest = path.partition(".")
    element = definition(type_name).elements[name]
    return targets_at(element.type, rest) if rest else element.targets


@each_type
def test_names_and_canonicals_are_unique(type_: ResourceType) -> None:
    parameters: tuple[SearchParameter, ...] = type_.search_parameters
    assert len(type_.by_name) == len(parameters)
    assert len({parameter.url for parameter in parameters}) == len(parameters)
    for found in parameters:
        base = canonical.BASE if found.own else "http://hl7.org/fhir"
        assert found.url.startswith(f"{base}/SearchParameter/")
        assert found.documentation or not found.own

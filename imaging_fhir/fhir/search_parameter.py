"""A row of the table of search parameters: its short form, one line a parameter."""

from functools import partial

from imaging_fhir.model.search import SearchParameter, SearchType

REGISTRY = "http://hl7.org/fhir/SearchParameter/"
AGENTS = "Device Organization Patient Practitioner PractitionerRole RelatedPerson"


def parameter(
    type_: SearchType,
    name: str,
    *paths: str,
    url: str = "",
    only: str = "",
    where: tuple[str, str] | None = None,
    exists: bool = False,
    phonetic: bool = False,
    uid: bool = False,
    system: str = "",
    typed: tuple[str, ...] = (),
    words: bool = False,
    own: bool = False,
    targets: str = "",
    documentation: str = "",
    components: tuple[SearchParameter, ...] = (),
) -> SearchParameter:
    """`url` is the last part of the canonical, where it is not TYPE-NAME."""
    return SearchParameter(
        name=name,
        type=type_,
        paths=paths or (element_name(name),),
        targets=tuple((targets or only).split()),
        url=url and REGISTRY + url,
        documentation=documentation,
        only=only,
        where=where,
        exists=exists,
        phonetic=phonetic,
        uid=uid,
        system=system,
        typed=typed,
        words=words,
        own=own,
        components=components,
    )


def element_name(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


token = partial(parameter, "token")
reference = partial(parameter, "reference")
date = partial(parameter, "date")
string = partial(parameter, "string")
uri = partial(parameter, "uri")
quantity = partial(parameter, "quantity")


def composite(
    name: str, *paths: str, of: tuple[SearchParameter, SearchParameter]
) -> SearchParameter:
    """Two values that must be there in the same repeat of what the paths lead to."""
    return parameter("composite", name, *paths, components=of)

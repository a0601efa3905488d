"""Profiles, tags and security labels that are in use, from the search index."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import Restrictions
from imaging_fhir.storage.schema import resource, token_index, uri_index
from imaging_fhir.storage.search_conditions import Conditions


def codings(
    connection: Connection, name: str, types: Iterable[str], restrictions: Restrictions
) -> list[Resource]:
    """Each code once; `name` is _tag or _security. What a code is called is not indexed."""
    parameters = [f"{type_}.{name}" for type_ in types]
    conditions = Conditions(connection.dialect.name, restrictions)
    columns = token_index.c.system, token_index.c.value
    found = (
        select(*columns)
        .distinct()
        .join(resource, resource.c.rid == token_index.c.rid)
        .where(token_index.c.parameter.in_(parameters), conditions.visible(resource))
        .order_by(*columns)
    )
    return [coding(row.system, row.value) for row in connection.execute(found)]


def coding(system: str | None, code: str) -> Resource:
    return {"system": system, "code": code} if system else {"code": code}


def profiles(connection: Connection, types: Iterable[str], restrictions: Restrictions) -> list[str]:
    parameters = [f"{type_}._profile" for type_ in types]
    conditions = Conditions(connection.dialect.name, restrictions)
    found = (
        select(uri_index.c.value)
        .distinct()
        .join(resource, resource.c.rid == uri_index.c.rid)
        .where(uri_index.c.parameter.in_(parameters), conditions.visible(resource))
        .order_by(uri_index.c.value)
    )
    return list(connection.execute(found).scalars())

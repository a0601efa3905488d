"""Runs searches of QIDO-RS: which studies, series or instances match, in their order, page by page.

The newest study comes first, by StudyDate and StudyTime, and of equals the one that came last; in
a study series and instances come by their numbers. A key that finds few drives the search: its
rows are looked up by their value. Where every key finds many, the studies are walked in their
order instead, and each is looked at, until the page is full.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.model.dicom_attribute import is_of_identity
from imaging_fhir.model.dicom_query import (
    Criterion,
    DicomQuery,
    Key,
    Level,
    Like,
    Match,
    OneOf,
)
from imaging_fhir.model.search import Restrictions
from imaging_fhir.model.text import index_beginning
from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.dicom_matches import ID_COLUMNS, rows_of, source
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import (
    dicom_value,
    instance,
    minted_uid,
    resource,
    series,
    string_index,
    study,
    token_index,
)
from imaging_fhir.storage.search_conditions import Conditions
from imaging_fhir.storage.search_values import LAST_CHARACTER, checked_only, starts_with

Condition = ColumnElement[bool]
Column = ColumnElement[Any]
FILED = study.c.state == literal_column("'filed'")  # as the partial indexes have it
ESCAPES = str.maketrans(dict[str, int | str | None]({"/": "//", "%": "/%", "_": "/_"}))  # of LIKE
MANY = 2_000  # rows of a key that is not worth looking up
MOST_COUNTED = 10_000  # of what a page leaves
COLUMNS: dict[str, Column] = {  # of the row itself, whatever it is for
    "0020000D": study.c.study_instance_uid,
    "00080020": study.c.moment,
    "00201206": study.c.number_of_series,
    "00201208": study.c.number_of_instances,
    "0020000E": series.c.series_instance_uid,
    "00080060": series.c.modality,
    "00201209": series.c.number_of_instances,
    "00080018": instance.c.sop_instance_uid,
    "00080016": instance.c.sop_class_uid,
    "00083002": instance.c.transfer_syntax_uid,
    "00200013": instance.c.instance_number,
    "00280008": instance.c.number_of_frames,
}
UNIQUE = frozenset({"0020000D", "0020000E", "00080018"})
MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY = "00080061", "00080062"
OWN_SERIES, OWN_INSTANCE = series.alias(), instance.alias()
SUBJECTS = {  # whose identity a corrected study has, by group
    "0010": ("Patient", study.c.patient),
    "0038": ("Encounter", study.c.encounter),
}
IDENTIFIER = "ImagingStudy.identifier"
STUDY = "ImagingStudy"
ACCESSION_NUMBER = "00080050"
NUMBERS_OF_ORDERS = frozenset({ACCESSION_NUMBER, "00200010"})
ORDERS = ("00080051", "00400275")  # sequences that say of which order it is
NUMBERS = frozenset({"00100020", "00080050", "00380010", "00101000", "00200010"})
OF_MANY = frozenset(  # found for half of all, or for none: to be tried last
    {"00100040", "00080030", "00080201", "00080060", "00080061", "00080062", "00080080", "00080070"}
)
ORDER: dict[Level, tuple[Column, ...]] = {
    "study": (study.c.moment.desc(), study.c.pk.desc()),
    "series": (
        series.c.series_number.is_(None),
        series.c.series_number,
        series.c.series_instance_uid,
    ),
    "instance": (
        instance.c.instance_number.is_(None),
        instance.c.instance_number,
        instance.c.sop_instance_uid,
    ),
}
OFFSET, LIMIT = bindparam("offset", type_=Integer), bindparam("limit", type_=Integer)
NARROW = -1  # in the place of a key: few are left by the address, or by a UID of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`left` is how many come after it; None where they are too many to be counted."""

    rows: list[AnyRow]
    has_more: bool
    left: int | None


def page(connection: Connection, query: DicomQuery, restrictions: Restrictions) -> Page:
    """One page, in order."""
    shape, values = shape_of(query)
    dialect = connection.dialect.name
    plan = Plan(Search(dialect, restrictions), shape) if restrictions else planned(dialect, shape)
    driver = plan.driver(connection, values)
    at = {**values, "offset": query.offset, "limit": query.limit + 1}
    keys = [row.key for row in plan.run(connection, plan.wanted(driver), at)]
    has_more = len(keys) > query.limit
    left = {**values, "offset": query.offset + query.limit, "limit": MOST_COUNTED + 1}
    return Page(
        rows=rows_of(connection, query.level, keys[: query.limit]),
        has_more=has_more,
        left=plan.count(connection, driver, left) if has_more else 0,
    )


class Bound(str):
    """The name of a value that is bound when the statement runs."""

    __slots__ = ()


def shape_of(query: DicomQuery) -> tuple[DicomQuery, dict[str, Any]]:
    """The query with names in the place of its whole values, and what they stand for."""
    values: dict[str, Any] = {}

    def bound(value: str | None) -> str | None:
        if value is None:
            return None
        name = f"asked{len(values) // 2}"
        values[name] = index_beginning(value)
        values[f"{name}_number"] = int(value) if value.isdecimal() else None
        return Bound(name)

    def bound_key(key: Key) -> Key:
        matches = (
            OneOf(values=tuple(bound(value) or "" for value in match.values))
            if isinstance(match, OneOf)
            else match
            for match in key.matches
        )
        return Key(path=key.path, matches=tuple(matches))

    criteria = (
        Criterion(
            level=one.level,
            alternatives=tuple(tuple(map(bound_key, keys)) for keys in one.alternatives),
        )
        for one in query.criteria
    )
    shape = DicomQuery(
        level=query.level,
        study=bound(query.study),
        series=bound(query.series),
        patient=bound(query.patient),
        criteria=tuple(criteria),
    )
    return shape, values


@lru_cache(maxsize=256)
def planned(dialect: str, shape: DicomQuery) -> "Plan":
    return Plan(Search(dialect, {}), shape)


class Plan:
    """The statements for all queries of one shape: to put them together takes longer than to run
    them."""

    def __init__(self, search: "Search", shape: DicomQuery) -> None:
        self.search = search
        self.shape = shape
        self.look_ups = tuple(
            (column, found, Prepared(found.offset(MANY).limit(1)))
            for column, found in search.look_ups(shape)
        )
        self.known: dict[int | None, Prepared] = {}

    def driver(self, connection: Connection, values: Mapping[str, Any]) -> int | None:
        """The one key by whose value rows are looked up; None where all find too many."""
        if is_narrow(self.shape):
            return NARROW
        for at, (_, _, beyond) in enumerate(self.look_ups):
            if not self.run(connection, beyond, values):
                return at
        return None

    def wanted(self, driver: int | None) -> Prepared:
        if driver not in self.known:
            condition = self.condition(driver)
            found = self.search.matching(self.shape, condition)
            found = found.order_by(*self.search.order(self.shape, condition))
            self.known[driver] = Prepared(found.offset(OFFSET).limit(LIMIT))
        return self.known[driver]

    def condition(self, driver: int | None) -> Condition | None:
        if driver is None or driver == NARROW:
            return None if driver is None else true()
        return self.look_ups[driver][0].in_(self.look_ups[driver][1])

    def count(
        self, connection: Connection, driver: int | None, values: Mapping[str, Any]
    ) -> int | None:
        """How many come after the page; None where they are too many to be counted."""
        left = self.search.matching(self.shape, self.condition(driver))
        found = select(func.count()).select_from(left.offset(OFFSET).limit(LIMIT).subquery())
        count = connection.execute(found, dict(values)).scalar_one()
        return None if count > MOST_COUNTED else int(count)

    def run(
        self, connection: Connection, prepared: Prepared, values: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """What restricts the caller may have any number of values, which the driver cannot take."""
        if self.search.is_restricted:
            return connection.execute(prepared.statement, dict(values)).all()
        return prepared.all(connection, **values)


class Search:
    """A query in SQL, for one engine and one caller."""

    def __init__(self, dialect: str, restrictions: Restrictions) -> None:
        self.dialect = dialect
        self.is_restricted = bool(restrictions)
        only, own = Conditions(dialect, restrictions), restrictions.get(STUDY, ())
        seen = (only.one(resource, STUDY, one, drives=False) for one in own)
        self.visible = and_(resource.c.deleted.is_(False), *seen)  # of filed studies: all of a type

    def matching(self, query: DicomQuery, driver: Condition | None) -> Select[Any]:
        """The keys of all that match; where nothing drives, SQLite is to go from studies down."""
        joined = source(query.level) if driver is not None else source(query.level, self.checked)
        wanted = select(ID_COLUMNS[query.level].label("key")).select_from(joined)
        wanted = wanted.where(FILED, self.visible, *map(self.condition, query.criteria))
        if query.patient is not None:
            wanted = wanted.where(study.c.patient == bound(query.patient, study.c.patient))
        if query.study is not None:
            wanted = wanted.where(
                study.c.study_instance_uid == bound(query.study, study.c.study_instance_uid)
            )
        if query.series is not None:
            wanted = wanted.where(
                series.c.series_instance_uid == bound(query.series, series.c.series_instance_uid)
            )
        return wanted if driver is None else wanted.where(driver)

    def checked(self, column: Column) -> Column:
        return checked_only(column, self.dialect)

    def order(self, query: DicomQuery, driver: Condition | None) -> list[Column]:
        """Where something else drives, SQLite is not to walk all studies for their order."""
        order = ORDER[query.level]
        if query.level != "study" and query.study is None:
            of_series = () if query.level == "series" else ORDER["series"]
            order = (*ORDER["study"], *of_series, *order)
        elif query.level == "instance" and query.series is None:
            order = (*ORDER["series"], *order)
        if driver is None:
            return list(order)
        unwalked = self.checked(study.c.moment).desc()
        return [
            unwalked if getattr(column, "element", None) is study.c.moment else column
            for column in order
        ]

    def look_ups(self, query: DicomQuery) -> Iterator[tuple[Column, Any]]:
        """By which keys rows can be looked up, the one that most likely finds few first."""
        found = map(self.looked_up, sorted(query.criteria, key=selectivity))
        return (one for one in found if one is not None)

    def condition(self, criterion: Criterion) -> Condition:
        """As it is looked at for each row."""
        return or_(*(self.each(criterion.level, keys) for keys in criterion.alternatives))

    def each(self, level: Level, keys: Sequence[Key]) -> Condition:
        key = keys[0]
        if key.path == MODALITIES_IN_STUDY:
            value = self.checked(OWN_SERIES.c.modality)
            return exists().where(OWN_SERIES.c.study == study.c.pk, self.any_of(value, key))
        if key.path == SOP_CLASSES_IN_STUDY:
            value = self.checked(OWN_INSTANCE.c.sop_class_uid)
            return exists().where(
                OWN_INSTANCE.c.series == OWN_SERIES.c.pk,
                OWN_SERIES.c.study == study.c.pk,
                self.any_of(value, key),
            )
        if key.path in COLUMNS:
            return self.any_of(COLUMNS[key.path], key)
        own = self.has_value(level, ID_COLUMNS[level], keys)
        if level == "study" and is_of_identity(int(key.path[:8], 16)):
            return or_(and_(~is_corrected(), own), and_(is_corrected(), self.subject_has(keys)))
        if key.path in NUMBERS_OF_ORDERS:
            return and_(own, or_(~is_corrected(), self.is_shown(key)))
        if key.path.startswith(ORDERS):
            return and_(own, or_(~is_corrected(), tells_its_orders()))
        return own

    def is_shown(self, key: Key) -> Condition:
        """Has its ImagingStudy that number? It may be of an order of another patient."""
        value = dicom_value.alias()
        return exists().where(
            value.c.study == study.c.pk,
            value.c.path == key.path,
            self.any_of(value.c.value, key, is_checked=True),
            token_index.c.rid == study.c.rid,
            token_index.c.parameter == IDENTIFIER,
            token_index.c.value == value.c.value,
        )

    def has_value(self, owner: str, of: Column, keys: Sequence[Key]) -> Condition:
        value = dicom_value.alias()
        key, *others = keys
        return exists().where(
            value.c[owner] == of,
            value.c.path == key.path,
            self.any_of(value.c.value, key, is_checked=True),
            *self.same_item(value, owner, others),
        )

    def same_item(self, value: FromClause, owner: str, keys: Iterable[Key]) -> Iterator[Condition]:
        for key in keys:
            other = dicom_value.alias()
            yield exists().where(
                other.c[owner] == value.c[owner],
                other.c.path == key.path,
                other.c.item == value.c.item,
                self.any_of(other.c.value, key, is_checked=True),
            )

    def subject_has(self, keys: Sequence[Key]) -> Condition:
        """The Patient, or the Encounter, whose identity the study has."""
        resource_type, reference = SUBJECTS[keys[0].path[:4]]
        subject, entry = resource.alias(), string_index.alias()
        key, *others = keys
        return exists().where(
            subject.c.type == resource_type,
            subject.c.id == reference,
            entry.c.rid == subject.c.rid,
            entry.c.parameter == f"{resource_type}.{key.path}",
            self.any_of(entry.c.folded, key, is_checked=True),
            *self.same_value(entry, resource_type, others),
        )

    def same_value(
        self, entry: FromClause, resource_type: str, keys: Iterable[Key]
    ) -> Iterator[Condition]:
        """What `same_item` is for a study's own; an entry's value is its item."""
        for key in keys:
            other = string_index.alias()
            yield exists().where(
                other.c.rid == entry.c.rid,
                other.c.parameter == f"{resource_type}.{key.path}",
                other.c.value == entry.c.value,
                self.any_of(other.c.folded, key, is_checked=True),
            )

    def looked_up(self, criterion: Criterion) -> tuple[Column, Any] | None:
        """The column of a key, and those that the criterion finds by its value."""
        parts = [
            part for keys in criterion.alternatives for part in self.found(criterion.level, keys)
        ]
        if not parts:
            return None
        column = study.c.pk if criterion.level == "study" else ID_COLUMNS[criterion.level]
        found = parts[0] if len(parts) == 1 else union_all(*parts)
        return column, found

    def found(self, level: Level, keys: Sequence[Key]) -> Iterator[Select[Any]]:
        key = keys[0]
        if key.path == MODALITIES_IN_STUDY:
            yield select(OWN_SERIES.c.study).where(self.any_of(OWN_SERIES.c.modality, key))
        elif key.path == SOP_CLASSES_IN_STUDY:
            yield (
                select(OWN_SERIES.c.study)
                .join(OWN_INSTANCE, OWN_INSTANCE.c.series == OWN_SERIES.c.pk)
                .where(self.any_of(OWN_INSTANCE.c.sop_class_uid, key))
            )
        elif key.path == "00080060":
            yield select(OWN_SERIES.c.pk).where(self.any_of(OWN_SERIES.c.modality, key))
        elif key.path not in COLUMNS:
            yield from self.found_by_value(level, keys)

    def found_by_value(self, owner: str, keys: Sequence[Key]) -> Iterator[Select[Any]]:
        value = dicom_value.alias()
        key, *others = keys
        yield select(value.c[owner]).where(
            value.c.path == key.path,
            self.any_of(value.c.value, key),
            value.c[owner].is_not(None),
            *self.same_item(value, owner, others),
        )
        if owner == "study" and is_of_identity(int(key.path[:8], 16)):
            yield self.found_by_subject(keys)

    def found_by_subject(self, keys: Sequence[Key]) -> Select[Any]:
        resource_type, _ = SUBJECTS[keys[0].path[:4]]
        reference = resource_type.lower()
        theirs, subject, entry = study.alias(), resource.alias(), string_index.alias()
        key, *others = keys
        return (
            select(theirs.c.pk)
            .join(subject, subject.c.id == theirs.c[reference])
            .join(entry, entry.c.rid == subject.c.rid)
            .where(
                subject.c.type == resource_type,
                entry.c.parameter == f"{resource_type}.{key.path}",
                self.any_of(entry.c.folded, key),
                is_corrected(theirs),
                *self.same_value(entry, resource_type, others),
            )
        )

    def any_of(self, column: Column, key: Key, *, is_checked: bool = False) -> Condition:
        return or_(*(self.match(column, match, is_checked=is_checked) for match in key.matches))

    def match(self, column: Column, match: Match, *, is_checked: bool) -> Condition:
        """`is_checked`: of a row that is found by something else; only a whole value may be used
        to find it as well."""
        if isinstance(match, OneOf):
            return or_(*(column == bound(value, column) for value in match.values))
        if is_checked:
            column = self.checked(column)
        if isinstance(match, Like):
            return self.like(column, match.pattern)
        demands = [column >= match.low if match.low is not None else column > ""]
        if match.high is not None:
            demands.append(column < match.high + LAST_CHARACTER)
        return and_(*demands)

    def like(self, column: Column, pattern: str) -> Condition:
        beginning = pattern.partition("*")[0].partition("?")[0]
        begins = [starts_with(column, beginning, self.dialect)] if beginning else []
        if self.dialect == "sqlite":
            return and_(*begins, column.op("GLOB")(pattern.replace("[", "[[]")))
        escaped = pattern.translate(ESCAPES)
        in_sql = escaped.replace("*", "%").replace("?", "_")
        return and_(*begins, column.like(in_sql, escape="/"))


def is_corrected(of: FromClause = study) -> Condition:
    """Is it served with another identity than its files have? As services.coercion has it."""
    is_split = exists().where(minted_uid.c.uid == of.c.study_instance_uid)
    return or_(of.c.corrected, is_split)


def tells_its_orders() -> Condition:
    """Has a corrected study's ImagingStudy the accession number, and so what else is said of it?"""
    value = dicom_value.alias()
    return exists().where(
        value.c.study == study.c.pk,
        value.c.path == ACCESSION_NUMBER,
        token_index.c.rid == study.c.rid,
        token_index.c.parameter == IDENTIFIER,
        token_index.c.value == value.c.value,
    )


def bound(name: str, column: Column) -> BindParameter[Any]:
    is_number = column.type.python_type is int
    return bindparam(f"{name}_number" if is_number else str(name), type_=column.type)


def is_narrow(query: DicomQuery) -> bool:
    is_of_one = query.study is not None or query.patient is not None
    return is_of_one or any(map(is_unique, query.criteria))


def is_unique(criterion: Criterion) -> bool:
    """Is it a UID of its own, by which the row is found at once?"""
    return all(
        key.path in UNIQUE and all(isinstance(match, OneOf) for match in key.matches)
        for keys in criterion.alternatives
        for key in keys
    )


def selectivity(criterion: Criterion) -> int:
    """Of the keys the one that most likely finds few is tried first."""
    path = criterion.alternatives[0][0].path
    if path in NUMBERS:
        return 0
    return 2 if path in OF_MANY else 1

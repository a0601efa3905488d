"""The text of a search understood (https://hl7.org/fhir/R4/search.html)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_criterion import (
    UnknownParameter,
    criterion_of,
    invalid,
    is_dicom,
    target_types,
)
from imaging_fhir.fhir.search_limits import Asked, require_few_parameters, require_few_sort_keys
from imaging_fhir.fhir.search_values import Setting
from imaging_fhir.model.search import (
    Criterion,
    Inclusion,
    Query,
    ReverseCriterion,
    SearchParameter,
    SortKey,
)

PAGE = "_page"  # our own parameter: where the page before ended
NOT_OF_THE_SEARCH = frozenset({"_format", "_pretty"})
SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
TOTALS = frozenset({"none", "estimate", "accurate"})
NEVER_IGNORED = frozenset({"patient", "subject", "_security", "_id"})
"""A typing error in one of these would otherwise return everybody."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was understood so far."""

    resource_type: str
    setting: Setting
    strict: bool
    count: int
    max_count: int
    criteria: list[Criterion | ReverseCriterion] = field(default_factory=list)
    asked: Asked = field(default_factory=Asked)
    sort: list[SortKey] = field(default_factory=list)
    includes: list[Inclusion] = field(default_factory=list)
    revincludes: list[Inclusion] = field(default_factory=list)
    after: str | None = None
    total: bool = False
    summary: str | None = None
    elements: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    understood: list[tuple[str, str]] = field(default_factory=list)

    def take(self, key: str, text: str) -> None:
        """One parameter; raise InvalidRequest."""
        if "\0" in key + text:
            raise invalid(key, "it has a character that no text of a database has.")
        try:
            if not text.strip():
                raise UnknownParameter(key)
            RESULT_PARAMETERS.get(key.partition(":")[0], take_criterion)(self, key, text)
        except UnknownParameter as error:
            self.leave_out(key, text, error)
        else:
            if key != PAGE:
                self.understood.append((key, str(self.count) if key == "_count" else text))

    def leave_out(self, key: str, text: str, error: UnknownParameter) -> None:
        """As Prefer: handling= wants it (search.html#errors)."""
        if key.partition(":")[0].partition(".")[0] in NEVER_IGNORED:
            raise invalid(key, "it cannot be left out, and is not understood.") from error
        if self.strict:
            why = "there is no such parameter here." if text.strip() else "it has no value."
            raise invalid(key, why) from error
        if key not in self.ignored:
            self.ignored.append(key)

    def query(self) -> Query:
        summary = "count" if self.count == 0 else self.summary  # search.html#count
        return Query(
            resource_type=self.resource_type,
            criteria=tuple(self.criteria),
            sort=tuple(self.sort),
            count=self.count,
            after=self.after,
            includes=tuple(self.includes),
            revincludes=tuple(self.revincludes),
            total=self.total or summary == "count",
            summary=summary,
            elements=tuple(self.elements),
            ignored=tuple(self.ignored),
            self_parameters=tuple(self.understood),
        )


def parse_query(
    resource_type: str,
    parameters: Sequence[tuple[str, str]],
    *,
    base: str,
    ehr_base: str = "",
    zone: tzinfo | None = None,
    default_count: int = 50,
    max_count: int = 1000,
    strict: bool = False,
    now: datetime | None = None,
) -> Query:
    """The search that decoded URL parameters ask for.

    What is not understood is refused where `strict`, else listed in `ignored`. Raise
    InvalidRequest, which names the parameter and never shows its value, and TooManyCriteria.
    """
    require_few_parameters(parameters)
    reading = Reading(
        resource_type=resource_type,
        setting=Setting(
            base=base, ehr_base=ehr_base, zone=zone or UTC, now=now or datetime.now(UTC)
        ),
        strict=strict,
        count=min(default_count, max_count),
        max_count=max_count,
    )
    for key, text in parameters:
        if key not in NOT_OF_THE_SEARCH:
            reading.take(key, text)
    require_few_sort_keys(len(reading.sort))
    return reading.query()


def take_criterion(reading: Reading, key: str, text: str) -> None:
    criterion = criterion_of(reading.resource_type, key, text, reading.setting)
    reading.asked.add(criterion)
    reading.criteria.append(criterion)


def take_count(reading: Reading, key: str, text: str) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise invalid(key, "it is no whole number from 0 on.")
    reading.count = min(int(text), reading.max_count)


def take_summary(reading: Reading, key: str, text: str) -> None:
    if text not in SUMMARIES:
        raise invalid(key, "it is none of true, text, data, count and false.")
    reading.summary = None if text == "false" else text


def take_total(reading: Reading, key: str, text: str) -> None:
    if text not in TOTALS:
        raise invalid(key, "it is none of none, estimate and accurate.")
    reading.total = text != "none"


def take_elements(reading: Reading, key: str, text: str) -> None:
    reading.elements += [name.strip() for name in text.split(",") if name.strip()]


def take_page(reading: Reading, key: str, text: str) -> None:
    reading.after = text


def take_sort(reading: Reading, key: str, text: str) -> None:
    parameters = RESOURCE_TYPES[reading.resource_type].by_name
    keys = []
    for item in text.split(","):
        name = item.strip().removeprefix("-")
        parameter = parameters.get(name)
        if parameter is None or not is_sortable(reading.resource_type, parameter):
            raise UnknownParameter(key)
        keys.append(
            SortKey(parameter=name, type=parameter.type, descending=item.strip().startswith("-"))
        )
    reading.sort += keys


def is_sortable(resource_type: str, parameter: SearchParameter) -> bool:
    one_value = parameter.type != "composite" and not parameter.words
    return one_value and not is_dicom(resource_type, parameter)


def take_include(reading: Reading, key: str, text: str) -> None:
    found = list(inclusions(reading.resource_type, text, iterate=iterates(key)))
    if not found:
        raise UnknownParameter(key)
    reading.includes += found


def take_revinclude(reading: Reading, key: str, text: str) -> None:
    found = list(reverse_inclusions(reading.resource_type, text, iterate=iterates(key)))
    if not found:
        raise UnknownParameter(key)
    reading.revincludes += found


def iterates(key: str) -> bool:
    """`:recurse` is what STU3 called it."""
    modifier = key.partition(":")[2]
    if modifier not in ("", "iterate", "recurse"):
        raise invalid(key, "there is no such modifier here.")
    return bool(modifier)


def inclusions(resource_type: str, text: str, *, iterate: bool) -> Iterator[Inclusion]:
    """`*`, `Type:*` or `Type:parameter`, the latter two also with `:TargetType`."""
    source, parameters, target = inclusion_parts(resource_type, text)
    for parameter in parameters:
        if target is None or target in target_types(parameter, target):
            yield Inclusion(
                source_type=source, parameter=parameter.name, target_type=target, iterate=iterate
            )


def reverse_inclusions(resource_type: str, text: str, *, iterate: bool) -> Iterator[Inclusion]:
    """Those by which the source can refer to the type searched, or, iterated, to any."""
    texts = [f"{source}:*" for source in RESOURCE_TYPES] if text == "*" else [text]
    for found in (one for each in texts for one in inclusions("", each, iterate=iterate)):
        parameter = RESOURCE_TYPES[found.source_type].by_name[found.parameter]
        if iterate or resource_type in target_types(parameter, found.target_type):
            yield found


def inclusion_parts(
    resource_type: str, text: str
) -> tuple[str, Sequence[SearchParameter], str | None]:
    if text == "*":
        return resource_type, RESOURCE_TYPES[resource_type].references, None
    source, _, rest = text.partition(":")
    name, _, target = rest.partition(":")
    type_ = RESOURCE_TYPES.get(source)
    if type_ is None:
        return source, (), None
    if name == "*":
        return source, type_.references, target or None
    parameter = type_.by_name.get(name)
    is_reference = parameter is not None and parameter.type == "reference"
    return source, (parameter,) if parameter and is_reference else (), target or None


RESULT_PARAMETERS: dict[str, Callable[[Reading, str, str], None]] = {
    "_count": take_count,
    "_summary": take_summary,
    "_total": take_total,
    "_elements": take_elements,
    "_sort": take_sort,
    "_include": take_include,
    "_revinclude": take_revinclude,
    PAGE: take_page,
}

"""What a search asks, and what the index holds: shared by fhir (text), storage (SQL), services."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SearchType = Literal[
    "token", "reference", "date", "string", "uri", "number", "quantity", "composite", "text"
]
"""R4's types but for `special`; `text` are those that R4 calls strings and that search in all
words of a resource, `_text` and `_content`."""


DICOM_PARAMETERS = frozenset({"instance", "series", "dicom-class", "number-of-instances"})
"""Of ImagingStudy: answered from the DICOM index, and kept nowhere else."""

MOMENTS = frozenset(
    {
        "AuditEvent.date",
        "Consent.date",
        "DiagnosticReport.issued",
        "DocumentManifest.created",
        "DocumentReference.date",
        "ImagingStudy.started",
        "List.date",
        "Patient.birthdate",
        "Patient.death-date",
        "Provenance.recorded",
        "ServiceRequest.authored",
        "Task.authored-on",
        "Task.modified",
    }
)
"""Parameters of which a resource has one value at most: a date, a dateTime or an instant."""

SPANS = frozenset(
    {
        "DiagnosticReport.date",
        "DocumentReference.period",
        "Encounter.date",
        "EpisodeOfCare.date",
        "Media.created",
        "Observation.date",
        "PractitionerRole.date",
        "Procedure.date",
        "Provenance.when",
        "ServiceRequest.occurrence",
        "Task.period",
    }
)
"""Those of which it has one value at most, which may be a Period or a Timing: it may last long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameter:
    """One row of the table that index, CapabilityStatement and search are derived from.

    `paths` are dotted element paths below the resource; `deceased[x]` is the element of whichever
    type is there, `extension@concept` the extensions of that address or name. The parameter's
    value is the union of what they reach.
    """

    name: str
    type: SearchType
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()  # of a reference; none: any type
    url: str = ""  # canonical of the SearchParameter
    documentation: str = ""
    only: str = ""  # leaves out references to another type, as where(resolve() is Patient) does
    where: tuple[str, str] | None = None  # an element of what is reached, and the value it has
    exists: bool = False  # the value is whether something is there that is not false
    phonetic: bool = False  # words are compared by their sound
    uid: bool = False  # a DICOM UID, searched as 1.2.3 and as urn:oid:1.2.3
    system: str = ""  # what the codes of an element of type `code` are of
    typed: tuple[str, ...] = ()  # codes of Identifier.type, of which one must be there
    words: bool = False  # searches words anywhere in what is reached
    own: bool = False  # not of R4: defined here, under our own canonical
    components: "tuple[SearchParameter, ...]" = ()  # of a composite, their paths from its own


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntry:
    parameter: str
    system: str | None
    value: str  # as written; compared folded
    text: str | None = None  # display or text, for :text
    type_system: str | None = None  # of Identifier.type, for :of-type
    type_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEntry:
    """A literal reference to ours (`target_type`, `target_id`), elsewhere (`url`), or logical."""

    parameter: str
    target_type: str | None = None
    target_id: str | None = None
    url: str | None = None
    identifier_system: str | None = None
    identifier_value: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DateEntry:
    """The interval that a date, time or Period stands for, in microseconds since 1970 UTC.

    Half open: `low` <= instant < `high`. An open end is OPEN_LOW or OPEN_HIGH.
    """

    parameter: str
    low: int
    high: int


OPEN_LOW = -(2**62)
OPEN_HIGH = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class StringEntry:
    parameter: str
    value: str
    folded: str  # case and accents folded, for the default match


@dataclass(frozen=True, slots=True, kw_only=True)
class UriEntry:
    parameter: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityEntry:
    """What a Quantity stands for: its value, or all on one side of it by its comparator."""

    parameter: str
    low: float
    high: float
    system: str | None = None
    code: str | None = None
    unit: str | None = None
    base_unit: str | None = None  # of UCUM, where the unit is known
    base_low: float | None = None
    base_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEntry:
    """Words in their order, as model.words writes them."""

    parameter: str
    words: str


SimpleEntry = TokenEntry | ReferenceEntry | DateEntry | StringEntry | UriEntry | QuantityEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeEntry:
    """Two values of one repeat."""

    parameter: str
    first: SimpleEntry
    second: SimpleEntry


IndexEntry = SimpleEntry | CompositeEntry | TextEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenValue:
    """`code`, `system|code`, `|code` (system ""), `system|` (value None)."""

    system: str | None
    value: str | None
    type_system: str | None = None  # these two with :of-type
    type_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceValue:
    target_type: str | None = None
    target_id: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DateValue:
    prefix: str  # eq ne gt lt ge le sa eb ap
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityValue:
    """Implicit precision: `eq100` is 99.5 <= value < 100.5; the other prefixes take `value`.

    `base` is the same in UCUM's base unit, its code, where the unit is known.
    """

    prefix: str
    value: float
    low: float
    high: float
    system: str | None = None
    code: str | None = None
    base: "QuantityValue | None" = None


SimpleValue = (
    TokenValue | ReferenceValue | DateValue | QuantityValue | str
)  # str: string, uri, bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeValue:
    """Alternatives for each of the two parts: one of the first and one of the second."""

    first: tuple[SimpleValue, ...]
    second: tuple[SimpleValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseValue:
    """Words that follow one another; where `begins`, the last one is a beginning."""

    words: tuple[str, ...]
    begins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsValue:
    """Any of these, each of them all of its parts, and none of what it is to be without."""

    alternatives: "tuple[AllWords, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllWords:
    parts: tuple[PhraseValue | WordsValue, ...]
    without: tuple[PhraseValue | WordsValue, ...] = ()


SearchValue = SimpleValue | CompositeValue | WordsValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One parameter of a search; its values are alternatives (OR).

    `chain` is set where the parameter is a reference followed (`patient.identifier=…`): the
    criteria that the target must fulfil, for each type that the target may have.
    """

    parameter: str
    type: SearchType
    modifier: str | None = None  # exact contains not missing text identifier of-type above below
    values: tuple[SearchValue, ...] = ()
    chain: "tuple[tuple[str, Criterion | ReverseCriterion], ...]" = ()  # by target type; OR


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseCriterion:
    """`_has:DocumentReference:encounter:type=…`: some resource refers here and fulfils it."""

    resource_type: str
    reference_parameter: str
    criterion: "Criterion | ReverseCriterion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """In a compartment: it refers to an owner by one of these, or is one itself.

    The owner is one resource, or the several Patients who are one person.
    """

    owner_type: str
    owner_ids: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    itself: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """One of the alternatives holds, all criteria of it; without alternatives nothing does."""

    alternatives: "tuple[tuple[AnyCriterion, ...], ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A resource of one of these types that fulfils its criteria refers to it.

    A Binary is referred to by the address of an attachment, all others by a reference.
    """

    sources: "tuple[tuple[str, tuple[AnyCriterion, ...]], ...]"


AnyCriterion = Criterion | ReverseCriterion | Membership | AnyOf | Reached
NOTHING = AnyOf()  # what no resource fulfils


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    parameter: str  # a search parameter's name, _id or _lastUpdated
    type: SearchType
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """`_include=source:parameter:target` or `_revinclude`, one reference parameter each."""

    source_type: str
    parameter: str
    target_type: str | None = None
    iterate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search on one resource type, understood; criteria must all hold (AND)."""

    resource_type: str
    criteria: tuple[AnyCriterion, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = 50
    after: str | None = None  # opaque position of the last match of the page before
    includes: tuple[Inclusion, ...] = ()
    revincludes: tuple[Inclusion, ...] = ()
    total: bool = False
    summary: str | None = None  # true, text, data, count
    elements: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()  # parameters not understood, left out (handling=lenient)
    self_parameters: tuple[tuple[str, str], ...] = ()  # what was understood, for the self link
    address: str | None = None  # below the base, where it is not the type's


Restrictions = Mapping[str, tuple[AnyCriterion, ...]]
"""What a resource of a type must fulfil to be seen at all; a type that is not there is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Of a conditional interaction: what is not to be seen by the caller fulfils it for nobody."""

    query: Query
    restrictions: Restrictions

    @property
    def resource_type(self) -> str:
        return self.query.resource_type

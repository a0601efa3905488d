"""Words of `_text` and `_content` in SQL: each phrase by the engine's full text.

What is to be together is put together here and not in the engines' own languages: a resource may
have several rows, as an ImagingStudy has one for each series.
"""

from sqlalchemy import ColumnElement, and_, column, func, literal_column, or_, select, table, true
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.model.search import AllWords, Criterion, PhraseValue, WordsValue
from imaging_fhir.storage.schema import TEXT_MATCH, text_index

Condition = ColumnElement[bool]
MATCHES = table(TEXT_MATCH, column("rowid"), column(TEXT_MATCH))  # FTS5: a column of its own name


def words_condition(
    row: FromClause, resource_type: str, criterion: Criterion, dialect: str
) -> Condition:
    parameter = f"{resource_type}.{criterion.parameter}"
    values = [value for value in criterion.values if isinstance(value, WordsValue)]
    return or_(*(any_of(row, parameter, value, dialect) for value in values))


def any_of(row: FromClause, parameter: str, value: WordsValue, dialect: str) -> Condition:
    return or_(*(all_of(row, parameter, one, dialect) for one in value.alternatives))


def all_of(row: FromClause, parameter: str, words: AllWords, dialect: str) -> Condition:
    return and_(
        true(),
        *(part_condition(row, parameter, part, dialect) for part in words.parts),
        *(~part_condition(row, parameter, part, dialect) for part in words.without),
    )


def part_condition(
    row: FromClause, parameter: str, part: PhraseValue | WordsValue, dialect: str
) -> Condition:
    if isinstance(part, WordsValue):
        return any_of(row, parameter, part, dialect)
    entry = text_index.alias()
    found = select(entry.c.rid).where(entry.c.parameter == parameter)
    if dialect == "sqlite":
        matching = select(MATCHES.c.rowid).where(MATCHES.c[TEXT_MATCH].op("MATCH")(fts5(part)))
        return row.c.rid.in_(found.where(entry.c.pk.in_(matching)))
    vector = func.to_tsvector(literal_column("'simple'"), entry.c.words)
    query = func.to_tsquery(literal_column("'simple'"), tsquery(part))
    return row.c.rid.in_(found.where(vector.op("@@")(query)))


def fts5(phrase: PhraseValue) -> str:
    """The words are of ASCII letters and digits (model.words): nothing in them is syntax."""
    return f'"{" ".join(phrase.words)}"' + (" *" if phrase.begins else "")


def tsquery(phrase: PhraseValue) -> str:
    return " <-> ".join(phrase.words) + (":*" if phrase.begins else "")

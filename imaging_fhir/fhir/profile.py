"""What a profile asks of a resource beyond R4, and the check of it (profiling.html).

Not judged: whether the target of a reference is of the profile that is asked of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imaging_fhir.fhir.faults import Issue
from imaging_fhir.fhir.literal_reference import target_of, type_in
from imaging_fhir.fhir.presence_rules import has
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """Codes by system: those known to be in it; `open_systems` have more that are not listed."""

    url: str
    codes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    open_systems: frozenset[str] = frozenset()

    def holds(self, coding: Resource) -> bool:
        return coding.get("code") in self.codes.get(coding.get("system", ""), ())

    def may_hold(self, coding: Resource) -> bool:
        return "code" in coding and coding.get("system") in self.open_systems


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementRule:
    """An element that must be supported, and what is asked of it; `path` is below the type."""

    path: str
    least: int = 0
    most: int | None = None
    required: ValueSet | None = None
    extensible: ValueSet | None = None
    targets: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    key: str
    message: str
    holds: Callable[[Resource], bool]
    path: str = ""
    severity: str = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    url: str
    version: str
    type: str
    rules: tuple[ElementRule, ...]
    constraints: tuple[Constraint, ...] = ()


UNVERIFIED = "not-supported"  # code of an issue that says what cannot be judged here


def conforms(resource: Resource, profile: Profile) -> bool:
    """Whether it is known to: what cannot be judged here is no conformance."""
    return all(found.severity == "warning" for found in check_profile(resource, profile))


def check_profile(resource: Resource, profile: Profile) -> Iterator[Issue]:
    """Presumes a resource that is right by R4."""
    for rule in profile.rules:
        yield from _cardinality(resource, profile, rule)
        for expression, value in elements(resource, rule.path, profile.type):
            yield from _binding(value, rule, expression)
            yield from _target(value, rule, expression)
    for constraint in profile.constraints:
        for expression, value in elements(resource, constraint.path, profile.type):
            if not constraint.holds(value):
                yield Issue(
                    expression=expression,
                    message=f"{constraint.message} ({constraint.key})",
                    severity=constraint.severity,
                    code="invariant",
                )


def elements(value: Any, path: str, expression: str) -> Iterator[tuple[str, Any]]:
    """Every value at a path, with where it is."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from elements(item, path, f"{expression}[{index}]")
    elif not path:
        yield expression, value
    elif isinstance(value, dict):
        name, _, rest = path.partition(".")
        for key in value:
            if key == name or (name.endswith("[x]") and key.startswith(name[:-3])):
                yield from elements(value[key], rest, f"{expression}.{name.removesuffix('[x]')}")


def _cardinality(resource: Resource, profile: Profile, rule: ElementRule) -> Iterator[Issue]:
    parent, _, name = rule.path.rpartition(".")
    if not rule.least and rule.most is None:
        return
    for expression, value in elements(resource, parent, profile.type):
        here = f"{expression}.{name.removesuffix('[x]')}"
        if rule.least and not has(value, name):
            yield Issue(expression=here, message="is missing", code="required")
        found = value.get(name)
        if rule.most is not None and isinstance(found, list) and len(found) > rule.most:
            yield Issue(expression=here, message=f"may be there {rule.most} times", code="value")


def _binding(value: Any, rule: ElementRule, expression: str) -> Iterator[Issue]:
    bound = rule.required or rule.extensible
    if bound is None or not isinstance(value, dict):
        return
    codings = value.get("coding", []) if "code" not in value else [value]
    if any(bound.holds(coding) for coding in codings):
        return
    if any(bound.may_hold(coding) for coding in codings):
        if rule.required:
            yield Issue(
                expression=expression,
                message=f"has a code that may be in {bound.url}: that was not checked",
                severity="information",
                code=UNVERIFIED,
            )
        return
    yield Issue(
        expression=expression,
        message=f"has no code of {bound.url}",
        severity="error" if rule.required else "warning",
        code="code-invalid",
    )


def _target(value: Any, rule: ElementRule, expression: str) -> Iterator[Issue]:
    type_ = type_of(value) if rule.targets else None
    if rule.targets and type_ and type_ not in rule.targets:
        allowed = " or ".join(sorted(rule.targets))
        yield Issue(expression=expression, message=f"must refer to {allowed}", code="structure")


def type_of(reference: Resource) -> str | None:
    found = target_of(reference.get("reference", ""), base=BASE_PLACEHOLDER)
    if found is None:
        return reference.get("type")
    return found.type or type_in(found.url or "") or reference.get("type")

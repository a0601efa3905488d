"""Rules tried in the order of their table: the first that applies decides (`linking_rules`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from imaging_fhir.linking_rules import Rule
from imaging_fhir.policy import Policy

Facts = TypeVar("Facts")
Match = TypeVar("Match")
State = Literal["does-not-apply", "switched-off", "decides", "not-reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[Match]):
    """`match` is what the rule says, be it switched off."""

    rule: Rule
    state: State
    match: Match | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleList(Generic[Facts, Match]):
    """`judges` answer by the name of their rule; `refused` is what holds instead of one off."""

    rules: Sequence[Rule]
    judges: Mapping[str, Callable[[Facts], Match | None]]
    refused: Callable[[Rule], Match]

    def walk(self, facts: Facts, policy: Policy) -> Iterator[Step[Match]]:
        """Each rule that is tried; the last one decides."""
        for rule in self.rules:
            judge = self.judges.get(rule.name)
            match = None if judge is None else judge(facts)
            if match is None:
                if judge is not None:
                    yield Step(rule=rule, state="does-not-apply")
            elif not policy.is_off(rule):
                yield Step(rule=rule, state="decides", match=match)
                return
            else:
                yield Step(rule=rule, state="switched-off", match=match)
                if rule.when_off == "held":
                    yield Step(rule=self.held_by, state="decides", match=self.refused(rule))
                    return

    @property
    def held_by(self) -> Rule:
        return next(rule for rule in self.rules if rule.by_policy and rule.name == "switched-off")

    def without(self, *names: str) -> "RuleList[Facts, Match]":
        judges = {name: judge for name, judge in self.judges.items() if name not in names}
        return RuleList(rules=self.rules, judges=judges, refused=self.refused)


def decided_by(steps: Iterable[Step[Match]]) -> Match:
    for step in steps:
        if step.state == "decides" and step.match is not None:
            return step.match
    raise AssertionError("The last rule of a list always applies.")

"""Conditions that a parameter's value must meet; they are written beside its type: `Annotated[int, Minimum(0)]`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


class Validator(ABC):
    """A condition on one value."""

    @abstractmethod
    def validate(self, value: Any) -> None:
        """Raise ValueError (TypeError for a wrong type) unless the value meets the condition."""


@dataclass(frozen=True)
class NotNone(Validator):
    """Any value but None."""

    def validate(self, value: Any) -> None:
        """Raise ValueError for None."""
        if value is None:
            raise ValueError("The value must not be None.")


@dataclass(frozen=True)
class IsNone(Validator):
    """Only None."""

    def validate(self, value: Any) -> None:
        """Raise ValueError for anything but None."""
        if value is not None:
            raise ValueError(f"The value must be None, it is {value!r}.")


@dataclass(frozen=True)
class IsInstance(Validator):
    """An instance of a type, or None."""

    classtype: Any

    def validate(self, value: Any) -> None:
        """Raise TypeError for a value of another type."""
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"The value must have the type {self.classtype}, {value!r} is a {type(value).__name__}.")


@dataclass(frozen=True)
class WithinRange(Validator):
    """From minimum to maximum, both included."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for a value outside the range."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"The value must be within [{self.minimum}, {self.maximum}], it is {value}.")


@dataclass(frozen=True)
class Minimum(Validator):
    """This or more."""

    minimum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for less."""
        if value < self.minimum:
            raise ValueError(f"The value must be at least {self.minimum}, it is {value}.")


@dataclass(frozen=True)
class Maximum(Validator):
    """This or less."""

    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for more."""
        if value > self.maximum:
            raise ValueError(f"The value must be at most {self.maximum}, it is {value}.")


@dataclass(frozen=True)
class Choice(Validator):
    """One of some values."""

    choices: Collection[Any]

    def validate(self, value: Any) -> None:
        """Raise ValueError for any other value."""
        if value not in self.choices:
            raise ValueError(f"The value must be one of {list(self.choices)}, it is {value!r}.")


@dataclass(frozen=True)
class Exclude(Validator):
    """None of some values."""

    excludedValues: Collection[Any]  # noqa: N815 - Slicer's name

    def validate(self, value: Any) -> None:
        """Raise ValueError for one of the excluded values."""
        if value in self.excludedValues:
            raise ValueError(f"The value must not be one of {list(self.excludedValues)}, it is {value!r}.")


@dataclass(frozen=True)
class RangeBounds(Validator):
    """A range (an object with minimum and maximum) that lies within bounds."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for a range that reaches beyond the bounds."""
        if value.minimum < self.minimum or value.maximum > self.maximum:
            raise ValueError(
                f"The range must be within [{self.minimum}, {self.maximum}], it is [{value.minimum}, {value.maximum}]."
            )


def is_validator(annotation: Any) -> bool:
    """Whether an annotation of a type is a condition on its values."""
    return isinstance(annotation, Validator)

"""Pydantic's errors, and whatever else validators raise, as ours."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from zproc.exceptions import Fault, ValidationRefused, ValidatorCrashed
from zproc.schema.faults import REFUSALS, crash, fault, faults, refused, validator_faults


class Oven(BaseModel):
    temp: float = Field(default=0, ge=0)
    rows: list[int] = []


def test_every_fault_is_named_by_path_rule_and_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Oven.model_validate({"temp": -1, "rows": [1, "x" * 500]}, strict=True)
    found = faults(caught.value, ("ovens", "a.b"))
    assert [(one.path, one.rule) for one in found] == [
        ("ovens['a.b'].temp", "greater_than_equal"),
        ("ovens['a.b'].rows[1]", "int_type"),
    ]
    assert found[0].given == "-1"
    assert len(found[1].given) < 100


def test_a_refusal_shows_all_faults() -> None:
    error = refused([Fault("a", "r", "is wrong", "1"), Fault("b", "r", "is wrong, too", "2")])
    assert isinstance(error, ValidationRefused)
    assert "is wrong" in str(error)
    assert "is wrong, too" in str(error)
    assert fault(("x",), "frozen_field", "the field is frozen", 3).faults[0].path == "x"


@pytest.mark.parametrize(
    ("error", "rule", "message"),
    [
        (ValueError("no"), "value_error", "Value error, no"),
        (AssertionError("no"), "assertion_error", "Assertion failed, no"),
        (PydanticCustomError("mine", "no {x}", {"x": 1}), "mine", "no 1"),
    ],
)
def test_what_a_model_validator_refuses_is_said_in_pydantics_words(error: Exception, rule: str, message: str) -> None:
    assert isinstance(error, REFUSALS)
    (found,) = validator_faults(error, ("m",))
    assert (found.path, found.rule, found.message) == ("m", rule, message)


def test_a_crash_names_the_validator_and_what_it_raised() -> None:
    error = crash((), KeyError("k"), Oven.model_validate)
    assert isinstance(error, ValidatorCrashed)
    assert "model_validate" in error.validator
    assert "KeyError" in str(error)

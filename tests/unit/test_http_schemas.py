"""Our check of a body against its schema says what an independent validator says."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.services.http.rest_hosts import MOVE, PATCH
from mayu_py.services.http.schemas import INTEGER, STRING, Schema, array, mapping, obj, or_null, problems, text

NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 9}
SCHEMAS: tuple[Schema, ...] = (
    PATCH,
    MOVE,
    NUMBER,
    text(3),
    or_null("string"),
    array(INTEGER),
    mapping(STRING),
    obj({"a": NUMBER}),
)
KEYS = st.sampled_from(["facts", "metadata", "values", "profile", "image", "state", "text", "cabinet", "a", "~/", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.text(max_size=5) | st.sampled_from(["running", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("schema", SCHEMAS)
@given(value=VALUES)
def test_the_check_agrees_with_a_validator(schema: Schema, value: Any) -> None:
    assert (not list(problems(schema, value))) == jsonschema_rs.is_valid(dict(schema), value)


def test_every_problem_has_its_place_and_a_way_out() -> None:
    body = {"facts": {"cabinet": 3, "colour": "red"}, "metadata": {"a/b": 1}, "image": "x" * 64}
    assert list(problems(PATCH, body)) == [
        "/facts/cabinet is no string or null",
        "/facts/colour is not known; there are: provider_id, ipmi_address, cabinet, etcd_token",
        "/metadata/a~1b is no string or null",
        "/image is longer than 63 characters",
    ]
    assert list(problems(MOVE, {"state": "flying"})) == [
        "/state is none of discovered, configured, installing, running, failed",
    ]
    assert list(problems(MOVE, {})) == ["the body lacks 'state'"]
    assert list(problems(MOVE, [])) == ["the body is no object"]

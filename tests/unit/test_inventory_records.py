"""A whole inventory as JSON, for who asks a running mayu, and back."""

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.hosts import ENROLLED, Facts, Host, Mac, Uuid
from mayu_py.core.inventory import Edits, Inventory, Told
from mayu_py.store import records

names = st.text(min_size=1, max_size=12)
addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
macs = st.integers(0, 2**24 - 1).map(
    lambda number: Mac(f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}")
)
uuids = st.uuids().map(lambda uuid: Uuid(str(uuid)))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(names, inner)
)


@st.composite
def enrolled(draw: st.DrawFn) -> Host:
    address = draw(st.none() | addresses)
    return Host(
        draw(names),
        address,
        tuple(draw(st.lists(macs, max_size=2))),
        draw(st.none() | names),
        draw(st.none() | uuids),
        draw(st.none() | names),
        draw(st.dictionaries(names, addresses, max_size=2)),
        proxied=address is None,
        origin=ENROLLED,
    )


facts = st.builds(Facts, names, names, names, names, names, st.dictionaries(names, st.text(), max_size=2))
inventories = st.builds(
    Inventory,
    st.integers(0),
    st.lists(enrolled(), unique_by=lambda host: host.name, max_size=3).map(tuple),
    st.dictionaries(
        names, st.builds(Told, st.none() | names, st.none() | uuids, st.text(), st.booleans(), st.none() | addresses), max_size=3
    ),
    st.dictionaries(
        names,
        st.builds(Edits, st.none() | names, st.none() | names, st.dictionaries(names, values, max_size=2), facts),
        max_size=3,
    ),
)


@given(inventories)
def test_an_inventory_survives_the_way_through_json(inventory: Inventory) -> None:
    assert records.inventory(json.loads(json.dumps(records.of_inventory(inventory)))) == inventory


@pytest.mark.parametrize("record", [{}, {"revision": 1}, {"revision": 0, "enrolled": [], "told": {}, "edits": {}}, {"more": 1}])
def test_what_is_no_inventory_is_an_error_that_its_reader_knows(record: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        records.inventory(record)

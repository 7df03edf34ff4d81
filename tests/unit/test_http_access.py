"""Who comes in, and with which role."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.access import Access, Caller, Credentials, Role, Token, digest_of, identify
from mayu_py.errors import Forbidden, Unidentified

ACCESS = Access((Token("ci", Role.OPERATE, digest_of("t0ken").upper()),), {"ann": Role.READ})


def test_roles_include_those_before_them() -> None:
    assert [[role.includes(needed) for needed in Role] for role in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_token_is_its_bearer_wherever_it_comes_from() -> None:
    for local in (True, False):
        assert identify(Credentials(local, "Bearer t0ken"), ACCESS) == Caller("token ci", Role.OPERATE)
    assert identify(Credentials(False, "bearer  t0ken "), ACCESS) == Caller("token ci", Role.OPERATE)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer t0ke", "Basic t0ken", "t0ken", "Bearer t\u00f6ken", "Bearer \udcff"]
)
def test_a_wrong_token_is_nobody_even_with_a_certificate_and_here(header: str) -> None:
    with pytest.raises(Unidentified):
        identify(Credentials(True, header, "ann"), ACCESS)


def test_a_certificate_has_the_role_of_its_common_name() -> None:
    assert identify(Credentials(common_name="ann"), ACCESS) == Caller("certificate ann", Role.READ)
    with pytest.raises(Forbidden, match="the certificate of 'bob' has no role"):
        identify(Credentials(common_name="bob"), ACCESS)


def test_the_own_machine_needs_no_credentials_while_nobody_has_any() -> None:
    assert identify(Credentials(local=True), Access()) == Caller("local", Role.ADMIN)
    for credentials, access in ((Credentials(local=False), Access()), (Credentials(local=True), ACCESS)):
        with pytest.raises(Unidentified) as nobody:
            identify(credentials, access)
        assert nobody.value.hint


def test_who_may_not_is_told_what_it_takes() -> None:
    caller = Caller("token ci", Role.OPERATE)
    caller.demand(None)
    caller.demand(Role.READ)
    with pytest.raises(Forbidden) as refused:
        caller.demand(Role.ADMIN)
    assert refused.value.message == "token ci has the role operate; this needs admin"


@given(st.text())
def test_any_header_is_somebody_or_nobody(header: str) -> None:
    with suppress(Unidentified):
        assert identify(Credentials(False, header), ACCESS).name == "token ci"

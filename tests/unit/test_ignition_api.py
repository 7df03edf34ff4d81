"""The public names of `ignition`, which come when they are used."""

import pkgutil

import pytest

import ignition


@pytest.mark.parametrize("name", ignition.__all__)
def test_every_public_name_is_there_and_lives_in_the_package(name: str) -> None:
    assert getattr(ignition, name).__module__.startswith("ignition.")


def test_public_names_are_sorted_and_seen_by_dir() -> None:
    assert sorted(ignition.__all__) == ignition.__all__
    assert set(ignition.__all__) <= set(dir(ignition))


def test_no_module_hides_behind_a_public_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(ignition.__path__)}
    assert modules & set(ignition.__all__) == set()


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ignition' has no attribute 'valdate'"):
        _ = ignition.valdate  # type: ignore[attr-defined]

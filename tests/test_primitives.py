"""Sortable numbers and ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.primitives import (
    ALPHABET,
    ID_LENGTH,
    base32,
    derived_id,
    is_id,
    keyed_id,
    parse_sortable,
    random_id,
    sortable,
)

numbers = st.integers(0, 70) | st.integers(0, 32**31 - 1)


@given(numbers)
def test_a_sortable_number_reads_back(n: int) -> None:
    text = sortable(n)
    assert parse_sortable(text) == (n, len(text))
    assert parse_sortable("xx" + text + "rest", 2) == (n, 2 + len(text))


@given(numbers, numbers)
def test_sortable_numbers_sort_and_none_begins_another(a: int, b: int) -> None:
    assert (sortable(a) < sortable(b)) == (a < b)
    assert a == b or not sortable(a).startswith(sortable(b))


@given(st.text(ALPHABET, max_size=10) | st.text(max_size=5))
def test_only_what_is_written_reads(text: str) -> None:
    try:
        n, end = parse_sortable(text)
    except ValueError:
        return
    assert sortable(n) == text[:end]


@pytest.mark.parametrize("n", [-1, 32**31, 32**40])
def test_numbers_out_of_range(n: int) -> None:
    with pytest.raises(ValueError, match="number"):
        sortable(n)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_base32_tells_bytes_of_one_length_apart(a: bytes, b: bytes) -> None:
    assert len(base32(a)) == -(-len(a) * 8 // 5)
    if len(a) == len(b):
        assert (base32(a) < base32(b)) == (a < b)


@given(st.binary(min_size=16, max_size=16))
def test_a_random_id_is_an_id(entropy: bytes) -> None:
    assert is_id(random_id(entropy))


def test_a_random_id_needs_all_its_randomness() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        random_id(b"short")


@given(st.binary(), st.text(), st.text(), st.text(), st.text())
def test_a_keyed_id_depends_on_consumer_and_key(
    secret: bytes, consumer: str, key: str, consumer2: str, key2: str
) -> None:
    id = keyed_id(secret, consumer, key)
    assert is_id(id)
    assert id == keyed_id(secret, consumer, key)
    assert (id == keyed_id(secret, consumer2, key2)) == ((consumer, key) == (consumer2, key2))
    assert id != keyed_id(secret + b"x", consumer, key)


def test_a_keyed_id_knows_where_the_consumer_ends() -> None:
    assert keyed_id(b"s", "ab", "c") != keyed_id(b"s", "a", "bc")


@given(st.text(), st.text(alphabet=st.characters(blacklist_characters="\0")))
def test_a_derived_id_follows_from_its_parent(parent: str, role: str) -> None:
    assert is_id(derived_id(parent, role))
    assert derived_id(parent, role) == derived_id(parent, role)
    assert derived_id(parent, role) != derived_id(parent + "x", role)
    assert derived_id(parent, role) != derived_id(parent, role + "x")


@pytest.mark.parametrize("text", ["", "a" * (ID_LENGTH - 1), "a" * (ID_LENGTH + 1), "A" * 26])
def test_what_is_no_id(text: str) -> None:
    assert not is_id(text)

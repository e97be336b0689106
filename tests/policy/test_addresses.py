"""Networks, and who the client is behind proxies."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.addresses import Networks, address, behind, forwarded, forwarded_for

_ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(_ADDRESSES, st.lists(st.tuples(_ADDRESSES, st.integers(0, 128)), max_size=20))
def test_membership_is_that_of_the_standard_library(
    text: str, networks: list[tuple[str, int]]
) -> None:
    made = []
    for base, prefix in networks:
        most = ipaddress.ip_address(base).max_prefixlen
        network = ipaddress.ip_network(f"{base}/{min(prefix, most)}", strict=False)
        if not str(network).startswith("::ffff:"):  # IPv4 by another name, see below
            made.append(network)
    found = address(text)
    assert found is not None
    expected = any(found.version == net.version and found in net for net in made)
    assert (found in Networks(map(str, made))) == expected


def test_a_mapped_address_is_the_one_it_maps() -> None:
    assert address("::ffff:192.0.2.7") in Networks(["192.0.2.0/24"])
    assert address("192.0.2.7") in Networks(["::ffff:192.0.2.0/120"])
    assert address("fe80::1%eth0") in Networks(["fe80::/10"])
    assert address("localhost") is None


@pytest.mark.parametrize("text", ["192.0.2.1/24", "nonsense", "1.2.3", "::/129", ""])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no network"):
        Networks([text])


def test_what_a_client_writes_itself_is_not_believed() -> None:
    trusted = Networks(["10.0.0.0/8"])
    assert behind("203.0.113.5", ["1.1.1.1"], trusted) == "203.0.113.5"
    assert behind("10.0.0.1", ["1.1.1.1", "203.0.113.5"], trusted) == "203.0.113.5"
    assert behind("10.0.0.1", ["203.0.113.5", "10.0.0.2"], trusted) == "203.0.113.5"


def test_a_hop_that_is_hidden_ends_the_search_at_who_wrote_it() -> None:
    trusted = Networks(["10.0.0.0/8"])
    assert behind("10.0.0.1", ["203.0.113.5", "unknown"], trusted) == "10.0.0.1"
    assert behind("10.0.0.1", [], trusted) == "10.0.0.1"


@given(st.lists(_ADDRESSES, max_size=8), _ADDRESSES, st.lists(_ADDRESSES, max_size=3))
def test_the_client_is_never_taken_from_before_an_untrusted_hop(
    forged: list[str], client: str, proxies: list[str]
) -> None:
    hops = [*proxies, "10.9.9.9"]
    trusted = Networks([*map(str, (p for p in proxies if p != client)), "10.9.9.9"])
    if address(client) in trusted:
        return
    found = behind("10.9.9.9", [*forged, client, *hops[:-1]], trusted)
    assert address(found) == address(client)


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        (["192.0.2.1, 198.51.100.2"], ["192.0.2.1", "198.51.100.2"]),
        (["192.0.2.1", "198.51.100.2:99"], ["192.0.2.1", "198.51.100.2"]),
        (["[2001:db8::1]:99, 2001:db8::2"], ["2001:db8::1", "2001:db8::2"]),
        ([",, "], []),
    ],
)
def test_forwarded_for(values: list[str], hops: list[str]) -> None:
    assert forwarded_for(values) == hops


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        (["for=192.0.2.43, for=198.51.100.17"], ["192.0.2.43", "198.51.100.17"]),
        (['For="[2001:db8:cafe::17]:4711"'], ["2001:db8:cafe::17"]),
        (["for=192.0.2.60;proto=http;by=203.0.113.43"], ["192.0.2.60"]),
        (['for="_gazonk"', "for=unknown"], ["_gazonk", "unknown"]),
        (["proto=https"], [""]),
        (["for=1.1.1.1 for=2.2.2.2"], [""]),
        (['for="1.1.1.1, for=2.2.2.2"'], ["1.1.1.1, for=2.2.2.2"]),
        (['for="a\\"b", for=192.0.2.1'], ['a"b', "192.0.2.1"]),
    ],
)
def test_forwarded(values: list[str], hops: list[str]) -> None:
    """Examples of RFC 7239, sections 4 and 6, and what is malformed."""
    assert forwarded(values) == hops


@given(st.text(max_size=200))
def test_whatever_stands_in_the_headers_is_survived(text: str) -> None:
    trusted = Networks(["0.0.0.0/0", "::/0"])
    behind("192.0.2.1", forwarded([text]), trusted)
    behind("192.0.2.1", forwarded_for([text]), trusted)

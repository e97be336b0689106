"""Small pure helpers that everything may use: sortable text for numbers, ids.

Randomness and secrets are passed in by the caller; nothing here reads a clock or a random source.
"""

from __future__ import annotations

import hashlib
import hmac

#: Crockford's base 32 in lower case, in ASCII order, so that text sorts as numbers do.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {c: i for i, c in enumerate(ALPHABET)}
_PAIRS = tuple(a + b for a in ALPHABET for b in ALPHABET)

#: Characters in an id made from 128 bits.
ID_LENGTH = 26


def base32(data: bytes) -> str:
    """Encode ``data`` in :data:`ALPHABET`, first bits first; the last character is zero-padded."""
    bits = len(data) * 8
    room = -(-bits // 10) * 10
    n = int.from_bytes(data, "big") << (room - bits)
    # By pairs: each start of an answer makes half a dozen ids.
    pairs = [_PAIRS[(n >> shift) & 1023] for shift in range(room - 10, -1, -10)]
    return "".join(pairs)[: -(-bits // 5)]


def sortable(n: int) -> str:
    """Text for a non-negative integer that sorts as the integers do and is free of prefixes.

    One character gives the number of digits, then come the digits: 0 → ``"0"``, 1 → ``"11"``,
    32 → ``"210"``. Raises :class:`ValueError` below 0 or at 32**31 and above.
    """
    if n < 0:
        raise ValueError(f"a sortable number cannot be negative: {n}")
    digits = ""
    while n:
        n, d = divmod(n, 32)
        digits = ALPHABET[d] + digits
    if len(digits) > 31:
        raise ValueError("the number is too large to be written sortably")
    return ALPHABET[len(digits)] + digits


def parse_sortable(text: str, start: int = 0) -> tuple[int, int]:
    """Read what :func:`sortable` wrote at ``start``; return the number and the index after it.

    Raises :class:`ValueError` when the text is not exactly what :func:`sortable` would write.
    """
    try:
        length = _VALUE[text[start]]
        end = start + 1 + length
        digits = text[start + 1 : end]
        if len(digits) != length or (digits and digits[0] == "0"):
            raise ValueError("not a sortable number")
        n = 0
        for c in digits:
            n = n * 32 + _VALUE[c]
    except (IndexError, KeyError):
        raise ValueError("not a sortable number") from None
    return n, end


def random_id(entropy: bytes) -> str:
    """An id of :data:`ID_LENGTH` characters from 16 bytes of randomness."""
    if len(entropy) != 16:
        raise ValueError("an id is made from exactly 16 bytes")
    return base32(entropy)


def keyed_id(secret: bytes, consumer: str, key: str) -> str:
    """The id that a consumer's idempotency key always gives: an HMAC-SHA-256 under the
    deployment's secret, cut to 128 bits, so that ids cannot be guessed from keys."""
    message = len(consumer.encode()).to_bytes(4, "big") + consumer.encode() + key.encode()
    return base32(hmac.digest(secret, message, "sha256")[:16])


def derived_id(parent: str, role: str) -> str:
    """An id that follows from another one, so that a repeated start yields the same ids."""
    named = f"{role}\0{parent}".encode("utf-8", "surrogatepass")
    return base32(hashlib.sha256(named).digest()[:16])


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of an id of ours."""
    return len(text) == ID_LENGTH and all(c in _VALUE for c in text)

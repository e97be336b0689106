"""How tokens may be signed."""

from __future__ import annotations

#: Algorithms that may be allowed: those whose verifying key cannot sign. Never ``none``, and none
#: with a shared secret (HS…), which a public key must not be taken for.
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
#: What is allowed unless the configuration says otherwise.
USUAL = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
#: Seconds by which clocks may differ, unless the configuration says otherwise.
LEEWAY = 3.0

"""The page on what the dialects carry says what they carry."""

from __future__ import annotations

from pathlib import Path

from tests.dialects import carried

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dialects.md"


def test_the_page_is_true() -> None:
    assert PAGE.read_text(encoding="utf-8") == carried.page(), (
        "write it anew: python -m tests.dialects.carried > docs/reference/dialects.md"
    )


def test_an_upstream_of_the_dialect_gets_everything() -> None:
    for name, asks in carried.QUESTIONS.items():
        for dialect, provider in (
            ("openai-chat", "an OpenAI-compatible upstream"),
            ("openai-responses", "an upstream of Responses"),
        ):
            ask = asks.get(dialect)
            if ask is not None:
                assert carried.PROVIDERS[provider](ask), (dialect, name)

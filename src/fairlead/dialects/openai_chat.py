"""OpenAI's Chat Completions dialect."""

from __future__ import annotations

#: What a request's own words are marked with (:class:`fairlead.ports.provider.Vendor`).
NAME = "openai-chat"

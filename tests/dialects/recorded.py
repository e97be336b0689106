"""Answers as servers of several vendors stream them, shortened."""

from __future__ import annotations

from typing import Any

Chunk = dict[str, Any]


def _openai(choices: list[dict[str, Any]], **more: Any) -> Chunk:
    return {
        "id": "chatcmpl-B7QPRz", "object": "chat.completion.chunk", "created": 1760000000,
        "model": "gpt-4o-2024-08-06", "service_tier": "default",
        "system_fingerprint": "fp_44added55e", "choices": choices, "obfuscation": "kT3x", **more,
    }  # fmt: skip


def _choice(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}


def _logprobs(token: str, probability: float) -> dict[str, Any]:
    said = {"token": token, "logprob": probability, "bytes": list(token.encode())}
    return {"content": [{**said, "top_logprobs": [said]}], "refusal": None}


OPENAI = [
    _openai([_choice({"role": "assistant", "content": "", "refusal": None})], usage=None),
    _openai([_choice({"content": "Hel"}, logprobs=_logprobs("Hel", -0.0009))], usage=None),
    _openai([_choice({"content": "lo"}, logprobs=_logprobs("lo", -1.25e-05))], usage=None),
    _openai([_choice({}, "stop")], usage=None),
    _openai(
        [],
        usage={
            "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    ),
]  # fmt: skip

OPENAI_TOOLS = [
    _openai([_choice({"role": "assistant", "content": None, "tool_calls": [
        {"index": 0, "id": "call_a", "type": "function",
         "function": {"name": "weather", "arguments": ""}}]})]),
    _openai([_choice({"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]})]),
    _openai([_choice({"tool_calls": [{"index": 0, "function": {"arguments": 'ty":1}'}}]})]),
    _openai([_choice({"tool_calls": [
        {"index": 1, "id": "call_b", "type": "function",
         "function": {"name": "time", "arguments": ""}}]})]),
    _openai([_choice({"tool_calls": [
        {"index": 2, "id": "call_c", "type": "custom", "custom": {"name": "sql", "input": ""}}]})]),
    _openai([_choice({"tool_calls": [{"index": 2, "type": "custom", "custom": {"input": "x"}}]})]),
    _openai([_choice({}, "tool_calls")]),
]  # fmt: skip

OPENAI_REFUSAL = [
    _openai([_choice({"role": "assistant", "content": "", "refusal": None})]),
    _openai([_choice({"refusal": "I can't"})]),
    _openai([_choice({"refusal": " help."})]),
    _openai([_choice({}, "stop")]),
]

OPENAI_TWO = [
    _openai([_choice({"role": "assistant", "content": ""})]),
    _openai([{"index": 1, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
    _openai([_choice({"content": "A"})]),
    _openai([{"index": 1, "delta": {"content": "B"}, "finish_reason": None}]),
    _openai([{"index": 1, "delta": {}, "finish_reason": "length"}]),
    _openai([_choice({"content": "a"})]),
    _openai([_choice({}, "stop")]),
]

OPENAI_AUDIO = [
    _openai([_choice({"role": "assistant", "audio": {"id": "audio_1"}})]),
    _openai([_choice({"audio": {"transcript": "Hi"}})]),
    _openai([_choice({"audio": {"data": "AAAA"}})]),
    _openai([_choice({"audio": {"data": "AAAA"}})]),
    _openai([_choice({"audio": {"expires_at": 1760003600}})]),
    _openai([_choice({}, "stop")]),
]

AZURE = [
    {
        "choices": [], "created": 0, "id": "", "model": "", "object": "",
        "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
    },
    _openai([_choice({"role": "assistant", "content": ""}, content_filter_results={})]),
    _openai([_choice({"content": "Hi"}, content_filter_results={"hate": {"severity": "safe"}})]),
    _openai([_choice({}, "stop", content_filter_results={})]),
]  # fmt: skip


def _deepseek(delta: dict[str, Any], finish: str | None = None, **more: Any) -> Chunk:
    return {
        "id": "f1", "object": "chat.completion.chunk", "created": 1760000000,
        "model": "deepseek-reasoner", "system_fingerprint": "fp_5",
        "choices": [_choice(delta, finish)], **more,
    }  # fmt: skip


DEEPSEEK = [
    _deepseek({"role": "assistant", "content": None, "reasoning_content": ""}),
    _deepseek({"content": None, "reasoning_content": "Hm"}),
    _deepseek({"content": None, "reasoning_content": "."}),
    _deepseek({"content": "Yes", "reasoning_content": None}),
    _deepseek(
        {"content": "", "reasoning_content": None},
        "stop",
        usage={
            "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
            "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 5,
        },
    ),
]  # fmt: skip

OPENROUTER = [
    {
        "id": "gen-1", "provider": "Anthropic", "model": "anthropic/claude", "created": 1,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None,
                     "native_finish_reason": native}],
    }
    for delta, finish, native in [
        ({"role": "assistant", "content": "", "reasoning": "Let",
          "reasoning_details": [{"type": "reasoning.text", "text": "Let"}]}, None, None),
        ({"content": "", "reasoning": " me",
          "reasoning_details": [{"type": "reasoning.text", "text": " me"}]}, None, None),
        ({"content": "", "reasoning": None,
          "reasoning_details": [{"type": "reasoning.text", "signature": "Er=="}]}, None, None),
        ({"content": "Done", "annotations": [{"type": "url_citation", "url_citation": {}}]},
         None, None),
        ({"content": ""}, "stop", "end_turn"),
    ]
]  # fmt: skip

RECORDED = {
    "openai": OPENAI,
    "openai, tools": OPENAI_TOOLS,
    "openai, refusal": OPENAI_REFUSAL,
    "openai, two choices": OPENAI_TWO,
    "openai, audio": OPENAI_AUDIO,
    "azure": AZURE,
    "deepseek": DEEPSEEK,
    "openrouter": OPENROUTER,
}

"""LiteLLM's proxy before a model server: what Python gateways for models cost today.

It stands in an environment of its own (``make litellm``): it brings a hundred packages along, many
in other versions than ours.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Failed, Server, command, free_port

PROGRAM = Path(__file__).parents[2] / ".venv-litellm/bin/litellm"
#: Seconds that it gets to start.
_PATIENCE = 120.0


@contextlib.contextmanager
def litellm(upstream_port: int, folder: Path) -> Iterator[Server]:
    """Run it before an upstream, one worker, logging nothing. Raises
    :class:`~bench.processes.Failed` where it is not installed."""
    if not PROGRAM.exists():
        raise Failed("LiteLLM is not installed (make litellm)")
    parameters = {
        "model": "openai/scripted",
        "api_base": f"http://127.0.0.1:{upstream_port}/v1",
        "api_key": "none",
    }
    config = {
        "model_list": [{"model_name": "scripted", "litellm_params": parameters}],
        # Nobody but the load generator can reach it.
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        "litellm_settings": {"telemetry": False, "request_timeout": 3600},
    }
    file = folder / "litellm.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(config))
    port = free_port()
    arguments = [
        str(PROGRAM), "--config", str(file), "--host", "127.0.0.1", "--port", str(port),
        "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    with command(arguments, port, patience=_PATIENCE) as server:
        _wake(port)
        yield server


def _wake(port: int) -> None:
    """Ask once: with its first answer it loads what takes it seconds."""
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "go"}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        connection.getresponse().read(1)
    except OSError as error:
        raise Failed(f"LiteLLM does not answer: {error}") from None
    finally:
        connection.close()

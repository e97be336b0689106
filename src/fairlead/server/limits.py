"""The engine's limits, as the configuration has them."""

from __future__ import annotations

from fairlead.engine.limits import Limits
from fairlead.policy.admission import Room
from fairlead.policy.attachments import AttachmentLimits
from fairlead.server.config import Config


def limits_of(config: Config) -> Limits:
    """The limits of a configuration."""
    return Limits(
        room=Room(
            running=config.max_generations,
            running_each=config.max_generations_each,
            waiting=config.queue,
            waiting_each=config.queue_each,
        ),
        patience=config.queue_wait,
        readers=config.max_readers,
        readers_each=config.max_readers_each,
        prompt_chars=config.max_prompt_chars,
        event_bytes=config.max_event_bytes,
        deadline=config.deadline,
        orphan_window=config.orphan_window,
        attachments=AttachmentLimits(
            types=config.attachment_types,
            number=config.max_attachments,
            bytes=config.max_attachment_bytes,
            total=config.max_attached_bytes,
        ),
    )

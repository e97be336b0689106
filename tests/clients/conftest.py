"""The fixtures of the acceptance tests serve here as well."""

from tests.acceptance.conftest import serve, session, upstream

__all__ = ["serve", "session", "upstream"]

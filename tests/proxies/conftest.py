"""The fixtures of the articles' samples serve here as well."""

from tests.articles.conftest import connect, http, serve, upstream

__all__ = ["connect", "http", "serve", "upstream"]

"""Searches the web before each answer, by a search service over HTTP.

[[plugins]]
use = "./web_search.py:WebSearch"
options = { url = "http://127.0.0.1:9001/search" }

The service is asked GET url?q=…&count=…, with the key of the variable SEARCH_KEY if it is set, and
answers {"results": [{"url", "title", "text"}]}.
"""

import os

import aiohttp

from fairlead.plugins import Knowledge, Passage


class WebSearch(Knowledge):
    timeout = 5.0

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> None:
        key = os.environ.get("SEARCH_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = aiohttp.ClientSession(headers=headers, raise_for_status=True)

    async def close(self) -> None:
        await self.http.close()

    async def retrieve(self, question: str, limit: int) -> list[Passage]:
        query = {"q": question, "count": limit}
        async with self.http.get(self.url, params=query) as response:
            found = (await response.json())["results"]
        return [Passage(text=one["text"], title=one["title"], address=one["url"]) for one in found]

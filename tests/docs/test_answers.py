"""The built-in documentation answers what its readers ask of a fresh server."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from fairlead.knowledge.builtin import refresh_builtin
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.language.markdown import prose
from fairlead.language.words import is_chinese
from fairlead.ports.knowledge import Passage
from fairlead.providers.quoting import answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: A question, the document that must be cited first, and what its answer must say.
QUESTIONS = [
    ("What is Fairlead?", "what-is-fairlead", "streaming server and gateway"),
    ("How do I resume a stream?", "how-to/resume-a-stream", "sending back the last event id"),
    ("How can I stop an answer?", "how-to/stop-an-answer", "`POST /streams/{stream}/stop`"),
    ("Does closing the tab stop the answer?", "how-to/stop-an-answer", "does not stop"),
    ("How do I add my own documents?", "how-to/documents", "`fairlead ingest PATH`"),
    ("How do I set API keys?", "how-to/api-keys", "FAIRLEAD_API_KEYS"),
    ("How do I allow CORS?", "how-to/cors", "cors_origins"),
    ("What happens on SIGTERM?", "how-to/deploy", "three phases"),
    ("How do I deploy with systemd?", "how-to/deploy", "ExecStart="),
    ("Can I run two servers?", "how-to/deploy", "share one data folder"),
    ("How do I configure nginx?", "how-to/nginx", "nginx"),
    ("How do I back up the data?", "how-to/deploy", "journal.db"),
    ("Which durability should I choose?", "how-to/deploy", "a power cut"),
    ("How do I continue a conversation?", "how-to/conversations", "`conversation_id`"),
    ("How do I use an idempotency key?", "how-to/idempotency", "the same key finds"),
    ("How do I test my app?", "how-to/test-your-app", "`fairlead.testing`"),
    ("What is group commit?", "explanation/how-it-works", "one write to the disk"),
    ("Does it support WebSocket?", "what-is-fairlead", "WebSocket, HTTP long polling"),
    ("Should I choose SSE or WebSocket?", "choosing", "Choose SSE unless"),
    ("什么是 Fairlead？", "what-is-fairlead", "流式服务器和网关"),
    ("如何续传一个流？", "zh/resume-a-stream", "最后一个事件 id"),
    ("如何恢复一个流？", "zh/resume-a-stream", "最后一个事件 id"),
    ("怎么恢复中断的流？", "zh/resume-a-stream", "`Last-Event-ID`"),
    ("断线后如何续传？", "zh/resume-a-stream", "`Last-Event-ID`"),
    ("怎么停止回答？", "zh/stop-an-answer", "`POST /streams/{stream}/stop`"),
    ("关闭页面会停止回答吗？", "zh/stop-an-answer", "不会停止回答"),
    ("如何接入 DeepSeek？", "zh/upstreams", "`FAIRLEAD_UPSTREAM_KEY`"),
    ("怎么使用本地模型？", "zh/upstreams", "Ollama"),
    ("如何添加文档？", "zh/documents", "`fairlead ingest PATH`"),
    ("数据会离开我的机器吗？", "zh/documents", "不会离开"),
    ("怎么设置 API 密钥？", "zh/deploy", "`FAIRLEAD_API_KEYS`"),
    ("支持哪些协议？", "zh/what-is-fairlead", "SSE"),
    ("怎么配置 nginx？", "zh/deploy", "`proxy_buffering off`"),
    ("能不能多轮对话？", "zh/ask", "`conversation_id`"),
    ("如何在浏览器里使用？", "zh/ask", "`EventSource`"),
    ("出错了怎么办？", "zh/ask", "`retryable`"),
    ("怎么备份数据？", "zh/deploy", "`journal.db`"),
    ("如何部署？", "zh/deploy", "数据目录"),
    ("How do I add a model?", "how-to/upstreams", "--upstream https://api.deepseek.com/v1 --model"),
    ("How do I use Ollama?", "how-to/upstreams", "--upstream http://127.0.0.1:11434/v1"),
    ("怎样添加模型？", "zh", "`--model` 指定模型名"),
    ("What is a position?", "explanation/how-it-works", "the place where a reader stands"),
    ("What is an epoch?", "", "An epoch is a writer's term."),
    ("What is coming?", "README.md", "What is coming, and does not work yet:"),
    ("How do I put nginx in front?", "how-to/nginx", "`deploy/nginx.conf`"),
    ("how do I delete a conversation?", "how-to/conversations", "`DELETE /conversations/{id}`"),
    ("Can two servers share the same files?", "how-to/deploy", "share one data folder"),
    ("What happens to an answer when the connection breaks?", "", "every connection breaks, no"),
    ("How do I change the port?", "reference/configuration", "`--port`"),
    ("Which port does it listen on?", "", "`FAIRLEAD_PORT`; default: `8000`"),
    ("How do I install it?", "what-is-fairlead", "`make serve`"),
    ("如何安装？", "zh/what-is-fairlead", "`make serve`"),
    ("Is it open source?", "what-is-fairlead", "Apache-2.0"),
    ("Where are conversations stored?", "explanation/how-it-works", "`records.db`"),
    ("Can I use it with LangChain?", "how-to/openai", "works with it unchanged"),
    ("Can I use it from React?", "how-to/typescript", "`@fairlead/client/react`"),
]

#: The documentation holds no answer to these.
UNANSWERABLE = [
    "What is the price of tea?",
    "What is the weather like in Paris today?",
    "Who is the CEO of OpenAI?",
    "今天天气怎么样？",
    "茶多少钱一斤？",
    "推荐一部电影",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def knowledge(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[SqliteKnowledge]:
    folder: Path = tmp_path_factory.mktemp("knowledge")
    made = SqliteKnowledge(folder / "knowledge.db")
    await made.open()
    await refresh_builtin(made)
    yield made
    await made.close()


@pytest.mark.parametrize(("question", "document", "says"), QUESTIONS, ids=lambda v: v[:40])
async def test_documentation_answers(
    knowledge: SqliteKnowledge, question: str, document: str, says: str
) -> None:
    passages = await knowledge.retrieve(question, 5)
    assert passages, "nothing was found"
    said = answer(question, passages)
    addresses = [passage.address for passage in passages]
    first = re.search(r"\[([1-5])\]", said)
    assert first is not None, said
    assert document in addresses[int(first[1]) - 1], f"{addresses}\n{said}"
    assert says in said, said
    assert "](" not in said
    assert {is_chinese(prose(p.text)) for n, p in cited_of(said, passages)} == {
        is_chinese(question)
    }, said


def cited_of(said: str, passages: list[Passage]) -> list[tuple[int, Passage]]:
    return [(n, p) for n, p in enumerate(passages, start=1) if f"[{n}]" in said]


@pytest.mark.parametrize("question", UNANSWERABLE)
async def test_documentation_does_not_answer(knowledge: SqliteKnowledge, question: str) -> None:
    assert await knowledge.retrieve(question, 5) == []
    assert await knowledge.retrieve(question, 5, "How do I resume a stream?") == []


async def test_follow_up_is_read_with_the_question_before(knowledge: SqliteKnowledge) -> None:
    assert await knowledge.retrieve("Why?") == []
    passages = await knowledge.retrieve("Why?", before="What happens on SIGTERM?")
    assert "SIGTERM" in passages[0].text
    leaning = await knowledge.retrieve("And with curl?", before="How do I resume a stream?")
    assert leaning[0].heading == "With curl"


async def test_snippets_are_what_readers_see(knowledge: SqliteKnowledge) -> None:
    for question, _, _ in QUESTIONS:
        for passage in await knowledge.retrieve(question, 5):
            assert "```" not in passage.snippet
            assert not re.search(
                r"\b(?:sh|js|python|text) (?:run|shown|output|serve)\b", passage.snippet
            )

"""Words of a question that say nothing about what is asked for."""

from __future__ import annotations

import re

_ENGLISH = """
a about after again all also am an and any anyone anything are as at be been before being both
but by can cannot could d describe did do does doing don each else ever every explain few for
from get gets getting give gives go goes got had happen happened happening happens has have
having he hello her here hers hi him his how i if in into is it its itself just know let ll m
made make makes many may me mean means might more most much must my need needs no not of off
on once one only or other our ours out over own please possible re s same shall she should
show so some someone something such t tell than thank thanks that the their them then there
these they thing things this those through to too under until up us use used uses using ve
very want wants was way ways we were what whats when where whether which while who whom whose
why will with within without would you your yours
"""

ENGLISH = frozenset(_ENGLISH.split())

#: Removed from a question wherever they stand; the longest that fits is taken first.
_CHINESE_WORDS = """
请问 请你 请 我想知道 我想 我要 想要 想知道 怎么样 怎么办 怎么 怎样 怎 如何 什么样 什么时候
为什么 是什么 什么 为何 是否 能否 可否 可不可以 可以 能不能 有没有 是不是 会不会 要不要 哪些
哪个 哪里 哪儿 哪种 哪一 哪 多少 几个 多久 多长 多大 吗 呢 吧 啊 呀 嘛 的话 的时候 时候
的 了 是 我们 你们 他们 它们 我 你 您 他 她 它 这个 那个 这些 那些 这里 那里 这样 那样 这 那
一个 一下 一些 一种 介绍 解释 说明 告诉 关于 以及 并且 或者 还是 应该 需要 应当 必须
如果 那么 因为 所以 但是 而且 对于 谢谢 你好 您好 有什么 会怎样 谁 么
"""

#: Words that contain one of the above and mean something all the same.
_KEPT_WORDS = """
目的 的确 了解 了结 为了 是非 自我 其他 其它 说明书 说明文档 需要量 请求 申请 邀请 请假
"""

#: Characters that are often between two words and seldom one: they help to find, but an answer
#: may lack them.
LIGHT = frozenset(
    "在和与或会能要有对从到把被让给就都也还时个一不后中上下很再又由于及等为以用做将并向所其之"
)

_KEPT = frozenset(_KEPT_WORDS.split())
_CHINESE = re.compile(
    "|".join(sorted({*_CHINESE_WORDS.split(), *_KEPT}, key=lambda word: (-len(word), word)))
)


def chinese_spans(text: str) -> list[tuple[int, int]]:
    """Where the Chinese stop words of ``text`` stand."""
    return [match.span() for match in _CHINESE.finditer(text) if match[0] not in _KEPT]

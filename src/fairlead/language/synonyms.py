"""Words that askers use for one another. Few and plain: each is found a little less than itself."""

from __future__ import annotations

from fairlead.language.words import fold, term

_ENGLISH = """
delete remove erase
add connect
stop cancel
change modify
break broken disconnect
fast speed performance
folder directory
licence license
machine computer
start launch
store kept save
"""

#: Of two characters each, as terms are.
_CHINESE = """
删除 移除 清除
添加 接入 增加 新增
修改 更改 更换
停止 中止 取消 终止
断线 断开 掉线 断网
对话 会话
设置 配置
恢复 还原 续传
机器 电脑
速度 性能
"""


def _groups(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.split("\n"):
        group = [fold(word) if not word.isascii() else term(word) for word in line.split()]
        found.update({each: tuple(o for o in group if o != each) for each in group})
    return found


_SYNONYMS = _groups(_ENGLISH + _CHINESE)


def synonyms(term: str) -> tuple[str, ...]:
    """The terms that are asked for by another word than ``term``."""
    return _SYNONYMS.get(term, ())

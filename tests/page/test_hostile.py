"""Answers that mean harm, or merely are hard to show."""

from __future__ import annotations

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.page.driving import drive

HOSTILE = (
    """<script>window.hacked = 1</script>
<img src="http://127.0.0.1:9/x" onerror="window.hacked = 2"> <svg onload="window.hacked = 3">

![picture](http://127.0.0.1:9/tracker.png) [click](javascript:window.hacked=4)
![vector](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+)
[data](data:text/html,<script>window.hacked=5</script>) [v](vbscript:x) [j](JaVaScRiPt:alert(1))
[tab](java&#9;script:alert(1)) <javascript:alert(1)> [ok](https://example.org/a?b=1)
[file](file:///etc/passwd) [blob](blob:x) [relative](../../logout)

[quote](https://example.org/"onmouseover="window.hacked=6) [1] [99]

```html"><script>window.hacked = 7</script>
</code></pre><script>window.hacked = 8</script>
```

| a | <b onclick=x>b</b> |
|:-:"style="x|---|
|---|:-:|
| <iframe src="javascript:window.hacked=9"> | </table> |

<style>body { display: none }</style>
<form action="https://example.org"><input name=password></form>

"""
    + ">" * 300
    + " deep "
    + "*_`[" * 200
    + "\n\n"
    + "- " * 200
    + "nested"
)


async def test_hostile_answers_are_harmless(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text=HOSTILE))
    seen = await drive("hostile.answer", url)
    assert seen["hacked"] is None
    assert seen["handlers"] == []
    assert seen["foreign"] == []
    allowed = {"p", "pre", "code", "a", "br", "blockquote", "em", "strong", "div", "ul", "li"}
    allowed |= {"table", "thead", "tbody", "tr", "th", "td"}
    allowed |= {"figure", "figcaption", "span", "button", "svg", "path"}  # the frame of code
    assert set(seen["elements"]) <= allowed
    assert seen["links"]
    assert all(link.startswith(("http://", "https://")) for link in seen["links"])
    assert "<script>window.hacked = 1</script>" in seen["text"]
    assert "nested" in seen["text"]
    assert seen["overflow"] <= 0


async def test_a_megabyte_on_one_line_is_shown(url: str, upstream: ScriptedUpstream) -> None:
    piece = "*x_[y]`z<b>é🚢" * 40
    tokens = (piece,) * (1_000_000 // len(piece)) + ("END",)
    upstream.script(Answer(tokens=tokens))
    seen = await drive("hostile.legible", url, visit={})
    assert seen["length"] == len("".join(tokens).encode("utf-16-le")) // 2
    assert seen["start"].startswith("*x_[y]`z<b>é🚢")
    assert seen["end"].endswith("END")
    assert seen["overflow"] <= 0


async def test_scripts_of_every_direction_and_joined_characters_stay_whole(
    url: str, upstream: ScriptedUpstream
) -> None:
    family = "👩‍👩‍👧‍👦🏳️‍🌈👍🏽"
    text = f"مرحبا بالعالم 123\n\nEnglish {family} e\u0301\n\nשלום \u202eevil\u202c\n\n{'宽' * 400}"
    upstream.script(Answer(tokens=tuple(text)))
    seen = await drive("hostile.legible", url, visit={"viewport": {"width": 360, "height": 700}})
    assert family in seen["start"]
    assert seen["directions"] == ["rtl", "ltr", "rtl", "ltr"]
    assert seen["overflow"] <= 0


RIGHT_TO_LEFT = """## المنارة

> اقتباس

1. الأولى

   فقرة
2. الثانية

- بند `code`

| السنة | الحدث |
|:--|--:|
| 1887 | البناء |

```python
print("x")
```

English
"""


async def test_what_is_written_from_the_right_stands_at_the_right(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text=RIGHT_TO_LEFT))
    seen = await drive("hostile.sides", url)
    assert seen["directions"] == {
        "h4": "rtl", "blockquote": "rtl", "blockquote p": "rtl", "ol": "rtl", "ol p": "rtl",
        "ul": "rtl", ".table-box": "rtl", "table": "rtl", ".code": "ltr", ".group > p": "ltr",
    }  # fmt: skip
    # The mark of the quotation, and where the table begins.
    assert seen["mark"] == "right"
    assert abs(seen["table"]) < 2

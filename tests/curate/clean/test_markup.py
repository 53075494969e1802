"""HTML of exports becomes markdown; HTML that is spoken of, and what only looks like it, stays."""

import pytest

from understudy.curate.clean.markup import MOST_ITEMS, without_markup

EXPORT = (
    '<div class="markdown prose w-full break-words dark:prose-invert light">'
    "<p>Sure! Here's a <strong>sorting</strong> function with &lt;tags&gt;:</p>"
    '<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center"><span>python</span>'
    '<button class="flex ml-auto"><svg stroke="currentColor" fill="none">'
    '<path d="M16 4h2a2"></path><rect x="8" y="2"></rect></svg>Copy code</button></div>'
    '<div class="p-4 overflow-y-auto"><code class="!whitespace-pre hljs">'
    '<span class="hljs-keyword">def</span> <span class="hljs-title function_">sort</span>'
    '(<span class="hljs-params">xs: '
    '<span class="hljs-type">list</span>[<span>int</span>]</span>):\n'
    '    <span class="hljs-keyword">return</span> sorted(xs)  '
    '<span class="hljs-comment"># a &lt; b</span>\n</code></div></div></pre>'
    "<ol><li><p>First</p><ul><li>inner <code>x_1 * y</code></li><li>two</li></ul></li>"
    '<li><p>Second, see <a href="https://a.org/x_y" target="_new">this</a></p></li></ol>'
    "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>1</td><td>a|b</td></tr>"
    "</tbody></table><p>x<sup>2</sup><br>end</p></div>"
)
MARKDOWN = r"""Sure! Here's a **sorting** function with <tags>:

```python
def sort(xs: list[int]):
    return sorted(xs)  # a < b
```

1. First

   - inner `x_1 * y`
   - two
2. Second, see [this](https://a.org/x_y)

| A | B |
| --- | --- |
| 1 | a\|b |

x<sup>2</sup>
end"""


def answer(question: str, text: str) -> tuple[str, str]:
    return without_markup([question, text])[1]


def test_an_export() -> None:
    assert answer("Sort!", EXPORT) == (MARKDOWN, "markup")


def test_an_export_about_html_is_still_an_export() -> None:
    asked, said = without_markup(["Write a &lt;div&gt; tag in HTML", EXPORT])
    assert asked == ("Write a <div> tag in HTML", "entities")
    assert said == (MARKDOWN, "markup")


def test_language_by_class_longer_fences_and_formulas() -> None:
    code = '<pre><code class="language-md">```\nx\n```\n</code></pre>'
    assert answer("?", code) == ("````md\n```\nx\n```\n````", "markup")
    formula = (
        '<div class="markdown prose"><p>So <span class="katex"><span class="katex-mathml"><math>'
        "<semantics><mrow><mi>x</mi></mrow>"
        '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
        '<span class="katex-html" aria-hidden="true"><span>x2</span></span></span>.</p></div>'
    )
    assert answer("?", formula) == ("So $x^2$.", "markup")


def test_plain_rendered_html() -> None:
    assert answer("?", "<p>A <b>bold</b> word</p>\n<p>two</p>")[0] == "A **bold** word\n\ntwo"
    assert answer("?", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>")[0] == "- a\n- b"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Show a fence", "```html\n<div>a</div>\n```"),
        ("Generics?", "List<int> xs = new List<int>();"),
        ("Generics?", "<T> void f(List<T> xs) {}"),
        ("Make a list in HTML", "<ul>\n<li>a</li>\n</ul>"),
        ("Which tag is bold?", "<p><b>x</b></p>"),
        ("A box", '<div class="container">\n<p>hi</p>\n</div>'),
        ("A box", "<div>\n  <p>hi</p>\n</div>"),
        ("A box", '<div style="color: red"><p>hi</p></div>'),
        ("A form", "<div><form><input></form></div>"),
        ("A page", "<!DOCTYPE html>\n<html><body><p>hi</p></body></html>"),
        ("?", "<p>not closed"),
        ("?", "<p>crossed <b>over</p></b>"),
        ("?", "<p>1 < 2</p>"),
        ("?", "<p>begins so</p> and goes on"),
        ("?", "if a < b and c > d: pass"),
        ("Escape it in HTML", "Write &amp; for an ampersand"),
        ("Escape it", 's.replace("&", "&amp;")'),
        ("Escape it", "In `code &amp; such` it stays"),
        ("?", "fish & chips; AT&T"),
    ],
)
def test_what_stays(question: str, text: str) -> None:
    assert answer(question, text) == (text, "")


def test_entities() -> None:
    assert answer("?", "Tom &amp; Jerry&#39;s &quot;show&quot;") == (
        'Tom & Jerry\'s "show"',
        "entities",
    )


def test_hostile_html_stays_and_costs_little() -> None:
    for text in (
        "<div>" * 30_000 + "</div>" * 30_000,
        "<ol>" + "<li>x</li>" * (MOST_ITEMS + 1) + "</ol>",
        "<p>" + "<b>x</b>" * 30_000 + "</p>",
        "<p>" * 100_000,
        '<p a="' * 50_000,
    ):
        assert answer("?", text) == (text, "")

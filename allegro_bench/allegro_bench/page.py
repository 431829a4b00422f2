"""The report's page: style, tables and cards, without a figure. One file that works offline, on screen and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

STYLE = """
:root { --ink: #1f2933; --dim: #52606d; --line: #d9dee5; --soft: #f5f7fa; --accent: #0b5c92; }
* { box-sizing: border-box; }
html { color-scheme: light; }
body { margin: 0; background: #eef1f5; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 36px 48px; background: #fff; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 4px; padding-top: 14px; border-top: 1px solid var(--line); }
p { margin: 6px 0; max-width: 88ch; }
.dim, figcaption, .note { color: var(--dim); font-size: 13.5px; }
.verdict { margin: 18px 0; padding: 12px 16px; border-left: 6px solid; border-radius: 4px; font-size: 16px; }
.verdict b { display: block; font-size: 13px; letter-spacing: .06em; }
.valid { border-color: #00805d; background: #e8f6f1; } .valid b { color: #00664a; }
.degraded { border-color: #c98a00; background: #fff7e3; } .degraded b { color: #855b00; }
.invalid { border-color: #c2410c; background: #fdece4; } .invalid b { color: #9a330a; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0 4px; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px 12px; background: #fff;
  min-width: 0; overflow-wrap: anywhere; }
.card .name { color: var(--dim); font-size: 13px; }
.card .value { font-size: 24px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .small { color: var(--dim); font-size: 12.5px; line-height: 1.35; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; margin: 10px 0; }
th { text-align: left; color: var(--dim); font-weight: 600; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.r, th.r { text-align: right; }
td.w { max-width: 62ch; }
.facts td { overflow-wrap: anywhere; }
.pill { display: inline-block; white-space: nowrap; padding: 0 9px; border-radius: 10px;
  color: #fff; font-size: 12.5px; }
figure { margin: 8px 0 0; } figcaption { margin: 0 0 6px; max-width: 92ch; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
ul.reasons { list-style: none; margin: 14px 0; padding: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); font-size: 14px; }
ul.reasons li { border-left: 3px solid var(--line); padding-left: 12px; overflow-wrap: anywhere; break-inside: avoid; }
.remedy::before { content: "→ "; color: var(--accent); }
@media screen and (max-width: 640px) {
  main { padding: 18px 14px 32px; } h1 { font-size: 23px; } .cards { grid-template-columns: 1fr 1fr; gap: 8px; }
  .card { padding: 8px 10px 9px; } .card .value { font-size: 20px; }
  .scroll table { min-width: 720px; }
}
@media print {
  @page { size: A4; margin: 14mm 12mm; }
  body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; }
  figure, .cards, .verdict, tr { break-inside: avoid; } h2 { break-after: avoid; margin-top: 22px; }
  .cards { grid-template-columns: repeat(3, 1fr); } .scroll { overflow: visible; }
  table { font-size: 10.5px; } th, td { padding-right: 8px; } .pill { font-size: 10px; padding: 0 6px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

# Charts are drawn for the screen's width; paper is narrower, and the browser does not ask them to follow.
SCRIPT = """
(function () {
  function each(f) { document.querySelectorAll('.js-plotly-plot').forEach(f); }
  window.addEventListener('beforeprint', function () {
    each(function (e) { Plotly.relayout(e, { width: 700, autosize: false }); });
  });
  window.addEventListener('afterprint', function () {
    each(function (e) { Plotly.relayout(e, { width: null, autosize: true }); });
  });
})();
"""


class Html(str):
    """Text that is HTML already and must not be escaped again."""


def text(value: Any) -> str:
    """A value as HTML text; a dash for what is unknown."""
    if isinstance(value, Html):
        return value
    if value is None or value == '':
        return '–'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.4g}'
    return escape(str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; columns whose cells are numbers stand to the right."""
    body = [list(row) for row in rows]
    numeric = [bool(body) and all((isinstance(r[i], (int, float)) and not isinstance(r[i], bool)) or r[i] is None
                                  for r in body) for i in range(len(head))]

    def cell(tag: str, value: Any, i: int) -> str:
        return f'<{tag} class="{"r" if numeric[i] else "w"}">{text(value)}</{tag}>'

    lines = ''.join('<tr>' + ''.join(cell('td', v, i) for i, v in enumerate(row)) + '</tr>' for row in body)
    top = ''.join(cell('th', h, i) for i, h in enumerate(head))
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """A two-column table of names and values."""
    lines = ''.join(f'<tr><th>{escape(name)}</th><td class="w">{text(value)}</td></tr>' for name, value in rows)
    return f'<table class="facts">{lines}</table>'


def card(name: str, value: str, small: str) -> str:
    """One headline number."""
    return (f'<div class="card"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
            f'<div class="small">{escape(small)}</div></div>')


def pill(word: str, colour: str) -> Html:
    """A coloured word."""
    return Html(f'<span class="pill" style="background:{colour}">{escape(word)}</span>')


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f'<h2>{escape(title)}</h2>\n' + '\n'.join(p for p in parts if p)


def paragraph(words: str, kind: str = '') -> str:
    """A paragraph of plain text."""
    return f'<p{f" class={kind}" if kind else ""}>{escape(words)}</p>'


def figure(chart: str, caption: str) -> str:
    """A chart with its caption above, so that the caption is never taken for an axis."""
    return f'<figure><figcaption>{escape(caption)}</figcaption>{chart}</figure>'


def page(title: str, body: str, plotly: str) -> str:
    """The whole document."""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style><script>{plotly}</script></head>
<body><main>
<noscript><p class="note">The charts need JavaScript; all numbers also stand in the tables.</p></noscript>
{body}
</main><script>{SCRIPT}</script></body></html>
"""

"""Pieces that all parts of the page are made of: tables, cards, keys to colours. Every text in them is escaped."""

from collections.abc import Iterable, Sequence

from berth.sim.comparison import Setting
from berth.sim.report import svg
from berth.sim.report.words import NONE


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls where it is too wide; columns in which nothing stands are left out."""
    kept = [i for i in range(len(heads)) if not i or any(row[i] != NONE for row in rows)]
    head = "".join(f"<th>{svg.said(heads[i])}</th>" for i in kept)
    body = "".join(f"<tr>{''.join(f'<td>{svg.said(row[i])}</td>' for i in kept)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def card(heading: str, picture: str, caption: str = "", kind: str = "") -> str:
    """A picture with its heading."""
    told = f"<figcaption>{svg.said(caption)}</figcaption>" if caption else ""
    inner = f'<div class="scroll">{picture}</div>' if kind else picture
    return f'<figure class="{kind}"><h4>{svg.said(heading)}</h4>{inner}{told}</figure>'


def legend(items: Iterable[tuple[str, str]]) -> str:
    """Names by class of colour."""
    told = "".join(f'<li><i class="{kind}"></i>{svg.said(name)}</li>' for kind, name in items)
    return f'<ul class="legend">{told}</ul>'


def cards(heading: str, note: str, found: Sequence[str], key: str = "") -> list[str]:
    """A row of cards under a heading, a sentence and what colours mean; nothing where there is no card."""
    if not found:
        return []
    said = f'<p class="soft">{svg.said(note)}</p>' if note else ""
    return [f"<h3>{svg.said(heading)}</h3>", said, key, f'<div class="cards">{"".join(found)}</div>']


def chosen_policies(setting: Setting) -> list[str]:
    """Those of which the course over time is drawn: the baseline, Berth's own or the first other, one more."""
    policies = [standing.policy for standing in setting.standings]
    return list(dict.fromkeys([setting.baseline, *(p for p in policies if p == "berth"), *policies]))[:3]

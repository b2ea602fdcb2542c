"""The page's style sheet: `style.css`, with the colours of curves for light and dark, and those of widths.

Colours of curves are Okabe's and Ito's, which people who see few colours can tell apart, lightened for the dark.
"""

from importlib import resources

_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c8c00", "#5a5a5a", "#a0522d")
_DARK = ("#4aa8e0", "#f08243", "#2fc79b", "#e29cc4", "#f2b430", "#8fd0f5", "#b08ad0", "#c8c84a", "#a5a5a5", "#d08a60")
COLOURS = len(_LIGHT)

_WIDTHS = ("1", "4", "2", "0", "5")
"""Colours by number of the narrowest level that holds a gang, the whole pool first; deeper ones take the last."""


def style(levels: int) -> str:
    """The sheet, for pools with so many levels at most, the pool and the node among them."""
    sheet = resources.files("berth.sim.report").joinpath("style.css").read_text(encoding="utf-8")
    for word, colours in (("/* LIGHT */", _LIGHT), ("/* DARK */", _DARK)):
        assert word in sheet, f"style.css: no {word}"
        sheet = sheet.replace(word, " ".join(f"--c{i}: {colour};" for i, colour in enumerate(colours)))
    rules = [
        f"svg .f{i}{{fill:var(--c{i})}}svg .l{i}{{stroke:var(--c{i})}}i.f{i}{{background:var(--c{i})}}"
        for i in range(COLOURS)
    ]
    for level in range(levels):
        colour = f"var(--c{_WIDTHS[min(level, len(_WIDTHS) - 1)]})"
        mixed = f"color-mix(in srgb,{colour} 72%,var(--ground))"
        rules.append(f"svg .w{level}{{fill:{colour}}}svg .w{level}.s1{{fill:{mixed}}}i.w{level}{{background:{colour}}}")
    return sheet.strip() + "\n" + "\n".join(rules)

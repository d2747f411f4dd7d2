"""Writes the figures into a Markdown page, and a plot for each path beside it."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from measure import Comparison

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_report(page: Path, found: Sequence[Comparison], machine: str, command: str) -> None:
    """Insert the table between the two markers of the page, and draw the plots."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = [filled(f"Made by `{command}` on two cores. {machine}."), "", markdown(found)]
    for path, comparisons in by_path(found).items():
        picture = page.parent / "performance" / f"{slug(path)}.svg"
        picture.parent.mkdir(exist_ok=True)
        draw(picture, path, comparisons)
        lines += ["", filled(f"![{path}](performance/{picture.name})")]
    page.write_text("\n".join([f"{head}{BEGIN}", "", *lines, "", f"{END}{tail}"]), encoding="utf-8")


def filled(text: str) -> str:
    """Return the text in lines of at most 120 characters, as far as it has spaces to break at."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def markdown(found: Sequence[Comparison]) -> str:
    rows = [
        f"| {each.path} | {shown(each.figures['ours'], each.unit)} | {shown(each.figures['floor'], each.unit)} | "
        f"{each.ratio:.2f} | {goal(each)} | {verdict(each)} | {'; '.join([*others(each), *each.notes])} |"
        for each in found
    ]
    return "\n".join(
        [
            "| path | ours | floor or peer | ratio | goal | | more |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def by_path(found: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """Group the comparisons of a path on several databases."""
    grouped: dict[str, list[Comparison]] = {}
    for each in found:
        grouped.setdefault(re.sub(r", (sqlite|postgresql)\b", "", each.path), []).append(each)
    return grouped


def draw(picture: Path, path: str, comparisons: Sequence[Comparison]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only for reports

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "telemetry"  # the same figures make the same file
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after selecting the backend

    bars = [(f"{name}{database(each)}", value) for each in comparisons for name, value in each.figures.items()]
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(bars) + 1), layout="constrained")
    drawn = axes.barh(
        [name for name, _ in bars],
        [value for _, value in bars],
        color=["#2f6f9f" if name.startswith("ours") else "#b8b8b8" for name, _ in bars],
    )
    unit = comparisons[0].unit
    axes.bar_label(drawn, [shown(value, unit) for _, value in bars], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_title(f"{path} ({'higher' if comparisons[0].higher_is_better else 'lower'} is better)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)


def database(each: Comparison) -> str:
    found = re.search(r", (sqlite|postgresql)\b", each.path)
    return f", {found[1]}" if found else ""


def slug(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")


def others(each: Comparison) -> list[str]:
    return [
        f"{name} {shown(value, each.unit)}" for name, value in each.figures.items() if name not in ("ours", "floor")
    ]


def goal(each: Comparison) -> str:
    return "" if each.goal is None else f"{'≥' if each.higher_is_better else '≤'} {each.goal}"


def verdict(each: Comparison) -> str:
    return {True: "met", False: "missed", None: ""}[each.met]


def shown(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.3g} ns"

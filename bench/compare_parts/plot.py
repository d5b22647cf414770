"""Bars of all metrics as one SVG: a panel a metric, a bar an implementation, with its spread."""
import statistics
from xml.sax.saxutils import escape

from .implementations import ALL
from .rows import METRICS

WIDTH, COLUMNS, BAR, LABEL, GAP = 1200, 2, 16, 150, 26
OURS, PEER, REFERENCE = "#2a6f97", "#c77d3a", "#9a9a9a"


def colour(name):
    entry = ALL[name]
    return OURS if entry.ours else PEER if entry.peer else REFERENCE


def text(x, y, content, anchor="start", size=11, weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>'


def panel(results, metric, names, left, top, width):
    what = METRICS[metric]
    out = [text(left, top + 12, f"{what.title}{', ' + what.unit if what.unit else ''}"
                f" ({'more' if what.more else 'less'} is better)", size=12, weight="bold")]
    most = max(max(results.values[name, metric]) for name in names) or 1
    room = width - LABEL - 80
    for row, name in enumerate(names):
        values = results.values[name, metric]
        y = top + 20 + row * (BAR + 3)
        at = [left + LABEL + room * value / most for value in (min(values), statistics.median(values), max(values))]
        out += [text(left + LABEL - 6, y + BAR - 4, name, "end"),
                f'<rect x="{left + LABEL}" y="{y}" width="{max(at[1] - left - LABEL, 0.5):.1f}" height="{BAR}" fill="{colour(name)}"/>',
                f'<path d="M{at[0]:.1f} {y + BAR / 2}H{at[2]:.1f}" stroke="#000" stroke-width="1.5"/>',
                text(max(at[1:]) + 5, y + BAR - 4, f"{statistics.median(values):,.{what.digits}f}")]
    return out


def svg(results, names):
    shown = []
    for metric in METRICS:
        having = [name for name in names if results.values.get((name, metric))]
        if having:
            shown.append((metric, having))
    out, heights = [], [50] * COLUMNS
    width = WIDTH / COLUMNS - 20
    for metric, having in shown:
        column = heights.index(min(heights))
        out += panel(results, metric, having, 10 + column * WIDTH / COLUMNS, heights[column], width)
        heights[column] += 20 + len(having) * (BAR + 3) + GAP
    machine = results.plan["machine"]
    head = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['kernel']}, {machine['date']}, commit {machine['commit']}; " \
           f"medians and spread of {results.rounds_done} rounds"
    height = max(heights)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
                      f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', text(10, 24, head, size=12), *out, "</svg>", ""])

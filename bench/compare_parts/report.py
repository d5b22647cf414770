"""The report of a run: results.json, report.md, plot.svg in its folder. Works on what there is, also after an interruption."""
import json
import os
import statistics

from . import plot, profile, targets
from .implementations import ALL, PEERS
from .results import Results
from .rows import METRICS

REFERENCES = {"best peer": None, "Debian's wireguard-go": "wireguard-go", "newest wireguard-go": "wireguard-go-newest",
              "ceiling": "ceiling", "raw-gre": "raw-gre"}


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(line) + " |" for line in lines), ""]


def heading(results):
    plan, machine = results.plan, results.plan["machine"]
    done = results.rounds_done
    lines = ["# bench/compare", "",
             f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['kernel']}; {machine['date']}; commit {machine['commit']}.",
             f"`{plan['command']}`: {done} of {plan['rounds']} rounds, TCP runs of {plan['seconds']:g} s.",
             "Both ends, both daemons and the load generators share the CPUs. MTU 1420. Medians; (least–most) of the rounds.", ""]
    if plan["left_out"]:
        lines += ["Left out: " + "; ".join(f"{name} ({reason})" for name, reason in plan["left_out"].items()) + ".", ""]
    used = results.features.get("hatsd")
    if used:
        lines += [f"hatsd-user used: {json.dumps(used)}", ""]
    return lines


def verdicts(results):
    lines = []
    for target, ours, whose, theirs, shown, passed in targets.judge(results):
        digits = METRICS[target.metric].digits
        sign = "≤" if target.at_most else "≥"
        lines.append([target.text, f"{sign} {target.goal:g}" + ("x" if target.against else ""), number(shown, 2),
                      number(ours, digits), f"{number(theirs, digits)} ({whose})" if theirs is not None else "",
                      "not measured" if passed is None else "pass" if passed else "**miss**"])
    ratios = list(targets.uring_against_epoll(results))
    if ratios:
        name, metric, least = min(ratios, key=lambda entry: entry[2])
        lines.append(["io_uring against epoll, the worst row", f"≥ {targets.URING_GOAL}x", number(least, 2), "",
                      f"{name}, {METRICS[metric].title}", "pass" if least >= targets.URING_GOAL else "**miss**"])
    return ["## Targets", "", *table(["what", "goal", "got", "ours", "theirs", ""], lines)]


def medians(results, names):
    lines = []
    for metric, what in METRICS.items():
        line = [f"{what.title}{', ' + what.unit if what.unit else ''}"]
        for name in names:
            values = results.values.get((name, metric))
            if not values:
                line.append("")
                continue
            spread = f" ({number(min(values), what.digits)}–{number(max(values), what.digits)})" if len(values) > 1 else ""
            line.append(f"**{number(statistics.median(values), what.digits)}**{spread}")
        if any(line[1:]):
            lines.append(line)
    return table(["", *names], lines)


def ratios(results, name):
    """Of one of ours against the references; above 1 is better, whatever the metric."""
    lines = []
    for metric, what in METRICS.items():
        ours = results.median(name, metric)
        line = [what.title]
        for reference, whose in REFERENCES.items():
            theirs = results.best(PEERS, metric, what.more)[1] if whose is None else results.median(whose, metric)
            line.append(f"{ours / theirs if what.more else theirs / ours:.2f}x" if ours and theirs else "")
        twin = results.median(f"{name}-epoll", metric)
        line.append(f"{ours / twin if what.more else twin / ours:.2f}x" if ours and twin else "")
        if any(line[1:]):
            lines.append(line)
    return ["", f"### {ALL[name].about}, against", "", *table(["above 1: better", *REFERENCES, "its epoll"], lines)] if lines else []


def failures(results):
    lines = [f"- {name}, {row}: {len(reasons)} times: {reasons[-1]}" for (name, row), reasons in sorted(results.failures.items())]
    return ["## Failed", "", *lines, ""] if lines else []


def make(folder):
    """Writes the report; returns what to print."""
    results = Results(folder)
    names = [name for name in ALL if any(key[0] == name for key in results.values)]
    wireguard = [name for name in names if ALL[name].kind in ("wireguard", "none") or name == "ceiling"]
    others = [name for name in names if name not in wireguard]
    lines = heading(results) + verdicts(results)
    for title, chosen in (("WireGuard, its peers, the ceiling and no tunnel", wireguard), ("GRE and SIT", others)):
        if chosen:
            lines += [f"## {title}", "", *medians(results, chosen),
                      *(f"- {name}: {ALL[name].about}" for name in chosen), ""]
    for name in ("hatsd", "hatsd-realtime", "gre", "sit"):
        lines += ratios(results, name)
    lines += failures(results)
    with open(os.path.join(folder, "report.md"), "w") as file:
        file.write("\n".join(lines))
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump({"plan": {key: value for key, value in results.plan.items() if key not in ("out", "pace", "impls")},
                   "implementations": {name: ALL[name].about for name in names}, "rounds_done": results.rounds_done,
                   "features": results.features,
                   "values": {name: {metric: [round(value, 4) for value in results.values[name, metric]] for metric in METRICS
                                     if (name, metric) in results.values} for name in names},
                   "failures": {f"{name} {row}": reasons for (name, row), reasons in results.failures.items()}}, file, indent=1)
    with open(os.path.join(folder, "plot.svg"), "w") as file:
        file.write(plot.svg(results, names))
    profile.make(results, folder, heading(results))
    told = [line for line in verdicts(results) if "not measured" not in line]
    return "\n".join([*heading(results), *told, *failures(results),
                      f"{folder}: " + ", ".join(name for name in ("report.md", "results.json", "plot.svg", "profile.md")
                                                  if os.path.exists(os.path.join(folder, name)))])

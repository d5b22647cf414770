"""Where the time goes during a row: `perf` samples of the whole machine, put together by program and by part."""
import collections
import glob
import os
import signal
import subprocess

import harness

from . import measure
from .implementations import ALL
from .rows import METRICS, ROWS

RATE = 1999              # samples a second and CPU
SYMBOLS = 16             # named a row, the most expensive ones
IDLE = "swapper"
AEAD = ("libIPSec_MB", "libsodium")


class Profile:
    """Samples all CPUs while it is open, into a file of perf's."""

    def __init__(self, path):
        harness.need("perf")
        self.path = path

    def __enter__(self):
        self.process = subprocess.Popen(["perf", "record", "-q", "-a", "-e", "cpu-clock", "-F", str(RATE), "-o", self.path],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        measure.wait_until(lambda: os.path.exists(self.path), 5, what="perf record")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def samples(path):
    """[(share of all samples in percent, program, object, symbol)]"""
    done = subprocess.run(["perf", "report", "-i", path, "--stdio", "-q", "--no-children", "-F", "overhead,comm,dso,sym",
                           "-t", ";"], capture_output=True, text=True)
    out = []
    for line in done.stdout.splitlines():
        fields = [field.strip() for field in line.split(";", 3)]
        if len(fields) == 4 and fields[0].endswith("%"):
            out.append((float(fields[0][:-1]), *fields[1:]))
    return out


def part_of(program, dso, symbol):
    if symbol.startswith("[k]"):
        return "kernel"
    return "AEAD" if dso.startswith(AEAD) else "its own code" if dso == program else "other libraries"


def section(title, daemon, found):
    """Lines on one implementation in one row. `daemon`: the program's name; `found`: samples()."""
    busy = sum(share for share, program, *_ in found if program != IDLE)
    by_program, by_part, by_symbol = collections.Counter(), collections.Counter(), collections.Counter()
    for share, program, dso, symbol in found:
        by_program["idle" if program == IDLE else program] += share
        if program == daemon:
            part = part_of(program, dso, symbol)
            by_part[part] += share
            by_symbol[part, symbol[4:]] += share
    daemons = sum(by_part.values())
    lines = [f"## {title}", "",
             "Of both CPUs: " + ", ".join(f"{program} {share:.0f} %" for program, share in by_program.most_common(6)) + ".", ""]
    if not daemons:
        return lines
    lines += [f"Of both daemons ({daemons / busy:.0%} of what was busy): " +
              ", ".join(f"{part} {share / daemons:.0%}" for part, share in by_part.most_common()) + ".", "",
              "| of the daemons | part | symbol |", "|---|---|---|"]
    lines += [f"| {share / daemons:.1%} | {part} | `{symbol[:90]}` |" for (part, symbol), share in by_symbol.most_common(SYMBOLS)]
    return [*lines, ""]


def title(results, name, row):
    told = [f"{METRICS[metric].title} {results.median(name, metric):,.{METRICS[metric].digits}f} {METRICS[metric].unit}"
            for metric in results.metrics_of.get(row, []) if results.median(name, metric) is not None]
    return f"{name}, {row}: " + ("; ".join(told) or "failed")


def make(results, folder, heading):
    """Writes profile.md of what the last round's samples show, and takes perf's files away."""
    files = glob.glob(os.path.join(folder, "*.perf"))
    if not files:
        return
    lines = [*heading, "# Where the time goes", "",
             f"Samples of all CPUs (`perf record -a -e cpu-clock -F {RATE}`) while a row was measured, which costs some of its rate.",
             ""]
    for name in ALL:
        for row in ROWS:
            path = os.path.join(folder, f"{name}.{row}.perf")
            if os.path.exists(path):
                daemon = os.path.basename((results.plan["impls"][name]["words"] or [""])[0])
                lines += section(title(results, name, row), daemon, samples(path))
    with open(os.path.join(folder, "profile.md"), "w") as file:
        file.write("\n".join(lines))
    for path in files:
        os.remove(path)

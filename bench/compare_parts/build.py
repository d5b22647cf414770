"""Finds or builds everything that takes part, and writes down what a run is: the plan, a JSON file in the output folder."""
import json
import os
import shutil
import subprocess
import sys
import time

import harness
import peers

from . import ROOT, implementations

YARDSTICKS = os.path.join(os.path.dirname(ROOT), "shared", "yardstick")
YARDSTICK_FLAGS = {"relay": ["-lIPSec_MB", "-lsodium"], "raw-gre": []}


def say(text):
    print(text, file=sys.stderr, flush=True)


def ours(folder):
    """The paths of hatsd-user and pace in a CMake folder, built there if they are missing. HATSD names another daemon."""
    folder = os.path.join(ROOT, folder)
    daemon, pace = os.path.join(folder, "hatsd-user"), os.path.join(folder, "bench", "pace")
    if not (os.path.exists(daemon) and os.path.exists(pace)):
        say(f"building hatsd-user and pace in {folder}")
        subprocess.run(["cmake", "-G", "Ninja", "-B", folder, "-S", ROOT, "-DHATSD_BENCH=ON",
                        "-DCMAKE_BUILD_TYPE=Release"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", folder, "hatsd-user", "pace"], check=True, stdout=subprocess.DEVNULL)
    return os.path.abspath(os.environ.get("HATSD", daemon)), pace


def other_build():
    if not os.environ.get(implementations.OTHER):
        harness.skip(f"{implementations.OTHER} names no other build of hatsd-user")
    return os.path.abspath(os.environ[implementations.OTHER])


def yardstick(name):
    source = os.path.join(YARDSTICKS, f"{name}.cpp")
    if not os.path.exists(source):
        harness.skip(f"{source} is not there")
    made = os.path.join(peers.peers_dir("yardstick"), name)
    if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(made), exist_ok=True)
        built = subprocess.run(["g++", "-O3", "-march=native", source, "-o", made, *YARDSTICK_FLAGS[name]],
                               capture_output=True, text=True)
        if built.returncode != 0:
            harness.skip(f"{source} does not compile: {built.stderr.strip().splitlines()[0]}")
    return made


def peer(name, fetch):
    if fetch and name in peers.NEWEST:
        say(f"looking for {name} (built once, by {peers.NEWEST[name][0]})")
        peers.fetch(name)
    return peers.program(name)


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + (" with local changes" if git("status", "--porcelain", "-uno") else "")


def machine():
    with open("/proc/cpuinfo") as text:
        models = [line.split(":", 1)[1].strip() for line in text if line.startswith("model name")]
    return {"cpu": models[0] if models else os.uname().machine, "cpus": os.cpu_count(),
            "kernel": f"{os.uname().sysname} {os.uname().release}", "date": time.strftime("%Y-%m-%d %H:%M %Z"),
            "commit": commit()}


def prepare(options):
    for program in ("ip", "iperf3", "wg", "ethtool", *(["perf"] if options.profile else [])):
        if shutil.which(program) is None:
            sys.exit(f"compare: {program} is not installed")
    daemon, pace = ours(options.build)
    takes_part, left_out = {}, {}
    for name in options.impls:
        entry = implementations.ALL[name]
        try:
            words, env = [], {}
            if entry.yardstick:
                words = [yardstick(entry.yardstick)]
            elif entry.peer:
                words, env = peer(entry.peer, not options.no_fetch)
            elif entry.ours:
                words = [other_build() if entry.other else daemon]
                if entry.needs_option and entry.needs_option not in harness.command([daemon, "up", "--help"]).stdout:
                    harness.skip(f"this hatsd-user has no {entry.needs_option}")
            takes_part[name] = {"words": words, "env": env}
        except harness.Skip as reason:
            left_out[name] = str(reason)
            say(f"{name} is left out: {reason}")
    out = os.path.abspath(options.out or os.path.join(ROOT, "build", "compare", time.strftime("%Y%m%d-%H%M%S")))
    os.makedirs(out, exist_ok=True)
    plan = {"out": out, "pace": pace, "rounds": options.rounds, "seconds": options.seconds, "quick": options.quick,
            "profile": options.profile,
            "rows": options.rows, "impls": takes_part, "left_out": left_out, "machine": machine(),
            "command": "bench/compare " + " ".join(sys.argv[1:])}
    with open(os.path.join(out, "plan.json"), "w") as file:
        json.dump(plan, file, indent=1)
    return plan

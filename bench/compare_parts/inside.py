"""The run itself, in mount, PID and network namespaces of its own: they end, with all processes in them, when it ends."""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import harness

from . import implementations, measure, profile, rows


class Arena:
    """Two hosts joined by a link; near sends, far receives. Addresses of near: 10.9.0.3 floods, 10.9.4.0/22 are those
    of peers that come and go."""

    def __init__(self):
        self.near, self.far = harness.Host("near"), harness.Host("far")
        self.keys = (harness.Keys(), harness.Keys())
        harness.command("ip link add eth0 netns near type veth peer name eth0 netns far")
        for host, addresses in ((self.near, ("10.9.0.1/24", "10.9.0.3/24")), (self.far, ("10.9.0.2/24",))):
            for address in addresses:
                host.run(f"ip address add {address} dev eth0")
            host.run("ip link set eth0 up")
        self.near.run("ip route add local 10.9.4.0/22 dev lo")
        self.far.run("ip route add 10.9.4.0/22 via 10.9.0.1")
        self.far.run("ip route add local 10.11.0.0/22 dev lo")
        self.far.run("ip -6 route add local fd11::/112 dev lo")
        self.near.ping("10.9.0.2", 1)

    def path(self, host):
        return f"/run/netns/{host.name}"

    def set_gro(self, on):
        """A link that merges on the way in, as a real card does: what arrives is single packets, and waits a moment."""
        word = "on" if on else "off"
        other = "off" if on else "on"
        self.near.run(f"ethtool -K eth0 tso {other} gso {other}")
        self.far.run(f"ethtool -K eth0 gro {word}")
        for name, value in (("gro_flush_timeout", 200_000), ("napi_defer_hard_irqs", 2)):
            self.far.sh(f"echo {value if on else 0} > /sys/class/net/eth0/{name}")

    def end(self, *processes):
        """Ends programs that were started by host.start(), without a last word."""
        for process in processes:
            process.kill()
            process.wait()
            for host in (self.near, self.far):
                if process in host.daemons:
                    host.daemons.remove(process)


def features_of(running):
    """What our daemon says it uses."""
    shown = running.arena.near.run([*running.started_by["words"], "show", "--json"], check=False).stdout
    try:
        entry = next(one for one in json.loads(shown)["interfaces"] if one["name"] == running.link(running.arena.near))
        return {**entry.get("backends", {}), **entry.get("features", {})}
    except (ValueError, KeyError, StopIteration):
        return None


def measure_one(bench, name, number, write):
    """All rows of one implementation in one round."""
    plan = bench.plan
    entry = implementations.ALL[name]
    wanted = [row for row in rows.ROWS if row in plan["rows"] and row in entry.rows]
    bench.round_values = {}
    try:
        with implementations.Running(name, entry, plan["impls"][name], bench.arena) as running:
            if number == 0 and entry.ours:
                write({"impl": name, "features": features_of(running)})
            for row in wanted:
                begin = measure.now()
                try:
                    with profile.Profile(f"{plan['out']}/{name}.{row}.perf") if plan["profile"] else contextlib.nullcontext():
                        values = rows.ROWS[row](bench, running)
                    bench.round_values.update(values)
                    write({"impl": name, "round": number, "row": row, "values": values, "took": measure.now() - begin})
                except Exception as reason:  # the other rows, and the other implementations, go on
                    write({"impl": name, "round": number, "row": row, "failed": str(reason)[-300:]})
                    if running.pids and not all(map(measure.alive, running.pids)):
                        write({"impl": name, "round": number, "row": row, "failed": "its daemon has died"})
                        return
    except Exception as reason:
        for row in wanted:
            write({"impl": name, "round": number, "row": row, "failed": f"did not start: {str(reason)[-300:]}"})


def run(path):
    """The child's side of isolate()."""
    with open(path) as file:
        plan = json.load(file)
    harness.command("mount --make-rprivate /")
    harness.command("mount -t tmpfs tmpfs /run")
    os.makedirs("/run/netns")
    bench = rows.Bench(Arena(), plan)
    names = list(plan["impls"])
    begin = measure.now()
    with open(os.path.join(plan["out"], "measurements.jsonl"), "w") as file:
        def write(entry):
            file.write(json.dumps(entry) + "\n")
            file.flush()
            if "failed" in entry:
                print(f"  {entry['impl']} {entry['row']}: failed: {entry['failed']}", file=sys.stderr, flush=True)
        try:
            for number in range(plan["rounds"]):
                random.shuffle(names)
                for name in names:
                    print(f"{measure.now() - begin:6.0f} s  round {number + 1} of {plan['rounds']}: {name}", file=sys.stderr,
                          flush=True)
                    measure_one(bench, name, number, write)
                write({"round_done": number})
        except KeyboardInterrupt:
            print("interrupted: the report is of what was measured so far", file=sys.stderr, flush=True)
            return 130
    return 0


def isolate(program, plan):
    """Runs `program --inside` in namespaces of its own; returns its exit code. An interruption ends it, not us."""
    if os.geteuid() != 0:
        sys.exit("compare: this needs root, for network namespaces")
    if not os.path.exists("/dev/net/tun"):
        sys.exit("compare: /dev/net/tun is missing")
    child = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net",
                              sys.executable, "-B", program, "--inside", os.path.join(plan["out"], "plan.json")])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child as well
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    while child.poll() is None:
        time.sleep(0.1)
    return child.returncode

"""The rows: each a function of a running implementation that returns what it measured, {metric: value}."""
import dataclasses
import subprocess

import harness

from . import implementations, measure

FLOOD_RATE = 60_000          # datagrams a second
NEWCOMERS = 5                # new peers during a flood
HANDSHAKE_PEERS = 256
SEARCH = ["--seconds", 0.3, "--trials", 12]
QUICK_SEARCH = ["--seconds", 0.2, "--trials", 9, "--precision", 0.08]
RESPONDER = ["--address", "10.9.0.2", "--port", implementations.PORT]


@dataclasses.dataclass
class Metric:
    title: str
    unit: str
    more: bool = True        # whether more is better
    digits: int = 0


METRICS = {
    "tcp1": Metric("TCP, 1 stream", "Mbit/s"),
    "tcp8": Metric("TCP, 8 streams", "Mbit/s"),
    "both": Metric("TCP, both directions at once, sum", "Mbit/s"),
    "cpu": Metric("CPU of both daemons, TCP 1 stream", "s/GB", more=False, digits=2),
    "udp64": Metric("UDP 64 B, loss under 1 %", "kpps", digits=1),
    "udp1372": Metric("UDP 1,372 B, loss under 1 %", "kpps", digits=1),
    "udp64x1000": Metric("UDP 64 B, 1,000 flows", "kpps", digits=1),
    "udp1372x1000": Metric("UDP 1,372 B, 1,000 flows", "kpps", digits=1),
    "rtt_p50": Metric("RTT p50, idle", "us", more=False),
    "rtt_p99": Metric("RTT p99, idle", "us", more=False),
    "load_p50": Metric("RTT p50, under TCP load", "us", more=False),
    "load_p99": Metric("RTT p99, under TCP load", "us", more=False),
    "handshakes": Metric("handshakes answered", "1/s"),
    "flood_kept": Metric("TCP kept under 60,000 initiations/s", "", digits=2),
    "newcomers": Metric("new peers answered at their first packet meanwhile", "", digits=2),
    "random_kept": Metric("TCP kept under 60,000 random datagrams/s", "", digits=2),
    "start": Metric("start to first packet", "ms", more=False, digits=1),
    "memory": Metric("peak resident set", "MiB", more=False, digits=1),
}


class Bench:
    """What a row may use: the hosts, the plan, and what was found before."""

    def __init__(self, arena, plan):
        self.arena, self.plan = arena, plan
        self.seconds = plan["seconds"]
        self.known_rates = {}    # (implementation, metric): packets a second, of the last round
        self.round_values = {}   # of the implementation at hand in this round

    def pace(self, *words, timeout=60):
        return measure.pace(self.plan["pace"], words, timeout)


def iperf(bench, running, options=()):
    """Mbit/s of all streams and directions, and the bytes."""
    if running.six:
        options = ["-6", *options]
    _, report = harness.iperf(bench.arena.near, bench.arena.far, running.inner, bench.seconds, options)
    sums = [report["end"][name] for name in ("sum_received", "sum_received_bidir_reverse") if name in report["end"]]
    return sum(entry["bits_per_second"] for entry in sums) / 1e6, sum(entry["bytes"] for entry in sums)


def tcp1(bench, running):
    before = measure.cpu_seconds(running.pids)
    rate, size = iperf(bench, running)
    out = {"tcp1": rate}
    if running.pids and size:
        out["cpu"] = (measure.cpu_seconds(running.pids) - before) / (size / 1e9)
    return out


def tcp8(bench, running):
    return {"tcp8": iperf(bench, running, ["-P", "8"])[0]}


def both(bench, running):
    return {"both": iperf(bench, running, ["--bidir"])[0]}


def udp(metric, size, flows):
    def row(bench, running):
        known = bench.known_rates.get((running.name, metric))
        arena = bench.arena
        found = bench.pace("udp", "--from", arena.path(arena.near), "--to", arena.path(arena.far), "--size", size,
                           "--address", running.inner if flows == 1 else running.first_flow, "--flows", flows,
                           "--start", known * 0.95 if known else 60_000, "--growth", 1.15 if known else 1.6,
                           *(QUICK_SEARCH if bench.plan["quick"] else SEARCH))
        if not found["pps"]:
            raise RuntimeError("no rate was found at which less than 1 % is lost")
        bench.known_rates[running.name, metric] = found["pps"]
        return {metric: found["pps"] / 1000}
    return row


def rtt(bench, running):
    found = bench.pace("rtt", "--from", bench.arena.path(bench.arena.near), "--address", running.inner,
                       "--count", 250 if bench.plan["quick"] else 500, "--interval-us", 2000)
    if found["received"] < 0.98 * found["sent"]:
        raise RuntimeError(f"{found['received']} of {found['sent']} echoes came back")
    return {"rtt_p50": found["p50_us"], "rtt_p99": found["p99_us"]}


def rtt_load(bench, running):
    words = ["iperf3", "-c", running.inner, "-t", str(bench.seconds + 2)]
    server = bench.arena.far.start(["iperf3", "-s", "-1"])
    harness.until(lambda: ":5201" in bench.arena.far.out("ss -Hltn"), what="iperf3 server listening")
    client = bench.arena.near.start(words)
    try:
        measure.time.sleep(0.5)
        found = bench.pace("rtt", "--from", bench.arena.path(bench.arena.near), "--address", running.inner,
                           "--count", int(bench.seconds * 500), "--interval-us", 2000)
    finally:
        bench.arena.end(client, server)
    if found["received"] < found["sent"] / 2:
        raise RuntimeError(f"{found['received']} of {found['sent']} echoes came back")
    return {"load_p50": found["p50_us"], "load_p99": found["p99_us"]}


class KnownPeers:
    """Peers that the far end knows for a while, and `pace handshakes` sends as."""

    def __init__(self, bench, running, first, count):
        self.bench, self.link = bench, running.link(bench.arena.far)
        self.first, self.count = first, count
        self.keys = bench.pace("keys", "--first", first, "--peers", count)

    def set(self, lines):
        implementations.uapi(self.link, [line for number, key in enumerate(self.keys, self.first)
                                         for line in (f"public_key={implementations.hexed(key)}", *lines(number))])

    def __enter__(self):
        self.set(lambda number: [f"allowed_ip=10.12.{number >> 8}.{number & 255}/32"])
        return self

    def __exit__(self, *_):
        self.set(lambda number: ["remove=true"])

    def load(self, *words):
        """The peers send from addresses of their own."""
        source = f"10.9.{4 + (self.first >> 8)}.{self.first & 255}"
        return self.bench.pace("handshakes", "--from", self.bench.arena.path(self.bench.arena.near), "--source", source,
                               *RESPONDER, "--key", self.bench.arena.keys[1].public, "--first", self.first,
                               "--peers", self.count, *words)


def handshakes(bench, running):
    with KnownPeers(bench, running, 1, HANDSHAKE_PEERS) as known:
        found = known.load("--seconds", 1, "--most", 2000 if bench.plan["quick"] else 4000, "--window", 8)
    if not found["sessions"]:
        raise RuntimeError(f"none of {found['sent']} initiations was answered, {found['cookies']} cookies")
    return {"handshakes": found["per_second"]}


def under_flood(bench, running, options=(), meanwhile=lambda: None):
    """TCP's rate during a flood of datagrams, as a share of that without."""
    if "tcp1" not in bench.round_values:
        bench.round_values.update(tcp1(bench, running))
    flood = subprocess.Popen([bench.plan["pace"], "flood", "--from", bench.arena.path(bench.arena.near), "--source", "10.9.0.3",
                              *map(str, RESPONDER), "--key", bench.arena.keys[1].public, "--rate", str(FLOOD_RATE),
                              "--seconds", "60", *options], stdout=subprocess.DEVNULL)
    try:
        measure.time.sleep(0.3)
        rate = iperf(bench, running)[0]
        meanwhile()
    finally:
        flood.terminate()
        flood.wait()
    return rate / bench.round_values["tcp1"]


def flood(bench, running):
    met = {}
    with KnownPeers(bench, running, 300, NEWCOMERS) as newcomers:
        def arrive():
            met.update(newcomers.load("--window", 1, "--most", NEWCOMERS, "--timeout", 0.5, "--seconds", 10))
        kept = under_flood(bench, running, meanwhile=arrive)
    return {"flood_kept": kept, "newcomers": met["sessions"] / NEWCOMERS}


def flood_random(bench, running):
    return {"random_kept": under_flood(bench, running, ["--random"])}


ROWS = {
    "start": lambda bench, running: {"start": running.start_ms},
    "tcp1": tcp1, "tcp8": tcp8, "both": both,
    "udp64": udp("udp64", 64, 1), "udp1372": udp("udp1372", 1372, 1),
    "udp64x1000": udp("udp64x1000", 64, 1000), "udp1372x1000": udp("udp1372x1000", 1372, 1000),
    "rtt": rtt, "rtt-load": rtt_load, "handshakes": handshakes, "flood": flood, "flood-random": flood_random,
    "memory": lambda bench, running: {"memory": measure.peak_memory_mib(running.pids)},
}

"""What is aimed at, as rows: a metric of ours against a metric of somebody else, or against a number."""
import dataclasses

from .implementations import PEERS
from .rows import METRICS

BEST_PEER = "best peer"


@dataclasses.dataclass
class Target:
    text: str
    metric: str
    goal: float
    against: str = ""        # an implementation, BEST_PEER, or empty: `goal` is in the metric's unit
    name: str = "hatsd"
    against_metric: str = ""
    at_most: bool = False


def encap(kind, name):
    return [Target(f"{name} TCP, 1 stream, against raw-gre; path without GRO", "tcp1", 1.0, "raw-gre", kind),
            Target(f"{name} TCP, 1 stream, path with GRO, against raw-gre on the path without", "tcp1", 1.35, "raw-gre",
                   f"{kind}-gro"),
            Target(f"{name} UDP 64 B, against raw-gre", "udp64", 1.3, "raw-gre", kind)]


TARGETS = [
    Target("WireGuard TCP, 1 stream, against the newest wireguard-go", "tcp1", 2.3, "wireguard-go-newest"),
    Target("... against Debian's wireguard-go", "tcp1", 9, "wireguard-go"),
    Target("... against the ceiling", "tcp1", 0.85, "ceiling"),
    Target("WireGuard TCP, 8 streams, against the best peer", "tcp8", 2.2, BEST_PEER),
    Target("... both directions at once", "both", 2.2, BEST_PEER),
    Target("UDP 64 B, against the best peer", "udp64", 2.5, BEST_PEER),
    Target("... against veth without a tunnel", "udp64", 0.85, "veth"),
    Target("... 1,000 flows, against the best peer", "udp64x1000", 1.7, BEST_PEER),
    Target("RTT p50 idle, against the best peer", "rtt_p50", 0.8, BEST_PEER, at_most=True),
    Target("RTT p99 under TCP load, against the best peer", "load_p99", 0.35, BEST_PEER, at_most=True),
    Target("... with --realtime", "load_p99", 0.15, BEST_PEER, "hatsd-realtime", at_most=True),
    Target("CPU seconds per GB of both daemons, against the best peer", "cpu", 0.36, BEST_PEER, at_most=True),
    Target("peak resident set under all of it, MiB", "memory", 32, at_most=True),
    *encap("gre", "GRE"), *encap("sit", "SIT"),
    Target("TCP kept under 60,000 initiations/s", "flood_kept", 0.80),
    Target("TCP kept under 60,000 random datagrams/s", "random_kept", 0.85),
    Target("new peers answered at their first packet meanwhile, share", "newcomers", 1.0),
    Target("start to first packet, ms", "start", 50, at_most=True),
]
URING_GOAL = 0.97


def judge(results):
    """(target, our value, theirs or None, ratio or None, passed or None) of each; None: not measured."""
    for target in TARGETS:
        ours = results.median(target.name, target.metric)
        whose, theirs = target.against, None
        if target.against == BEST_PEER:
            whose, theirs = results.best(PEERS, target.metric, METRICS[target.metric].more)
        elif target.against:
            theirs = results.median(target.against, target.metric)
        shown = ours if not target.against else ours / theirs if ours is not None and theirs else None
        passed = None if shown is None else shown <= target.goal if target.at_most else shown >= target.goal
        yield target, ours, whose, theirs, shown, passed


def uring_against_epoll(results):
    """(implementation, metric, ratio) where better is larger, of every row that both have."""
    for name in ("hatsd", "gre", "sit"):
        for metric, what in METRICS.items():
            ours, theirs = results.median(name, metric), results.median(f"{name}-epoll", metric)
            if ours and theirs:
                yield name, metric, ours / theirs if what.more else theirs / ours

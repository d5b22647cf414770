#!/usr/bin/env python3
"""The examples that are installed (tools/packaging/examples), each against the other daemon's with the sides swapped."""
import os
import re

import harness
import routing
from harness import Keys, World, need, until, wg_quick_file
from routing import Bird, Frr

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/packaging/examples")
# yours (side 2) and ours (side 1), where the examples name both or only one of them
SWAPPED = {"65001": "203314", "10.77.0.2": "10.77.0.1", "fd77::2": "fd77::1", "fe80::2": "fe80::1",
           "198.51.100.": "203.0.113.", "2001:db8:100:": "2001:db8:200:", "hats0": "hats1"}
INNER = {"wireguard": ("10.77.0.{}/30", "fd77::{}/64", "fe80::{}/64"), "gre": ("10.77.0.{}/30", "fd77::{}/64"),
         "sit": ("fd77::{}/64",), "ip6gre": ("fd77::{}/64",)}


def example(daemon, kind, swap):
    with open(f"{EXAMPLES}/{daemon}-{kind}.conf") as file:
        text = file.read()
    # for the test's sake: no minute of waiting after a first try that failed
    text = text.replace("  bfd on;\n", "  bfd on; connect delay time 1; connect retry time 2; error wait time 1, 2;\n")
    text = re.sub(r"^ (neighbor \S+) bfd$", r" \1 bfd\n \1 timers connect 2", text, flags=re.M)
    if not swap:
        return text
    pairs = {**SWAPPED, **{there: here for here, there in SWAPPED.items()}}
    return re.sub("|".join(re.escape(word) for word in pairs), lambda found: pairs[found.group(0)], text)


def bring_up(world, hosts, kind):
    keys = {1: Keys(), 2: Keys()}
    for side, host in hosts.items():
        name, other = f"hats{2 - side}", 3 - side
        cidrs = [cidr.format(side) for cidr in INNER[kind]]
        if kind == "wireguard":
            host.hatsd("up", world.file(f"{name}.conf", wg_quick_file(keys[side], ", ".join(cidrs), 51820, keys[other],
                                                                      f"192.0.2.{other}:51820", keepalive=25)))
            continue
        host.hatsd("tunnel", "add", name, "mode", kind, "local", f"192.0.2.{side}", "remote", f"192.0.2.{other}",
                   "ttl", "255")
        for cidr in cidrs:
            host.run(f"ip addr add {cidr} dev {name}")
        host.run(f"ip link set dev {name} up")


def check(kind, daemons):
    with World() as world:
        hosts = {1: world.host("ours"), 2: world.host("yours")}
        world.wire(hosts[1], hosts[2], ["192.0.2.1/24"], ["192.0.2.2/24"])
        bring_up(world, hosts, kind)
        for side, daemon in daemons.items():
            text = example("bird" if daemon is Bird else "frr", kind, swap=side == 1)
            daemon(hosts[side], world, side, [], text=text)
        announced = {1: ["203.0.113.0/24", "2001:db8:200::/48"], 2: ["198.51.100.0/24", "2001:db8:100::/48"]}
        for side in (1, 2):
            for prefix in announced[3 - side]:
                if kind == "sit" and ":" not in prefix:
                    continue
                until(lambda: routing.kernel_routes(hosts[side]).get(prefix) == f"hats{2 - side}", 60,
                      f"{kind}: {prefix} on side {side}")


def test_birds_example_peers_with_frrs_over_every_tunnel():
    need("bird", "vtysh", "/usr/lib/frr/zebra")
    for kind in INNER:
        check(kind, {1: Frr, 2: Bird})


def test_frrs_example_peers_with_birds_over_every_tunnel():
    need("bird", "vtysh", "/usr/lib/frr/zebra")
    for kind in INNER:
        check(kind, {1: Bird, 2: Frr})


harness.main(globals())

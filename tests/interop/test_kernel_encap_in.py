#!/usr/bin/env python3
"""What arrives at hatsd-user's unencrypted tunnels, beside what the Linux kernel makes of the same: outer packets good
and bad, ICMP errors about our own, keepalives."""
import ipaddress
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from fates import Difference, Fate, differing, error_fields, fates, wholes  # noqa: E402
from kernel_encap import LAN, Bench, Tunnel, inner, number_of  # noqa: E402
import harness  # noqa: E402
from harness import World, until  # noqa: E402


# ---- Outer packets ----

def ecn_arrivals(tunnel, wrap):
    """All outer beside all inner ECN fields, with other DSCP inside than outside: [(name, payload, outer fields)]."""
    made = []
    for family in tunnel.families:
        for outer in range(4):
            for marks in range(4):
                field = {"tos" if family == 4 else "tclass": 0x50 | marks}
                packet = inner(tunnel, family, 100 * family + 10 * outer + marks, b"marked", **field)
                made.append((f"IPv{family}, ECN {marks} in {outer}", wrap(packet), {"tos": 0x28 | outer}))
    return made


def version_type(packet):
    return wire.IPV4 if packet[0] >> 4 == 4 else wire.IPV6


class Gre:
    """Makes the GRE header that a tunnel wants, or another one."""

    def __init__(self, key=None, with_checksum=False, sequence=None):
        self.usual = {"key": key, "with_checksum": with_checksum, "sequence": sequence}

    def __call__(self, packet, protocol=None, **other):
        return wire.gre(protocol or version_type(packet), packet, **(self.usual | other))


def gre_arrivals(tunnel, wrap):
    """Headers as they should be and should not: [(name, payload, outer fields)]. The inner packet's number is the
    place in the list."""
    made = []

    def add(name, change=lambda payload: payload, family=4, outer=None, data=b"in GRE", **header):
        made.append((name, change(wrap(inner(tunnel, family, len(made) + 1, data), **header)), outer or {}))

    def damaged(payload):
        return payload[:-1] + bytes([payload[-1] ^ 1])

    has_checksum, key = wrap.usual["with_checksum"], wrap.usual["key"]
    add("as it should be")
    add("IPv6", family=6)
    add("version 1", flags=0x0001)
    add("routing flag", flags=0x4000)
    add("strict source route flag", flags=0x0800)
    add("recursion control 4", flags=0x0400)
    add("recursion control 3", flags=0x0300)
    add("reserved flags", flags=0x00f8)
    add("checksum", with_checksum=True)
    add("odd length, checksum", data=b"odd", with_checksum=True)
    add("no checksum", with_checksum=False)
    add("wrong checksum", change=damaged, with_checksum=True)
    add("unfinished checksum", change=lambda payload: wire.put(payload, 4, 0), with_checksum=True)
    add("no key", key=None)
    add("key 0", key=0)
    add("another key", key=(key or 0) + 1)
    add("the key backwards", key=int.from_bytes((key or 77).to_bytes(4, "little"), "big"))
    add("sequence number", sequence=7)
    add("sequence number of before", sequence=3)
    add("unknown type", protocol=0x1234)
    add("Ethernet frame", protocol=0x6558)
    add("type IPv6, holds IPv4", protocol=wire.IPV6)
    add("type IPv4, holds IPv6", protocol=wire.IPV4, family=6)
    add("bytes behind the end", change=lambda payload: payload + b"behind" if not has_checksum else
        wrap(payload[4 + 4 + (4 if key is not None else 0):] + b"behind"))
    add("cut off", change=lambda payload: payload[:-3])
    add("header alone", change=lambda payload: payload[:4 + 4 * has_checksum + 4 * (key is not None)])
    add("half a header", change=lambda payload: payload[:3])
    add("outer TTL 1", outer={"ttl": 1})
    if tunnel.outer == 6:
        add("encapsulation limit 4", outer={"limit": 4})
    else:
        add("DF", outer={"df": True})
    return made


def plain_arrivals(tunnel):
    """Of sit and ipip."""
    made = []
    family = tunnel.families[0]

    def add(name, change=lambda packet: packet, **fields):
        made.append((name, change(inner(tunnel, family, len(made) + 1, b"as it is", **fields)), {}))

    add("as it should be")
    add("bytes behind the end", lambda packet: packet + b"behind")
    add("cut off", lambda packet: packet[:-3])
    add("half a header", lambda packet: packet[:15])
    add("of the other family", lambda packet: inner(tunnel, 10 - family, len(made) + 1, b"other", "10.60.1.9" if
                                                    family == 6 else "fd60:1::9"))
    if family == 6:
        for source in ("ff02::1", "::1", "::10.1.2.3", "::ffff:10.1.2.3", "::", "fe80::1", "2002:a14:101::1"):
            add(f"from {source}", lambda packet, source=source: wire.ipv6(
                source, tunnel.beyond(6), wire.UDP, wire.udp(source, tunnel.beyond(6), b"from"),
                label=number_of(packet)))
    return made


def lets_in(reason, ours, names, applies=lambda tunnel: True):
    """A packet that only one side lets in: ours, or the kernel's."""
    return Difference(reason, {1} if ours else {2}, lambda tunnel, family, name: name in names and applies(tunnel))


def has_checksum(tunnel):
    return "csum" in tunnel.words.split()


ARRIVAL_DIFFERENCES = [
    lets_in("RFC 2784 2.3: a packet with one of the bits 1 to 5 set that is not known is discarded; Linux looks at the "
            "routing bit alone", False, {"strict source route flag", "recursion control 4"}),
    lets_in("RFC 2784 2.2: a checksum that nobody has asked for is verified; Linux drops what has one", True,
            {"checksum", "odd length, checksum"}, lambda tunnel: not has_checksum(tunnel)),
    lets_in("a checksum that was left to a network card is none that is wrong; Linux sees from elsewhere that it was",
            True, {"unfinished checksum"}),
    lets_in("RFC 2784 2.3: bits 6 to 12 are ignored; Linux gre_rcv takes the last four of them for a part of the "
            "version", True, {"reserved flags"}, lambda tunnel: tunnel.outer == 4),
    lets_in("a key of 0 is a key; Linux ip6_gre compares the numbers alone", False, {"key 0"},
            lambda tunnel: tunnel.outer == 6),
    lets_in("RFC 4213 3.6: nobody has an IPv4-compatible or IPv4-mapped source", False,
            {"from ::10.1.2.3", "from ::ffff:10.1.2.3"}),
]


def compare_arrivals(bench, tunnel, arrivals, last, seen):
    """Gives the same to both sides; complaints, as compare() does. None of ours may draw an ICMP error."""
    result = bench.arrive(tunnel, [(payload, fields) for _, payload, fields in arrivals], last)
    complaints = [f"{tunnel}: ICMP from us to the other end: {ip}" for ip in result[1][1]]
    by_number = {side: {} for side in (1, 2)}
    for side in (1, 2):
        for packet in result[side][0]:
            by_number[side].setdefault((packet[0] >> 4, number_of(packet)), []).append(packet)
    names = {}
    for number, (name, _, _) in enumerate(arrivals, 1):
        names[4, number] = names[6, number] = name
    for family, number in sorted(set(by_number[1]) | set(by_number[2])):
        ours, kernels = (by_number[side].get((family, number), []) for side in (1, 2))
        if ours == kernels:
            continue
        name = names.get((family, number), f"ECN: {number}")
        only = {side for side, packets in ((1, ours), (2, kernels)) if packets}
        means = [d for d in ARRIVAL_DIFFERENCES if d.applies(tunnel, family, name) and d.fields == only]
        seen |= {difference.reason for difference in means}
        if not means:
            complaints.append(f"{tunnel}: {name}: ours let in {[p.hex() for p in ours]}, the kernel's "
                              f"{[p.hex() for p in kernels]}")
    return complaints


def test_what_arrives_is_let_in_as_by_the_kernel():
    wraps = [(Tunnel("gre"), Gre()), (Tunnel("gre", "ttl 64 key 42"), Gre(42)), (Tunnel("gre", "ttl 64 key 0"), Gre(0)),
             (Tunnel("gre", "ttl 64 csum"), Gre(None, True)),
             (Tunnel("gre", "ttl 64 key 0x01020304 csum"), Gre(0x01020304, True)),
             (Tunnel("ip6gre"), Gre()), (Tunnel("ip6gre", "key 42 csum encaplimit none"), Gre(42, True))]
    plain = [Tunnel("sit"), Tunnel("ipip"), Tunnel("ip6gre", "dscp inherit")]
    with World() as world:
        bench = Bench(world, [tunnel for tunnel, _ in wraps] + plain)
        complaints, seen = [], set()
        for tunnel, wrap in wraps:
            complaints += compare_arrivals(bench, tunnel, gre_arrivals(tunnel, wrap), wrap, seen)
            complaints += compare_arrivals(bench, tunnel, ecn_arrivals(tunnel, wrap), wrap, seen)
        for tunnel in plain:
            wrap = Gre() if tunnel.kind == "ip6gre" else lambda packet: packet
            if tunnel.kind != "ip6gre":
                complaints += compare_arrivals(bench, tunnel, plain_arrivals(tunnel), wrap, seen)
            complaints += compare_arrivals(bench, tunnel, ecn_arrivals(tunnel, wrap), wrap, seen)
        print("\n".join(complaints))
        assert not complaints, f"{len(complaints)} packets fare otherwise than with the kernel"
        missing = [difference.reason for difference in ARRIVAL_DIFFERENCES if difference.reason not in seen]
        assert not missing, f"these differences do not occur: {missing}"


def test_sequence_numbers_are_taken_and_dropped_as_by_the_kernel():
    start = 1000
    steps = [0, 1, 2, 2, 1, 3, 10, 4, 9, 11, None, 12, 0x7fffffff, 13, 0x7fffffff + 5, -5, 20]
    with World() as world:
        tunnels = [Tunnel("gre", "ttl 64 seq"), Tunnel("gre", "ttl 64 key 5 csum seq"), Tunnel("ip6gre", "seq")]
        bench = Bench(world, tunnels)
        for tunnel in tunnels:
            header = Gre(5, True) if "key" in tunnel.words else Gre()
            packets = [(header(inner(tunnel, 4, number, b"counted"),
                               sequence=None if step is None else (start + step) % 2**32), {})
                       for number, step in enumerate(steps, 1)]
            taken, latest = [], 0
            for number, step in enumerate(steps, 1):
                if step is None or (step - latest + 2**31) % 2**32 < 2**31:
                    continue
                taken, latest = taken + [number], (step + 1) % 2**32
            result = bench.arrive(tunnel, packets, lambda packet: header(packet, sequence=(start + latest) % 2**32))
            ours, kernels = ([number_of(packet) for packet in result[side][0]] for side in (1, 2))
            assert ours == kernels == taken, f"{tunnel}: ours took {ours}, the kernel's {kernels}, it should be {taken}"


# ---- ICMP errors about outer packets ----

def router(tunnel):
    return f"10.20.{tunnel.number}.77" if tunnel.outer == 4 else f"2001:db8:{tunnel.number}::77"


def about(tunnel, side, outer, kind, code, rest=0, quoted=None):
    """An error from a router about an outer packet of a side; `quoted`: so many bytes of it."""
    body = outer.raw[:quoted]
    if tunnel.outer == 4:
        return wire.ipv4(router(tunnel), tunnel.end(side), wire.ICMP, wire.icmp(kind, code, rest, body))
    return wire.ipv6(router(tunnel), tunnel.end(side), wire.ICMPV6,
                     wire.icmpv6(router(tunnel), tunnel.end(side), kind, code, rest, body))


def an_outer_of_each(bench, tunnel, family):
    """{side: an outer packet}, whole, with an inner packet of a family."""
    found = bench.exchange(tunnel, [inner(tunnel, family, 1, b"to be quoted" * 8)])
    return {side: next(parts[0] for parts, payload in wholes(tunnel, found, side) if b"to be quoted" in payload)
            for side in (1, 2)}


def status(bench, tunnel):
    text = bench.near.hatsd("show", "--json", tunnel.device(1)).stdout
    return json.loads(text)["interfaces"][0]


def edges(tunnel, family, mtu):
    """[(name, packet)] on both sides of what a path of `mtu` has room for."""
    made = []
    headers = 28 if family == 4 else 48
    room = mtu - tunnel.overhead
    for size in sorted({room - 1, room, room + 1, 1280, 1281, 1400}):
        for df in (True, False) if family == 4 else (False,):
            fields = {"df": df} if family == 4 else {}
            kind = ", DF" if df else ": too many bytes" if size > room else ""
            made.append((f"{size}{kind}", inner(tunnel, family, len(made) + 1, b"e" * (size - headers), **fields)))
    return made


PATH_DIFFERENCES = [
    Difference("RFC 2473 7.2 (b), as in test_kernel_encap.py: IPv4 without DF is sent in fragments", {"fate"},
               lambda tunnel, family, name: tunnel.outer == 6 and family == 4 and name.endswith("too many bytes")),
    Difference("RFC 7676 3.2: GRE gets 1,280 bytes of IPv6 through whatever the path, in fragments; Linux sends them "
               "with DF, loses them, and tells nobody", {"fate", "ICMP"},
               lambda tunnel, family, name: tunnel.kind == "gre" and family == 6),
]


def compare_edges(bench, tunnel, mtu, seen):
    complaints = []
    for family in tunnel.families:
        packets = edges(tunnel, family, mtu)
        found = bench.exchange(tunnel, [packet for _, packet in packets])
        ours, kernels = (fates(tunnel, found, side, family) for side in (1, 2))
        for number, (name, _) in enumerate(packets, 1):
            pair = ours.get(number, Fate()), kernels.get(number, Fate())
            names = differing(*pair) - {"flow label"}
            for difference in PATH_DIFFERENCES:
                if names and difference.applies(tunnel, family, name) and difference.fields & names:
                    seen.add(difference.reason)
                    names -= difference.fields | {"what came out"}
            if names:
                complaints.append(f"{tunnel}, path {mtu}: IPv{family}: {name}: {', '.join(sorted(names))}\n"
                                  f"  ours:     {pair[0]}\n  kernel's: {pair[1]}")
    return complaints


def check_local_senders(bench, tunnel):
    """A sender on the host itself is told the same size as one behind it."""
    for family in tunnel.families:
        told = []
        for side in (1, 2):
            size = 1500 - (28 if family == 4 else 48)
            words = f"ping -{family} -n -c 3 -i 0.2 -W 1 -M do -s {size} {tunnel.inside(3 - side, family)}"
            text = bench.near.run(words, check=False) if side == 1 else bench.guest.sh(words, check=False)
            told.append(set(re.findall(r"mtu ?= ?(\d+)", text if side == 2 else text.stdout + text.stderr)))
        room = str(1500 - tunnel.overhead)
        assert told == [{room}, {room}], f"{tunnel}: IPv{family}: ours told {told[0]}, the kernel's {told[1]}"


def test_a_narrower_path_is_learned_as_by_the_kernel():
    with World() as world:
        tunnels = [Tunnel("gre"), Tunnel("gre", "ttl inherit key 3 csum seq"), Tunnel("sit"), Tunnel("ipip"),
                   Tunnel("ip6gre"), Tunnel("ip6gre", "encaplimit none key 3"),
                   Tunnel("gre", "ttl inherit nopmtudisc"), Tunnel("ipip", "ttl inherit nopmtudisc")]
        bench = Bench(world, tunnels)
        bench.guest.sh("ethtool -K eth0 tx off")
        complaints, seen = [], set()
        for tunnel in tunnels:
            if "nopmtudisc" not in tunnel.words:
                check_local_senders(bench, tunnel)
            for mtu in (1400, 1290) if tunnel.outer == 4 else (1400,):
                outers = an_outer_of_each(bench, tunnel, tunnel.families[0])
                kind, code = (3, 4) if tunnel.outer == 4 else (2, 0)
                for side in (1, 2):
                    bench.put_in(about(tunnel, side, outers[side], kind, code, mtu), side)
                until(lambda: status(bench, tunnel)["path_mtu"] == mtu, 30, f"{tunnel}: path MTU {mtu}")
                complaints += compare_edges(bench, tunnel, mtu, seen)
        print("\n".join(complaints))
        assert not complaints, f"{len(complaints)} packets fare otherwise than with the kernel"
        missing = [difference.reason for difference in PATH_DIFFERENCES if difference.reason not in seen]
        assert not missing, f"these differences do not occur: {missing}"


# ICMPv4 (type, code): net, host, protocol, port unreachable, source route failed, prohibited; time exceeded in transit
# and in reassembly; parameter problem
ERRORS_V4 = ((3, 0), (3, 1), (3, 2), (3, 3), (3, 5), (3, 13), (11, 0), (11, 1), (12, 0))
# ICMPv6: no route, prohibited, address, port unreachable; hop limit exceeded in transit, in reassembly
ERRORS_V6 = ((1, 0), (1, 1), (1, 3), (1, 4), (3, 0), (3, 1))


def told_of(bench, tunnel, outers, family, kind, code, quoted, number):
    """What inner senders hear, of both sides, when an error about `outers` comes in, our tunnel's `number`th, and two
    packets go out after it: {side: [(source, fields)]}."""
    bench.seen()
    for side in (1, 2):
        bench.put_in(about(tunnel, side, outers[side], kind, code, quoted=quoted), side)
    until(lambda: status(bench, tunnel)["icmp"]["received"] == number, 30, f"{tunnel}: ICMP {kind}, {code}")
    found = bench.seen() + bench.exchange(tunnel, [inner(tunnel, family, number, b"after") for number in (2, 3)])
    told = {1: [], 2: []}
    for what, side, ip in found:
        if what == "error":
            source = ip.source if ip.source.startswith("::ffff:") else "the host's own"
            told[side].append((source, error_fields(wire.read_icmp(ip))))
    return told


def is_relayed(tunnel, told):
    """RFC 4213 3.4: an ICMPv4 error is handed on to the inner IPv6 sender as address unreachable or hop limit exceeded.
    Linux writes the same (ip6_err_gen_icmpv6_unreach), with ::ffff:ROUTER for a source, and then has no route for such
    a source: nothing leaves 6.1. Ours does. Whether that is so here, and right."""
    sent = told[1]
    return (not told[2] and len(sent) == 1 and sent[0][0] == str(ipaddress.ip_address(f"::ffff:{router(tunnel)}"))
            and sent[0][1]["ICMP"] in ((1, 3, 0), (3, 0, 0)) and sent[0][1]["checksum good"]
            and number_of(sent[0][1]["quoted"]) == 1)


def test_errors_about_outer_packets_are_told_to_inner_senders_as_by_the_kernel():
    with World() as world:
        cases = [(Tunnel("sit"), 6), (Tunnel("sit", "ttl inherit"), 6), (Tunnel("gre", "ttl 64 key 9"), 6),
                 (Tunnel("gre", "ttl 64"), 4), (Tunnel("gre", "ttl inherit"), 4), (Tunnel("ipip"), 4),
                 (Tunnel("ip6gre"), 4), (Tunnel("ip6gre", "encaplimit none"), 6)]
        bench = Bench(world, [tunnel for tunnel, _ in cases])
        complaints, relayed = [], 0
        for tunnel, family in cases:
            outers = an_outer_of_each(bench, tunnel, family)
            errors = [(*error, None) for error in (ERRORS_V4 if tunnel.outer == 4 else ERRORS_V6)]
            if tunnel.outer == 4 and family == 6:
                errors += [(3, 1, 28), (3, 3, 28), (11, 0, 28)]  # too little of it to be handed on
            for number, (kind, code, quoted) in enumerate(errors, 1):
                told = told_of(bench, tunnel, outers, family, kind, code, quoted, number)
                if is_relayed(tunnel, told):
                    relayed += 1
                elif told[1] != told[2]:
                    complaints.append(f"{tunnel}: IPv{family}: ICMP {kind}, {code}, {quoted or 'all'} quoted: ours told "
                                      f"{told[1]}, the kernel's {told[2]}")
        print("\n".join(complaints))
        assert not complaints, f"{len(complaints)} errors are told otherwise than by the kernel"
        assert relayed, "none was relayed"


# ---- Keepalives ----

def test_keepalives_are_answered_to_the_byte_and_ours_return_from_a_kernel():
    with World() as world:
        tunnel = Tunnel("gre", "ttl 64 key 42")
        alive = Tunnel("gre", "ttl 64 csum keepalive 1 3", "ttl 64 csum")
        bench = Bench(world, [tunnel, alive])
        # Cisco's: what comes back is addressed to the sender, and its GRE header has protocol 0
        for key in (None, 42):
            answer = wire.ipv4(tunnel.end(1), tunnel.end(2), wire.GRE, wire.gre(0, b"", key), ttl=255, tos=0xc0, number=7)
            bench.seen()
            bench.put_in(bench.outer_to(tunnel, 1, wire.gre(wire.IPV4, answer, 42)), 1)
            got = until(lambda: [ip for what, side, ip in bench.seen() if (what, side) == ("outer", 1) and
                                 ip.protocol == wire.GRE and ip.ttl == 255], 20, "the answer")
            assert [ip.raw for ip in got] == [answer], (got, answer)
        # a kernel forwards ours back if it takes its own address for a source
        bench.guest.sh(f"sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.{alive.device(2)}.accept_local=1")
        until(lambda: status(bench, alive)["keepalives"]["returned"] >= 2, 30, "our keepalives return")
        assert status(bench, alive)["carrier"]
        bench.guest.sh(f"ip link set {alive.device(2)} down")
        until(lambda: not status(bench, alive)["carrier"], 40, "the carrier goes")
        bench.guest.sh(f"ip link set {alive.device(2)} up")
        until(lambda: status(bench, alive)["carrier"], 40, "the carrier returns")


harness.main(globals())

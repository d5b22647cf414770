#!/usr/bin/env python3
"""Hostile peers, hostile strangers and clumsy operators of the unencrypted tunnels.

What must hold each time: silence on the wire, nothing delivered that should not be, each packet counted with its reason,
the daemon alive and no larger, other tunnels unharmed.
"""
import contextlib
import glob
import json
import os
import random
import socket
import struct
import time

import harness
from crafted import (ETHER_V4, ETHER_V6, GRE, IPIP, SIT, Stranger, fragments, fragments_v6, gre, icmp_error, icmp_error_v6,
                     inner_of, ipv6, unfinished_tcp)
from harness import SANITIZER_LOG, World, inside, until
from noise import checksum, echo, ipv4

LOCAL, LOCAL6 = "192.0.2.1", "2001:db8::1"
# Of no host. Inner packets to it end in the victim, which forwards nothing, silently: it has a route to the second one.
NOWHERE, NOWHERE6 = "198.51.100.77", "2001:db8::77"
SANITIZED = os.environ.get("HATSD_SANITIZED") == "1"  # its memory is the sanitizer's


class Ends:
    """One tunnel of the victim, as its peer sees it."""

    def __init__(self, name, mode, number, words="", protocol=GRE, **header):
        self.name, self.protocol, self.header = name, protocol, header
        self.v6 = mode == "ip6gre"
        self.local = LOCAL6 if self.v6 else LOCAL
        self.remote = f"2001:db8::{number}" if self.v6 else f"192.0.2.{number}"
        self.words = f"tunnel add {name} mode {mode} local {self.local} remote {self.remote} {words}"
        self.carries_v6 = protocol == SIT
        self.inner_net = number
        self.sequence = 1

    def outer(self, payload, source=None, **fields):
        if self.v6:
            return ipv6(source or self.remote, self.local, payload, GRE, **fields)
        return ipv4(source or self.remote, self.local, payload, self.protocol, **fields)

    def body(self, inner, **header):
        """What follows the outer IP header."""
        if self.protocol != GRE:
            return inner
        header = {**self.header, "protocol": ETHER_V6 if inner[:1] and inner[0] >> 4 == 6 else ETHER_V4, **header}
        if header.get("sequence") is True:
            header["sequence"], self.sequence = self.sequence, self.sequence + 1
        return gre(inner, **header)

    def packet(self, inner, source=None, **header):
        return self.outer(self.body(inner, **header), source)

    def inner(self, payload=bytes(40), protocol=253, source=None, destination=None):
        """An inner packet that the victim's host silently drops, as its destination is nobody's."""
        if self.carries_v6:
            return ipv6(source or f"fd0a:{self.inner_net}::2", destination or NOWHERE6, payload, protocol)
        return ipv4(source or f"10.{self.inner_net}.0.2", destination or NOWHERE, payload, protocol)

    def ping(self, number):
        if not self.carries_v6:
            return ipv4(f"10.{self.inner_net}.0.2", f"10.{self.inner_net}.0.1", echo(number))
        source, to = f"fd0a:{self.inner_net}::2", f"fd0a:{self.inner_net}::1"
        text = struct.pack(">BBHHH", 128, 0, 0, 77, number)
        pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) + struct.pack(">II", 8, 58)
        return ipv6(source, to, text[:2] + struct.pack(">H", checksum(pseudo + text)) + text[4:], 58)


def shown(process):
    """What `show` says of a process's interfaces, by name."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(f"/run/hatsd-user/{process}.sock")
        line.sendall(b'{"op":"show"}\n')
        text = b""
        while not text.endswith(b"\n"):
            text += line.recv(1 << 20)
    return {entry["name"]: entry for entry in json.loads(text)["interfaces"]}


def memory_of(process):
    with open(f"/proc/{process}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))  # KiB


class Victim:
    """A host with a tunnel of each kind to a stranger, and one to an honest peer on another link."""

    def __init__(self, world):
        self.host, self.outside, self.honest = world.host("victim"), world.host("outside"), world.host("honest")
        for host in (self.host, self.honest):
            host.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.default.router_solicitations=0 "
                     "net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
        self.outside.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        world.wire(self.host, self.outside, [f"{LOCAL}/24", f"{LOCAL6}/64"], [])
        world.wire(self.host, self.honest, ["203.0.113.1/24"], ["203.0.113.2/24"], left_name="eth1")
        self.tunnels = [Ends("plain", "gre", 101), Ends("keyed", "gre", 102, "key 7", key=7),
                        Ends("summed", "gre", 103, "csum", with_checksum=True),
                        Ends("counted", "gre", 104, "seq", sequence=True),
                        Ends("six", "sit", 105, protocol=SIT), Ends("four", "ipip", 106, protocol=IPIP),
                        Ends("over6", "ip6gre", 107)]
        mac = self.outside.out("cat /sys/class/net/eth0/address")
        for ends in self.tunnels:
            self.host.run(f"ip neigh replace {ends.remote} lladdr {mac} nud permanent dev eth0")
            self.host.hatsd(*ends.words.split())
            if not ends.carries_v6:
                self.host.run(f"ip address add 10.{ends.inner_net}.0.1/24 dev {ends.name}")
            if ends.protocol != IPIP:
                self.host.run(f"ip address add fd0a:{ends.inner_net}::1/64 dev {ends.name} nodad")
            self.host.run(f"ip link set {ends.name} up")
        for here, there, number in ((self.host, self.honest, 1), (self.honest, self.host, 2)):
            here.hatsd(*f"tunnel add good mode gre local 203.0.113.{number} remote 203.0.113.{3 - number} ttl 64".split())
            here.run(f"ip address add 10.9.0.{number}/24 dev good")
            here.run("ip link set good up")
        state = json.loads(self.host.hatsd("show", "--json").stdout)["interfaces"]
        self.process = next(entry["pid"] for entry in state if entry["name"] == "plain")
        assert all(entry["pid"] == self.process for entry in state if entry["name"] != "good"), state
        self.stranger = Stranger(self.outside, "eth0", self.host, "eth0")
        self.stranger.heard(0.5)
        self.memory = memory_of(self.process)

    def by_name(self, name):
        return next(ends for ends in self.tunnels if ends.name == name)

    def tally(self):
        """Where received packets went, by (tunnel, reason)."""
        out = {}
        for name, entry in shown(self.process).items():
            out[name, "delivered"] = entry["rx_packets"]
            out[name, "answered"] = entry["keepalives"]["answered"]
            for reason, number in entry["drops"].items():
                if reason.startswith("rx_") or reason.startswith("tun_"):
                    out[name, reason] = number
            out.update({("strays", reason): number for reason, number in entry["process_strays"].items()})
        return out

    def attack(self, packets, expected=None, total=None):
        """Sends them; they are counted, each once, and nothing is said on the wire. Returns what was counted."""
        before = self.tally()
        self.stranger.send(*packets)
        want = len(packets) if total is None else total

        def change():
            after = self.tally()
            return {where: after[where] - before[where] for where in after if after[where] != before[where]}

        with contextlib.suppress(AssertionError):  # said better below
            until(lambda: sum(change().values()) >= want, 3, every=0.02)
        heard = self.stranger.heard(0.1)
        got = change()
        assert not heard, f"the victim says {[packet.hex() for packet in heard[:3]]}"
        assert sum(got.values()) == want, f"{want} packets, but {got}"
        if expected is not None:
            assert got == expected, f"{got}, not {expected}"
        return got

    def check(self, growth=8192):
        """Every tunnel works, and the daemon is as it was."""
        for number, ends in enumerate(self.tunnels):
            self.stranger.heard(0.01)
            self.stranger.send(ends.packet(ends.ping(number + 1)))
            answers = [inner_of(packet) for packet in self.stranger.heard(0.15)]
            kind = b"\x81\0" if ends.carries_v6 else b"\0\0"
            at = 40 if ends.carries_v6 else 20
            assert any(inner[at:at + 2] == kind for inner in answers), f"{ends.name} does not answer: {answers}"
        self.honest.ping("10.9.0.1", 2)
        grown = memory_of(self.process) - self.memory
        assert SANITIZED or grown < growth, f"memory grew by {grown} KiB"
        assert not glob.glob(f"{SANITIZER_LOG}.*")


class Shared:
    """One victim for all tests: what one attack leaves behind, the next meets."""
    world = victim = None

    @classmethod
    def close(cls):
        world, cls.world, cls.victim = cls.world, None, None
        if world is not None:
            world.__exit__(None, None, None)


@contextlib.contextmanager
def victim_of_attacks():
    if Shared.victim is None:
        Shared.world = World()
        Shared.victim = Victim(Shared.world)
    victim = Shared.victim
    try:
        victim.check()
        yield victim
        victim.check()
    except BaseException:
        Shared.world.tell()
        Shared.close()
        raise


def test_headers_that_lie_are_counted_by_their_reason():
    with victim_of_attacks() as victim:
        for name in ("plain", "keyed", "summed", "counted", "over6"):
            ends = victim.by_name(name)
            inner = ends.inner()
            lies = [(flags, ETHER_V4) for flags in (*range(1, 8), 0x4000, 0x0800, 0x0400, 0x4c07)] + [(1, 0x880b)]
            victim.attack([ends.packet(inner, flags=flags, protocol=protocol) for flags, protocol in lies],
                          {(name, "rx_malformed"): len(lies)})
            others = (0, 1, 0x6558, 0x8847, 0x88be, 0xffff)
            victim.attack([ends.packet(inner, protocol=protocol) for protocol in others], {(name, "rx_unknown_protocol"): 6})
            whole = ends.body(inner)
            got = victim.attack([ends.outer(whole[:size]) for size in range(len(whole))])
            assert set(got) <= {(name, "rx_malformed"), (name, "rx_inner_malformed"), (name, "rx_checksum_bad"),
                                ("strays", "wrong_key")}, got
            cut = [ends.body(inner[:size]) for size in range(len(inner))]
            victim.attack([ends.outer(body) for body in cut], {(name, "rx_inner_malformed"): len(cut)})
            # IPv4 in name, IPv6 in fact, and the reverse
            victim.attack([ends.packet(inner, protocol=ETHER_V6),
                           ends.packet(ipv6("fd0a::2", NOWHERE6, bytes(8), 253), protocol=ETHER_V4)],
                          {(name, "rx_inner_malformed"): 2})
        for name in ("six", "four"):
            ends = victim.by_name(name)
            inner = ends.inner()
            victim.attack([ends.packet(inner[:size]) for size in range(len(inner))], {(name, "rx_inner_malformed"): len(inner)})
            wrong = ipv4("10.1.1.2", NOWHERE, bytes(9), 253) if name == "six" else ipv6("fd0a::2", NOWHERE6, bytes(9), 253)
            victim.attack([ends.packet(wrong)], {(name, "rx_inner_malformed"): 1})


def test_keys_checksums_and_sources_that_are_not_the_tunnels_own_do_not_enter():
    with victim_of_attacks() as victim:
        plain, keyed, summed = map(victim.by_name, ("plain", "keyed", "summed"))
        inner = plain.inner()
        keys = (0, 1, 6, 8, 0x07000000, 0xffffffff)
        victim.attack([keyed.packet(inner, key=key) for key in keys] + [keyed.packet(inner, key=None)],
                      {("strays", "wrong_key"): 7})
        victim.attack([plain.packet(inner, key=key) for key in (*keys, 7)], {("strays", "wrong_key"): 7})
        victim.attack([summed.packet(inner, with_checksum=False)], {("summed", "rx_checksum_missing"): 1})
        good = summed.body(inner)
        bad = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1:] for at in range(4, len(good)) if at not in (6, 7)]
        victim.attack([summed.outer(body) for body in bad], {("summed", "rx_checksum_bad"): len(bad)})
        lie = gre(inner, with_checksum=True)
        victim.attack([plain.outer(lie[:4] + b"\x12\x34" + lie[6:])], {("plain", "rx_checksum_bad"): 1})
        # The filter of remotes keeps strangers from the daemon; the remote of another kind of tunnel is one, too.
        strangers = [ends.packet(ends.inner(), source="2001:db8::bad" if ends.v6 else source) for ends in victim.tunnels
                     for source in ("192.0.2.200", "203.0.113.2" if ends.protocol != GRE else "198.51.100.1")]
        victim.attack(strangers, {}, total=0)
        crossed = [keyed.packet(inner, source=plain.remote), plain.packet(inner, source=keyed.remote)]
        victim.attack(crossed, {("strays", "wrong_key"): 2})


def test_sequence_numbers_played_with_only_hurt_the_one_who_plays():
    with victim_of_attacks() as victim:
        ends = victim.by_name("counted")
        inner = ends.inner()

        def send(*numbers):
            return victim.attack([ends.packet(inner, sequence=number) for number in numbers])
        assert send(1000, 1000, 999, 1, 1001) == {("counted", "delivered"): 2, ("counted", "rx_sequence_old"): 3}
        assert victim.attack([ends.packet(inner, sequence=None)]) == {("counted", "rx_sequence_missing"): 1}
        # the next is 1002: half the circle ahead is behind
        assert send(1002 + 2**31, 1001 + 2**31) == {("counted", "delivered"): 1, ("counted", "rx_sequence_old"): 1}
        assert send(1001 + 2**31, 1002) == {("counted", "rx_sequence_old"): 2}
        assert send(2**32 - 1, 0, 1) == {("counted", "delivered"): 3}
        # what is dropped for another reason does not move the window
        bad = ends.packet(inner[:30], sequence=2**30)
        victim.attack([bad], {("counted", "rx_inner_malformed"): 1})
        assert send(2) == {("counted", "delivered"): 1}
        ends.sequence = 3


def test_loops_and_nests_end():
    with victim_of_attacks() as victim:
        for ends in victim.tunnels:
            if ends.carries_v6 or ends.v6:
                continue
            own = ipv4(LOCAL, ends.remote, gre(ends.inner()), ends.protocol)  # our own outer packet, come back
            home = ipv4("10.1.1.1", ends.remote, bytes(30), 253)
            victim.attack([ends.packet(own), ends.packet(home)], {(ends.name, "rx_loop"): 2})
        six = victim.by_name("over6")
        victim.attack([six.packet(ipv6(LOCAL6, six.remote, gre(bytes(20)), GRE)), six.packet(ipv6("fd0a::9", six.remote, b"", 59)),
                       six.packet(ipv6(six.remote, LOCAL6, gre(bytes(20)), GRE))], {("over6", "rx_loop"): 3})
        # A nest is taken apart, layer by layer, by the host: one packet for one, and no more.
        plain = victim.by_name("plain")
        inner = plain.inner()
        for depth in range(1, 21):
            inner = plain.packet(inner)
        got = victim.attack([inner], total=20)
        assert got == {("plain", "delivered"): 20}, got
        # across tunnels, and to ends that are the sender's own
        four, keyed = victim.by_name("four"), victim.by_name("keyed")
        cross = plain.packet(four.packet(keyed.packet(keyed.inner())))
        victim.attack([cross], {("plain", "delivered"): 1, ("four", "delivered"): 1, ("keyed", "delivered"): 1}, total=3)


def test_odd_inner_packets_go_where_the_kernels_device_lets_them_and_no_further():
    with victim_of_attacks() as victim:
        six = victim.by_name("six")
        nobody = ["ff02::1", "ff0e::1", "::1", "::192.0.2.9", "::ffff:192.0.2.9", "::ffff:0.0.0.0"]
        victim.attack([six.packet(six.inner(source=source)) for source in nobody], {("six", "rx_inner_source"): len(nobody)})
        for ends in victim.tunnels:
            if ends.carries_v6:
                continue
            good = ends.inner()
            lengths = [ipv4("10.1.1.2", NOWHERE, bytes(20), 253, length=size) for size in (0, 1, 19, 41, 1000, 65535)]
            heads = [ipv4("10.1.1.2", NOWHERE, bytes(20), 253, ihl=size) for size in (0, 1, 4, 11, 15)]
            versions = [bytes([number << 4 | 5]) + good[1:] for number in (0, 1, 2, 3, 5, 7, 8, 15)]
            packets = lengths + heads + versions
            victim.attack([ends.packet(packet, **({} if ends.protocol != GRE else {"protocol": ETHER_V4}))
                           for packet in packets], {(ends.name, "rx_inner_malformed"): len(packets)})
            odd = [ends.inner(source=source) for source in ("127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", LOCAL)]
            odd += [ipv4("10.1.1.2", NOWHERE, bytes(20), 253, ttl=ttl) for ttl in (0, 1)]
            odd += [ipv4("10.1.1.2", NOWHERE, bytes(20), 253, options=options)
                    for options in (b"\x01" * 40, b"\x07\x27\x04" + bytes(37), b"\x94\x04\0\0")]
            odd += [ipv4("10.1.1.2", NOWHERE, bytes(24), 253, fragment=bits) for bits in (0x2000, 0x2001, 1, 0x1fff)]
            odd += [ends.inner() + b"after the end" * 9]
            victim.attack([ends.packet(packet) for packet in odd], {(ends.name, "delivered"): len(odd)})
        # congestion told of a packet that cannot bear it (RFC 6040 4.2)
        plain, over6 = victim.by_name("plain"), victim.by_name("over6")
        body = plain.body(plain.inner())
        marked = ipv4(plain.remote, LOCAL, body, GRE)
        marked = marked[:1] + b"\x03" + marked[2:10] + struct.pack(">H", checksum(marked[:1] + b"\x03" + marked[2:10] + b"\0\0" +
                                                                                    marked[12:20])) + marked[12:]
        victim.attack([marked], {("plain", "rx_ecn"): 1})
        victim.attack([over6.outer(body, traffic_class=3)], {("over6", "rx_ecn"): 1})


def test_outer_options_extension_headers_and_fragments_are_the_kernels_to_judge():
    with victim_of_attacks() as victim:
        for ends in victim.tunnels:
            body = ends.body(ends.inner())
            if ends.v6:
                pad = b"\x01\x04" + bytes(4)
                packets = [ipv6(ends.remote, LOCAL6, bytes([GRE, 0]) + options + body, following)
                           for following, options in ((60, b"\x04\x01\x04\x01\x01\0"), (60, b"\x04\x01\0\x01\x01\0"), (60, pad), (0, pad))]
                packets += [ipv6(ends.remote, LOCAL6, struct.pack(">BBHI", GRE, 0, 0, 7) + body, 44),
                            ends.outer(body, hops=0), ends.outer(body, hops=1), ends.outer(body, traffic_class=0xfc)]
            else:
                bodies = [ends.body(ends.inner()) for _ in range(6)]
                packets = [ends.outer(text, options=options) for text, options in
                           zip(bodies, (b"\x01" * 4, b"\x01" * 40, b"\x07\x27\x04" + bytes(37), b"\x94\x04\0\0"))]
                packets += [ends.outer(bodies[4], ttl=0), ends.outer(bodies[5], ttl=1)]
            victim.attack(packets, {(ends.name, "delivered"): len(packets)})
        random.seed(11)
        for ends in victim.tunnels:  # in pieces, mixed up
            sizes = (8, 16, 64, 1400)
            pieces = []
            for size in sizes:
                pieces.append((fragments_v6 if ends.v6 else fragments)(ends.packet(ends.inner(bytes(1600))), size))
            mixed = [piece for group in pieces for piece in random.sample(group, len(group))]
            if ends.name == "counted":
                mixed = [piece for group in pieces for piece in group]
            victim.attack(mixed, {(ends.name, "delivered"): len(sizes)}, total=len(sizes))
        for ends in victim.tunnels:  # overlapping, and never whole
            cut = fragments_v6 if ends.v6 else fragments
            bad = []
            for _ in range(20):
                parts = cut(ends.packet(ends.inner(random.randbytes(400)), **({"sequence": 0} if ends.name == "counted" else {})), 80)
                shift = parts[2]
                if ends.v6:
                    at = struct.unpack(">H", shift[42:44])[0] - 8
                    shift = shift[:42] + struct.pack(">H", at) + shift[44:]
                else:
                    at = struct.unpack(">H", shift[6:8])[0] - 1
                    head = shift[:6] + struct.pack(">H", at) + shift[8:10] + b"\0\0" + shift[12:20]
                    shift = head[:10] + struct.pack(">H", checksum(head)) + head[12:] + shift[20:]
                bad += parts[1:3] + [shift] + parts[3:]
            victim.attack(bad, {}, total=0)


def test_what_looks_merged_is_written_at_any_size():
    with victim_of_attacks() as victim:
        random.seed(12)
        for name in ("plain", "keyed", "summed", "four", "over6"):
            ends = victim.by_name(name)
            sizes = [0, 1, 535, 536, 537, 1400, 1436, 1437, 1448, 1500, 2000, 4095, 9000, 32768, 50000, 65000, 65400]
            sent = 0
            before = shown(victim.process)[name]
            for size in sizes:
                for flags in (0x10, 0x18, 0x02, 0x04, 0x3f, 0xc0):
                    packet = ends.packet(unfinished_tcp("10.1.1.2", NOWHERE, random.randbytes(size), flags))
                    if len(packet) > 65535:
                        continue
                    cut = fragments_v6 if ends.v6 else fragments
                    victim.stranger.send(*(cut(packet) if len(packet) > 1500 else [packet]))
                    sent += 1
                time.sleep(0.01)

            def taken():
                entry = shown(victim.process)[name]
                return entry["rx_packets"] - before["rx_packets"] + sum(
                    number - before["drops"][reason] for reason, number in entry["drops"].items() if reason.startswith("rx_"))
            with contextlib.suppress(AssertionError):
                until(lambda: taken() == sent, 3)
            after = shown(victim.process)[name]
            assert taken() == sent, (name, sent, taken(), after["drops"])
            assert after["merged_receives"] > before["merged_receives"]
            print(name, sent, {reason: number for reason, number in after["drops"].items() if number}, flush=True)
        assert victim.stranger.heard(0.2) == []
        for ends in victim.tunnels:  # datagrams as large as there are, of nobody's protocol
            if not ends.v6:
                inner = ends.inner(bytes(65535 - 20 - 40 - 16))
                victim.attack(fragments(ends.packet(inner)), {(ends.name, "delivered"): 1}, total=1)


def keepalive(ends, source=None, destination=None, payload=b"", protocol=0, key=None, **fields):
    inner = ipv4(source or LOCAL, destination or ends.remote, gre(payload, protocol=protocol, key=key), GRE, ttl=255, **fields)
    return ends.packet(inner), inner


def test_only_the_exact_keepalive_is_reflected_and_at_a_bounded_rate():
    with victim_of_attacks() as victim:
        for name in ("plain", "keyed", "summed"):
            ends = victim.by_name(name)
            packet, answer = keepalive(ends, key=ends.header.get("key"))
            victim.stranger.heard(0.05)
            victim.stranger.send(packet)
            heard = victim.stranger.heard(0.3)
            assert len(heard) == 1, heard
            # the kernel numbers what has no number; the rest is as it came
            assert heard[0][20:] == answer[20:] and heard[0][12:20] == answer[12:20] and heard[0][8:10] == answer[8:10]
        plain = victim.by_name("plain")
        almost = [keepalive(plain, payload=bytes(size))[0] for size in (41, 42, 100, 1000, 1400)]
        almost += [keepalive(plain, protocol=protocol)[0] for protocol in (1, 0x0800, 0xffff)]
        almost += [keepalive(plain, key=9)[0], keepalive(plain, fragment=0x2000)[0]]
        almost += [plain.packet(ipv4(LOCAL, plain.remote, text, GRE)) for text in (b"", b"\0", bytes(3), b"\0\1\0\0", b"\x40\0\0\0")]
        almost += [plain.packet(ipv4(LOCAL, plain.remote, bytes(4), number)) for number in (0, 1, 4, 41, 46, 48, 255)]
        bad = ipv4(LOCAL, plain.remote, gre(b"", protocol=0), GRE)
        almost += [plain.packet(bad[:10] + b"\x12\x34" + bad[12:])]
        victim.attack(almost, {("plain", "rx_loop"): len(almost)})
        elsewhere = [keepalive(plain, "10.8.8.8", "10.8.8.9")[0], keepalive(plain, plain.remote, "10.8.8.9")[0]]
        victim.attack(elsewhere, {("plain", "delivered"): 2})
        over6 = victim.by_name("over6")
        victim.attack([over6.packet(ipv6(LOCAL6, over6.remote, gre(b"", protocol=0), GRE))], {("over6", "rx_loop"): 1})
        # One end of another: what is sent goes to the remote alone, and no more often than is allowed.
        time.sleep(2)
        before = victim.tally()
        start = time.monotonic()
        flood = [keepalive(plain)[0], keepalive(plain, destination="10.8.8.8")[0], keepalive(plain, source="10.8.8.8")[0]]
        victim.stranger.flood(flood * 40, 2)
        time.sleep(0.3)
        heard = victim.stranger.heard(0.5)
        spent = time.monotonic() - start
        assert all(packet[12:20] == socket.inet_aton(LOCAL) + socket.inet_aton(plain.remote) for packet in heard)
        assert 20 <= len(heard) <= 21 + 10 * spent, (len(heard), spent)
        after = victim.tally()
        limited = after["plain", "rx_keepalive_limited"] - before["plain", "rx_keepalive_limited"]
        assert limited > 1000, limited
        time.sleep(0.5)


def test_forged_icmp_errors_do_bounded_harm_to_one_path():
    with victim_of_attacks() as victim:
        plain, keyed, six = map(victim.by_name, ("plain", "keyed", "six"))
        random.seed(13)

        def quoted(ends, size=28, **header):
            if ends.v6:
                return ipv6(LOCAL6, ends.remote, ends.body(bytes(size), **header), GRE)
            return ipv4(LOCAL, ends.remote, ends.body(bytes(1400), **header), ends.protocol)[:20 + size]

        def path(name):
            entry = shown(victim.process)[name]
            return entry["path_mtu"], entry["path_mtu_learned"]

        # about nobody's packets
        wrong = [icmp_error("192.0.2.66", LOCAL, quoted(keyed, key=8), mtu=576), icmp_error("192.0.2.66", LOCAL, quoted(keyed, key=None), mtu=576),
                 icmp_error("192.0.2.66", LOCAL, ipv4(LOCAL, "192.0.2.99", gre(bytes(30)), GRE), mtu=576),
                 icmp_error("192.0.2.66", LOCAL, ipv4(LOCAL, plain.remote, bytes(30), 17), mtu=576),
                 icmp_error("192.0.2.66", LOCAL, ipv4(plain.remote, LOCAL, gre(bytes(30)), GRE), mtu=576),
                 icmp_error("192.0.2.66", LOCAL, b"", mtu=576), icmp_error("192.0.2.66", LOCAL, quoted(plain)[:27], mtu=576)]
        victim.stranger.send(*wrong)
        for name in ("plain", "keyed", "good"):
            assert path(name) == (1500, False), (name, path(name))
        # larger than the path: nothing; 0: the next plateau; tiny: the least that is believed
        victim.stranger.send(icmp_error("192.0.2.66", LOCAL, quoted(plain), mtu=65535))
        time.sleep(0.1)
        assert path("plain")[0] == 1500
        steps = []
        for mtu in (0, 1400, 1, 68, 65535, 0):
            victim.stranger.send(icmp_error("192.0.2.66", LOCAL, quoted(plain), mtu=mtu))
            time.sleep(0.05)
            steps.append(path("plain")[0])
        assert min(steps) == 552 and steps[-1] == 552 and steps == sorted(steps, reverse=True), steps
        over6 = victim.by_name("over6")
        for mtu in (0, 1, 1279):
            victim.stranger.send(icmp_error_v6("2001:db8::66", LOCAL6, quoted(over6), mtu=mtu))
        time.sleep(0.1)
        assert path("over6") == (1500, False), path("over6")
        victim.stranger.send(icmp_error_v6("2001:db8::66", LOCAL6, quoted(over6), mtu=1280))
        until(lambda: path("over6") == (1280, True), 2, "a path of 1280 is believed")
        assert path("good") == (1500, False) and path("four") == (1500, False)
        # a flood from many reporters, of every kind
        kinds = [(3, code) for code in range(16)] + [(11, 0), (11, 1), (12, 0), (4, 0), (5, 1)]
        flood = []
        for ends in victim.tunnels:
            for kind, code in kinds:
                reporter = f"{random.randrange(1, 223)}.{random.randrange(256)}.{random.randrange(256)}.9"
                if ends.v6:
                    flood.append(icmp_error_v6(f"2001:db8::{random.randrange(1, 9999)}", LOCAL6, quoted(ends), kind=kind % 5, code=code % 7, mtu=1300))
                else:
                    flood.append(icmp_error(reporter, LOCAL, quoted(ends), kind, code, mtu=random.choice([0, 552, 1400])))
        rate = 0

        def good_pings(number=40):
            done = victim.honest.ping("10.9.0.1", number, check=False)
            return int(done.stdout.split(" received")[0].split()[-1])
        with flooding(victim.stranger, flood, 3) as state:
            answered = good_pings()
        rate = state["rate"]
        print(f"{rate:.0f} ICMP errors/s, {answered} of 40 pings answered", flush=True)
        assert answered >= 30, answered
        assert path("good")[1] is False
        # the errors themselves draw nothing, and what the victim sends next tells it of at most 16 failures
        assert not [packet for packet in victim.stranger.heard(0.3)]
        entry = shown(victim.process)["plain"]
        assert entry["link_failing"] is True and entry["icmp"]["received"] > 0
        done = victim.host.ping("10.101.0.2", 40, interval=0.01, wait=1, check=False)
        told = done.stdout.count("Unreachable")
        assert 1 <= told <= 16, done.stdout


@contextlib.contextmanager
def flooding(stranger, packets, seconds):
    """A flood from a process of its own while the block runs."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(stranger.flood(packets, seconds)).encode())
        finally:
            os._exit(0)
    os.close(write)
    state = {"rate": 0.0}
    try:
        yield state
    finally:
        state["rate"] = float(os.read(read, 100) or 0)
        os.close(read)
        os.waitpid(child, 0)


def test_floods_of_random_packets_from_strangers_leave_the_tunnels_alone():
    with victim_of_attacks() as victim:
        random.seed(14)
        packets = []
        for _ in range(500):
            source = f"{random.randrange(1, 223)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
            packets.append(ipv4(source, LOCAL, random.randbytes(random.randrange(0, 200)), random.choice([GRE, SIT])))
        packets += [ipv6(f"2001:db8::{random.randrange(1000, 9999)}", LOCAL6, random.randbytes(60), GRE) for _ in range(100)]
        before = victim.tally()

        def ticks():
            with open(f"/proc/{victim.process}/stat") as line:
                return sum(map(int, line.read().rsplit(")", 1)[1].split()[11:13]))
        used = ticks()
        with flooding(victim.stranger, packets, 4) as state:
            done = victim.honest.ping("10.9.0.1", 50, interval=0.05, check=False)
        used = ticks() - used
        answered = int(done.stdout.split(" received")[0].split()[-1])
        after = victim.tally()
        passed = sum(after.values()) - sum(before.values()) - answered
        print(f"{state['rate']:.0f} packets/s, {answered} of 50 pings, {used} ticks, {passed} reached the daemon", flush=True)
        assert answered >= 45, done.stdout
        assert passed < 500, {where: after[where] - before[where] for where in after if after[where] != before[where]}
        assert not victim.stranger.heard(0.2)
        # random bytes from the remotes themselves
        packets = []
        for ends in victim.tunnels:
            for _ in range(60):
                body = random.randbytes(random.randrange(0, 300))
                if ends.protocol == GRE and random.random() < .6:
                    body = gre(body, protocol=random.choice([0x0800, 0x86dd, 0]), key=random.choice([None, 7]),
                               sequence=random.choice([None, 5]), with_checksum=random.random() < .5)
                packets.append(ends.outer(body))
        got = victim.attack(packets)
        assert not [where for where in got if where[1] == "delivered"], got
        with flooding(victim.stranger, packets, 3) as state:
            done = victim.honest.ping("10.9.0.1", 30, interval=0.05, check=False)
        answered = int(done.stdout.split(" received")[0].split()[-1])
        print(f"{state['rate']:.0f} packets/s from the remotes, {answered} of 30 pings", flush=True)
        assert answered >= 15, done.stdout
        assert not victim.stranger.heard(0.2)


def test_after_all_that_the_daemon_ends_and_leaves_nothing():
    with victim_of_attacks() as victim:
        victim.host.hatsd("down", "--all")
        until(lambda: not os.path.exists(f"/run/hatsd-user/{victim.process}.sock"), 5, "the daemon has ended")
        links = victim.host.out("ip -o link")
        assert not [ends.name for ends in victim.tunnels if f" {ends.name}:" in links], links
        victim.stranger.close()
        Shared.victim.check = lambda: None
    Shared.close()


harness.main(globals())

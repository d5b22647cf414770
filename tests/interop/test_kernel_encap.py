#!/usr/bin/env python3
"""hatsd-user's GRE, SIT, IPIP and GRE over IPv6 against the Linux kernel's own ip_gre, sit, ipip and ip6_gre."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from guest import Guest  # noqa: E402
from fates import Difference, Fate, differing, fates, sequence_fault  # noqa: E402
from kernel_encap import LAN, Bench, Tunnel, inner  # noqa: E402
import harness  # noqa: E402
from harness import HATSD, World, until  # noqa: E402

PATH_MTU = 1500


# ---- Packets to compare ----

def packets_v4(tunnel):
    """[(what it is, packet)]; its number is its place."""
    made = []

    def add(name, data=b"x" * 36, **fields):
        made.append((name, inner(tunnel, 4, len(made) + 1, data, **fields)))

    def add_raw(name, protocol, payload, **fields):
        made.append((name, wire.ipv4(LAN[4], tunnel.beyond(4), protocol, payload, number=len(made) + 1, **fields)))

    add("plain")
    add("DF", df=True)
    add("TTL 2", ttl=2)
    add("TTL 255, DF", ttl=255, df=True)
    add("odd length", b"x" * 37)
    add_raw("without payload", wire.NO_NEXT_HEADER, b"")
    add("options", options=b"\1\1\1\0")
    add_raw("first fragment", wire.UDP, b"y" * 64, mf=True)
    add_raw("later fragment", wire.UDP, b"y" * 13, offset=64)
    add_raw("another protocol's", 132, b"z" * 20)
    for tos in (0x01, 0x02, 0x03, 0x10, 0x20, 0xb8, 0xb9, 0xba, 0xbb, 0xfe):
        add(f"DS 0x{tos:02x}", tos=tos)
    room = PATH_MTU - tunnel.overhead
    for size in (room - 1, room, room + 1, PATH_MTU):
        add(f"{size} bytes, DF", b"s" * (size - 28), df=True)
        add(f"{size} bytes" if size <= room else f"{size}: too many bytes", b"s" * (size - 28))
    return made


def packets_v6(tunnel):
    made = []

    def add(name, data=b"x" * 36, **fields):
        made.append((name, inner(tunnel, 6, len(made) + 1, data, **fields)))

    def add_raw(name, next_header, payload, **fields):
        made.append((name, wire.ipv6(LAN[6], tunnel.beyond(6), next_header, payload, label=len(made) + 1, **fields)))

    add("plain")
    add("hop limit 2", hop_limit=2)
    add("hop limit 255", hop_limit=255)
    add("odd length", b"x" * 37)
    add_raw("without payload", wire.NO_NEXT_HEADER, b"")
    add_raw("fragment", wire.FRAGMENT, bytes([wire.UDP, 0, 0, 1, 0, 0, 0, 9]) + b"y" * 64)
    for tclass in (0x01, 0x02, 0x03, 0x10, 0x20, 0xb8, 0xb9, 0xba, 0xbb, 0xfe):
        add(f"DS 0x{tclass:02x}", tclass=tclass)
    room = PATH_MTU - tunnel.overhead
    for size in (1280, 1281, room - 1, room, room + 1, PATH_MTU):
        add(f"{size} bytes", b"s" * (size - 48))
    # last: for those with a limit Linux takes eight bytes off what it believes of the inner route
    datagram = wire.udp(LAN[6], tunnel.beyond(6), b"limited")
    for limit in (0, 1, 5, 255):
        add_raw(f"encapsulation limit {limit}", wire.DESTINATION_OPTIONS,
                wire.destination_options(wire.UDP, wire.limit_option(limit)) + datagram)
    return made


# ---- What we mean to do otherwise ----

def marked(name, marks=(1, 2, 3)):
    """Whether the name of a packet tells of an inner ECN field with one of these values."""
    return name.startswith("DS 0x") and int(name[5:], 16) & 3 in marks


DIFFERENCES = [
    Difference("RFC 6040 4.1: congestion experienced is copied to the outer header; Linux follows RFC 3168 9.1.1 and "
               "writes ECT(0)", {"DS"},
               lambda tunnel, family, name: tunnel.outer == 4 and marked(name, (3,))),
    Difference("RFC 6040 4.1: the outer header copies the inner ECN field; Linux ip6_gre writes what `tclass` says",
               {"DS"}, lambda tunnel, family, name: tunnel.outer == 6 and marked(name)
               and "tclass inherit" not in tunnel.words),
    Difference("RFC 2473 7.2 (b): IPv4 without DF is sent in fragments of the outer packet; Linux ip6_gre tells its "
               "sender that fragmentation is needed, which he has not forbidden", {"fate"},
               lambda tunnel, family, name: tunnel.outer == 6 and family == 4 and name.endswith("too many bytes")),
    Difference("`inherit/VALUE` inherits wherever ip(8) takes it; Linux sit knows `inherit` alone and takes the other "
               "for a fixed value", {"DS"},
               lambda tunnel, family, name: tunnel.kind == "sit" and "inherit/" in tunnel.words),
    Difference("where there is no flow label to inherit each has its own hash", {"flow label"},
               lambda tunnel, family, name: tunnel.outer == 6 and
               ("flowlabel" not in tunnel.words or ("flowlabel inherit" in tunnel.words and family == 4))),
]


def compare(bench, tunnel, packets_of, seen, differences=DIFFERENCES):
    """Sends packets through both ends of a tunnel and compares their fates. Returns complaints; what is a Difference
    goes to the set `seen` instead."""
    complaints = []
    for family in tunnel.families:
        packets = packets_of[family](tunnel)
        found = bench.exchange(tunnel, [packet for _, packet in packets])
        ours, kernels = (fates(tunnel, found, side, family) for side in (1, 2))
        for number, (name, _) in enumerate(packets, 1):
            pair = ours.get(number, Fate()), kernels.get(number, Fate())
            names = differing(*pair)
            for difference in differences:
                if names and difference.applies(tunnel, family, name) and difference.fields & names:
                    seen.add(difference.reason)
                    names -= difference.fields
            if names:
                complaints.append(f"{tunnel}: IPv{family}: {name}: {', '.join(sorted(names))}\n"
                                  f"  ours:     {pair[0]}\n  kernel's: {pair[1]}")
        for side, whose in ((1, "our"), (2, "the kernel's")):
            fault = sequence_fault(tunnel, found, side)
            if fault:
                complaints.append(f"{tunnel}: {whose} {fault}")
    return complaints


# ---- Tunnels ----

def gre_tunnels():
    words = ["ttl 64" + " key 42" * key + " csum" * csum + " seq" * seq
             for key in (0, 1) for csum in (0, 1) for seq in (0, 1)]
    words += ["ttl 64 key 0", "ttl inherit", "ttl 1", "ttl 255 tos 0x10", "ttl 64 tos 0xb8", "ttl 64 tos inherit",
              "ttl 64 tos inherit/0x20", "ttl inherit tos inherit", "ttl inherit nopmtudisc",
              "ttl inherit nopmtudisc tos inherit key 7 csum"]
    return [Tunnel("gre", word) for word in words] + [
        Tunnel("gre", "ttl 64 ignore-df", "ttl 64 nopmtudisc ignore-df"),
        Tunnel("gre", "ttl inherit ignore-df", "ttl inherit nopmtudisc ignore-df")]


def sit_and_ipip_tunnels():
    words = ("ttl 64", "ttl inherit", "ttl 255 tos 0xb8", "ttl 64 tos inherit", "ttl 64 tos inherit/0x20",
             "ttl inherit nopmtudisc", "ttl inherit tos inherit")
    return [Tunnel(kind, word) for kind in ("sit", "ipip") for word in words]


def ip6gre_tunnels():
    return [Tunnel("ip6gre", word) for word in (
        "hoplimit 64", "hoplimit 255 encaplimit none", "encaplimit 0", "encaplimit 1", "encaplimit 255", "key 42",
        "csum", "seq", "key 42 csum", "key 42 seq", "csum seq", "key 42 csum seq encaplimit none", "tclass 0xb8",
        "tclass inherit", "flowlabel 0x12345", "flowlabel inherit", "encaplimit none flowlabel 0xfffff tclass inherit")]


TUNNELS = gre_tunnels() + sit_and_ipip_tunnels() + ip6gre_tunnels()
# Each side has its own words: the options of the two directions are not the same.
ASYMMETRIC = [Tunnel("gre", "ttl 64 ikey 7 okey 9", "ttl 64 ikey 9 okey 7"),
              Tunnel("gre", "ttl 64 icsum", "ttl 64 ocsum"), Tunnel("gre", "ttl 64 oseq", "ttl 64 iseq"),
              Tunnel("ip6gre", "ikey 7 okey 9", "ikey 9 okey 7")]


def check_devices(bench):
    """MTU and link-local address of new devices are the kernel's."""
    for tunnel in TUNNELS:  # where the directions differ, the two sides have different overheads
        ours, kernels = bench.first_mtu(tunnel, 1), bench.first_mtu(tunnel, 2)
        assert ours == kernels, f"{tunnel}: MTU {ours}, the kernel's has {kernels}"
    # Of tunnels over IPv6 they are random; ours of ipip, which cannot carry any, has none.
    made = [t for t in bench.tunnels if 6 in t.families and t.outer == 4]
    until(lambda: {t.device(1) for t in made} <= set(bench.link_locals(1)), what="link-local addresses")
    ours, kernels = bench.link_locals(1), bench.link_locals(2)
    for tunnel in made:
        assert ours[tunnel.device(1)] + 1 == kernels[tunnel.device(2)], f"{tunnel}: {ours} {kernels}"


def test_what_goes_into_a_tunnel_comes_out_as_from_the_kernels():
    with World() as world:
        bench = Bench(world, TUNNELS + ASYMMETRIC)
        check_devices(bench)
        bench.ping_all(20)
        bench.guest.sh("ethtool -K eth0 tx off")  # else a checksum is finished by nobody
        complaints, seen = [], set()
        for tunnel in TUNNELS:
            complaints += compare(bench, tunnel, {4: packets_v4, 6: packets_v6}, seen)
        print("\n".join(complaints))
        assert not complaints, f"{len(complaints)} packets fare otherwise than with the kernel"
        missing = [difference.reason for difference in DIFFERENCES if difference.reason not in seen]
        assert not missing, f"these differences do not occur: {missing}"


# ---- TCP ----

def check_tcp(megabytes):
    """TCP both ways through a tunnel of each kind, with the offloads of both kernels on."""
    with World() as world:
        tunnels = [Tunnel("gre"), Tunnel("gre", "ttl 64 key 1 csum seq"), Tunnel("sit"), Tunnel("ipip"), Tunnel("ip6gre"),
                   Tunnel("ip6gre", "csum encaplimit none")]
        bench = Bench(world, tunnels, device_mtu=None)
        server = bench.near.start("iperf3 -s -p 5201")
        until(lambda: ":5201" in bench.near.out("ss -Hltn"), what="iperf3 server")
        for tunnel in tunnels:
            for family in tunnel.families:
                for direction in ("", "-R"):
                    # iperf3 counts until the sender has written all: what its socket still holds then is not counted
                    report = json.loads(bench.guest.sh(
                        f"iperf3 -J -c {tunnel.inside(1, family)} -n {megabytes + 8}M {direction}", timeout=300))
                    received = report["end"]["sum_received"]
                    print(f"{tunnel}, IPv{family} {direction or 'up'}: {received['bits_per_second'] / 1e6:.0f} Mbit/s")
                    assert received["bytes"] >= megabytes << 20, (str(tunnel), direction, report["end"])
        server.terminate()


def test_tcp_passes_both_ways():
    check_tcp(2)


def test_twenty_megabytes_of_tcp_arrive_each_way():
    check_tcp(20)


def test_our_daemon_runs_on_the_older_kernel_and_meets_the_kernels_gre_there():
    # Linux 6.1 has no USO for TUN
    with World() as world:
        guest = Guest(world, world.host("near"), programs=[HATSD], memory_mb=768)
        guest.sh("""set -e
            modprobe tun; modprobe veth; modprobe ip_gre; modprobe ip6_gre
            ip netns add k; ip link add v0 type veth peer name v1 netns k
            ip address add 192.0.2.1/24 dev v0; ip address add 2001:db8::1/64 dev v0 nodad; ip link set v0 up
            ip -n k address add 192.0.2.2/24 dev v1; ip -n k address add 2001:db8::2/64 dev v1 nodad
            ip -n k link set v1 up; ip -n k link set lo up""")
        for backend in ("auto", "uring", "epoll"):
            # a new tunnel of the kernel's each time: its sequence numbers go on where ours would begin anew
            guest.sh(f"""set -e; export HATSD_IO={backend}
                ip -n k link add k4 type gre local 192.0.2.2 remote 192.0.2.1 ttl 64 key 42 csum seq
                ip -n k link add k6 type ip6gre local 2001:db8::2 remote 2001:db8::1
                for n in 4 6; do
                    ip -n k link set k$n up; ip -n k address add 10.61.$n.2/24 dev k$n
                    ip -n k address add fd61:$n::2/64 dev k$n nodad
                done
                hatsd-user tunnel add t4 mode gre local 192.0.2.1 remote 192.0.2.2 ttl 64 key 42 csum seq
                hatsd-user tunnel add t6 mode ip6gre local 2001:db8::1 remote 2001:db8::2
                for n in 4 6; do
                    ip link set t$n up; ip address add 10.61.$n.1/24 dev t$n; ip address add fd61:$n::1/64 dev t$n nodad
                    ping -c 3 -i 0.2 10.61.$n.2; ping -c 3 -i 0.2 fd61:$n::2
                done
                ping -c 1 -s 1436 10.61.4.2""")
            for address in ("10.61.4.2", "fd61:6::2"):
                for direction in ("", "-R"):
                    guest.sh(f"ip netns exec k iperf3 -s -1 -D; sleep 1; iperf3 -c {address} -n 5M {direction}",
                             timeout=300)
            guest.sh("set -e; hatsd-user down --all; ip -n k link del k4; ip -n k link del k6; "
                     "if ip link show t4; then exit 1; fi")


harness.main(globals())

#!/usr/bin/env python3
"""The guide's file, brought up on two hosts: traffic of both families inside and outside, sizes, counters."""
import base64
import json
import re
import time

import harness
from harness import HATSD, Keys, Pair, World, command, iperf, need, until, wg_quick_file


def test_the_guides_file_carries_ping_both_ways_over_ipv4():
    with World() as world:
        Pair(world).check_both_ways()


def test_the_guides_file_carries_ping_both_ways_over_ipv6():
    with World() as world:
        Pair(world, outer=6).check_both_ways()


def test_every_packet_size_up_to_the_mtu_passes_and_flood_pings_are_not_lost():
    with World() as world:
        pair = Pair(world)
        mtu = int(pair.left.out("cat /sys/class/net/wgl/mtu"))
        assert mtu == 1420, mtu
        for size in (0, 1, 15, 16, 17, 500, 1391, 1392):
            pair.left.ping("10.9.0.2", 1, size, options=("-M", "do"))
        done = pair.left.ping("10.9.0.2", 1, 1393, check=False, options=("-M", "do"))
        assert done.returncode != 0, "a packet over the MTU with DF must not pass"
        pair.left.run("ping -q -f -c 2000 10.9.0.2")
        pair.left.run("ping -q -f -c 2000 -s 1372 fd09::2")


def test_tcp_and_udp_pass_at_mtus_from_1280_to_34000():
    need("iperf3")
    for mtu, outer in ((1280, 4), (1420, 4), (9000, 4), (34000, 4), (1420, 6), (34000, 6)):
        with World() as world:
            pair = Pair(world, outer=outer, mtu=max(1500, min(mtu + 80, 65535)), interface_lines=f"Table = off\nMTU = {mtu}\n")
            assert pair.left.out("cat /sys/class/net/wgl/mtu") == str(mtu)
            for client, server, address in ((pair.left, pair.right, "10.9.0.2"), (pair.right, pair.left, "fd09::1")):
                rate, _ = iperf(client, server, address, 1)
                assert rate > 50e6, (mtu, outer, rate)
                _, report = iperf(client, server, address, 1, ["-u", "-b", "4M", "-l", str(min(mtu - 60, 8000))])
                assert report["end"]["sum"]["lost_percent"] < 20, report["end"]["sum"]


def test_many_streams_in_both_directions_at_once_all_progress():
    need("iperf3")
    with World() as world:
        pair = Pair(world)
        _, report = iperf(pair.left, pair.right, "10.9.0.2", 3, ["-P", "8", "--bidir"])
        for stream in report["end"]["streams"]:
            assert stream["receiver"]["bytes"] > 100_000, stream["receiver"]


def counters(host, name):
    line = host.out(["wg", "show", name, "transfer"])
    return tuple(int(word) for word in line.split()[1:])


def test_byte_counters_are_the_kernels():
    # The kernel's own test asserts these numbers: ten pings and a handshake, one end has the keepalive of the initiator.
    with World() as world:
        pair = Pair(world)
        pair.left.run("ping -c 10 -f -W 1 10.9.0.2")
        received, sent = counters(pair.left, "wgl")
        assert (received, sent) in ((1372, 1428), (1428, 1372), (1372, 1460), (1460, 1372)), (received, sent)
        assert counters(pair.right, "wgr") == (sent, received)
        text = pair.left.out("wg show wgl latest-handshakes")
        assert abs(time.time() - int(text.split()[1])) < 30, text


def test_a_1280_byte_path_does_not_black_hole_a_1420_byte_tunnel():
    need("iperf3")
    with World() as world:
        pair = Pair(world)
        for host in (pair.left, pair.right):
            host.run("ip link set eth0 mtu 1280")
        rate, _ = iperf(pair.left, pair.right, "10.9.0.2", 2)
        assert rate > 5e6, rate


def test_show_tells_what_the_path_to_a_peer_carries():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        shown = pair.left.hatsd("show", "wgl").stdout
        assert "path: 1500 bytes, as the kernel's route has it\n" in shown, shown
        # what a router has told the kernel about our datagrams counts, and so does a route of the operator's
        pair.left.run("ip route add 192.0.2.2/32 dev eth0 mtu 1400")
        shown = pair.left.hatsd("show", "wgl").stdout
        assert "path: 1400 bytes, as the kernel's route has it; packets above 1340 bytes travel in fragments" in shown, shown
        # and where the MTU no longer fits, one warning gives both numbers and the better value, as long as it is true

        def warnings():
            return json.loads(pair.left.out([HATSD, "show", "--json", "wgl"]))["interfaces"][0]["warnings"]
        wanted = "mtu 1420 needs 1480-byte packets on a 1400-byte path; 1340 avoids fragmentation"
        until(lambda: warnings() == [wanted], what="the narrower path is warned of")
        # what leaves in fragments is counted, and nothing else is
        pair.left.ping("10.9.0.2", count=3, size=1300 - 28)
        assert "sent in fragments" not in pair.left.hatsd("show", "wgl").stdout
        pair.left.ping("10.9.0.2", count=3, size=1420 - 28)
        shown = pair.left.hatsd("show", "wgl").stdout
        assert "  sent in fragments: 3 datagrams larger than the path\n" in shown, shown
        pair.left.run("ip route del 192.0.2.2/32 dev eth0")
        until(lambda: warnings() == [], what="the warning is taken back")


def narrow_world(world, outer):
    """left - router - right, the tunnel between left and right; the router's second link carries 1400 bytes."""
    left, router, right = world.host("left"), world.host("router"), world.host("right")
    world.wire(left, router, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.254/24", "2001:db8::fe/64"])
    world.wire(router, right, ["198.51.100.254/24", "2001:db8:1::fe/64"], ["198.51.100.1/24", "2001:db8:1::1/64"],
               left_name="eth1", mtu=1400)
    router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    for host, v4, v6 in ((left, "192.0.2.254", "2001:db8::fe"), (right, "198.51.100.254", "2001:db8:1::fe")):
        host.run(f"ip route add default via {v4}")
        host.run(f"ip -6 route add default via {v6}")
    ends = ("192.0.2.1", "198.51.100.1") if outer == 4 else ("[2001:db8::1]", "[2001:db8:1::1]")
    keys = Keys(), Keys()
    for host, name, mine, other, number in ((left, "wgl", 0, 1, 1), (right, "wgr", 1, 0, 2)):
        host.hatsd("up", world.file(f"{name}.conf", wg_quick_file(
            keys[mine], f"10.9.0.{number}/24, fd09::{number}/64", 51821, keys[other], f"{ends[other]}:51821")))
    left.ping("10.9.0.2")
    return left, right


def only_peer(host):
    return json.loads(host.out([HATSD, "show", "--json", "wgl"]))["interfaces"][0]["peers"][0]


def test_over_ipv6_what_a_router_says_of_the_path_makes_the_host_send_fragments_and_show_tells():
    need("iperf3")
    with World() as world:
        left, right = narrow_world(world, outer=6)
        assert only_peer(left)["path_mtu"] == 1500, only_peer(left)
        # The router drops what is too big and says so, once; from then on the host sends fragments. Senders in the
        # tunnel hear nothing, as with the kernel's.
        for address, headers in (("10.9.0.2", 28), ("fd09::2", 48)):
            done = left.ping(address, 5, 1420 - headers, interval=0.2, wait=1, check=False, options=("-M", "do"))
            received = int(re.search(r"(\d) received", done.stdout).group(1))
            assert received >= (4 if address == "10.9.0.2" else 5) and "mtu" not in done.stdout, done.stdout
        peer = only_peer(left)
        assert (peer["path_mtu"], peer["best_mtu"]) == (1400, 1320), peer
        shown = left.hatsd("show", "wgl").stdout
        assert "path: 1400 bytes, as the kernel's route has it; packets above 1320 bytes travel in fragments" in shown, shown
        wanted = "mtu 1420 needs 1500-byte packets on a 1400-byte path; 1320 avoids fragmentation"
        until(lambda: wanted in left.hatsd("show", "wgl").stdout, what="the narrower path is warned of")
        before = only_peer(left)["tx_fragmented"]
        left.ping("10.9.0.2", 3, 1420 - 28, options=("-M", "do"))
        assert only_peer(left)["tx_fragmented"] == before + 3, only_peer(left)
        rate, _ = iperf(left, right, "10.9.0.2", None, ["-n", "5M"])
        assert rate > 5e6, rate
        # With the better value nothing leaves in fragments any more.
        left.run("ip link set wgl mtu 1320")
        until(lambda: wanted not in left.hatsd("show", "wgl").stdout, what="the warning is taken back")
        before = only_peer(left)["tx_fragmented"]
        rate, _ = iperf(left, right, "10.9.0.2", None, ["-n", "5M"])
        assert rate > 5e6 and only_peer(left)["tx_fragmented"] == before, rate


def test_over_ipv4_routers_make_the_fragments_and_what_the_host_knows_of_the_path_counts():
    need("iperf3")
    with World() as world:
        left, right = narrow_world(world, outer=4)
        # Without DF no router has a reason to say anything, and nothing is lost, the first packet included.
        for address, headers in (("10.9.0.2", 28), ("fd09::2", 48)):
            left.ping(address, 3, 1420 - headers, options=("-M", "do"))
        peer = only_peer(left)
        assert (peer["path_mtu"], peer["best_mtu"], peer["tx_fragmented"]) == (1500, 1440, 0), peer
        rate, _ = iperf(left, right, "10.9.0.2", None, ["-n", "5M"])
        assert rate > 5e6, rate
        # Whoever else of this host sends with DF to the same place makes the kernel learn.
        left.ping("198.51.100.1", 1, 1450, check=False, wait=0.5, options=("-M", "do"))
        peer = only_peer(left)
        assert (peer["path_mtu"], peer["best_mtu"]) == (1400, 1340), peer
        wanted = "mtu 1420 needs 1480-byte packets on a 1400-byte path; 1340 avoids fragmentation"
        until(lambda: wanted in left.hatsd("show", "wgl").stdout, what="the narrower path is warned of")
        left.ping("10.9.0.2", 3, 1420 - 28, options=("-M", "do"))
        assert only_peer(left)["tx_fragmented"] == 3, only_peer(left)


def test_the_path_of_the_thousandth_peer_counts_as_much_as_the_firsts():
    with World() as world:
        pair = Pair(world, start=False)
        peers = "".join(f"\n[Peer]\nPublicKey = {base64.b64encode(number.to_bytes(32, 'little')).decode()}\n"
                        f"Endpoint = 192.0.2.{2 if number < 1001 else 99}:{number}\n" for number in range(2, 1002))
        with open(pair.left_file, "a") as file:
            file.write(peers)
        pair.left.hatsd("up", pair.left_file)
        shown = lambda: json.loads(pair.left.out([HATSD, "show", "--json", "wgl"]))["interfaces"][0]
        assert shown()["warnings"] == [], shown()["warnings"]
        pair.left.run("ip route add 192.0.2.99/32 dev eth0 mtu 1400")
        wanted = "mtu 1420 needs 1480-byte packets on a 1400-byte path; 1340 avoids fragmentation"
        until(lambda: shown()["warnings"] == [wanted], what="the narrower path is warned of")
        began = time.monotonic()
        assert [peer["path_mtu"] for peer in shown()["peers"]].count(1400) == 1
        assert time.monotonic() - began < 1, "show takes too long"


def test_show_tells_why_the_host_refuses_to_send():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        sent = lambda: int(pair.left.out("wg show wgl transfer").split()[2])
        before = sent()
        pair.left.run("ip route add prohibit 192.0.2.2/32")
        pair.left.ping("10.9.0.2", 1, check=False, wait=0.3)
        shown = pair.left.hatsd("show", "wgl").stdout
        assert "the host's network refused the datagram: 1, the last one for: Permission denied" in shown, shown
        assert sent() == before, "what was refused is not counted as sent, as the kernel's is not"


def test_nothing_is_left_after_down():
    with World() as world:
        pair = Pair(world)
        pair.left.hatsd("down", "wgl")
        assert "wgl" not in pair.left.out("ip link")
        assert not re.search(r"wgl", command("ls /run/wireguard /run/hatsd-user", check=False).stdout)
        until(lambda: ":51821" not in pair.left.out("ss -Hnul"), what="the port is free again")
        pair.left.hatsd("up", pair.left_file)
        pair.left.ping("10.9.0.2")


harness.main(globals())

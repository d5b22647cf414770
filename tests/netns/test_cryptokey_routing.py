#!/usr/bin/env python3
"""Cryptokey routing and the hosts around it: AllowedIPs, ICMP errors, loops, nesting, many peers (the kernel's netns.sh)."""
import base64
import re
import time

import harness
from harness import Keys, Pair, World, command, need, until, wg_quick_file


def test_a_more_specific_prefix_of_another_peer_takes_the_packets_and_the_source_is_checked():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        other = Keys()
        pair.left.run(["wg", "set", "wgl", "peer", other.public, "allowed-ips", "10.9.0.2/32"])
        # the route out belongs to the other peer now, and packets from 10.9.0.2 are not allowed from the first
        assert pair.left.ping("10.9.0.2", 1, wait=1, check=False).returncode != 0
        assert pair.right.ping("10.9.0.1", 1, wait=1, check=False).returncode != 0
        pair.left.ping("fd09::2", 1)
        pair.left.run(["wg", "set", "wgl", "peer", other.public, "remove"])
        pair.left.ping("10.9.0.2", 1)
        pair.right.ping("10.9.0.1", 1)


def test_a_changed_private_key_is_followed_by_an_immediate_handshake():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        fresh = Keys()
        key_file = world.file("fresh.key", fresh.private)
        pair.left.run(["wg", "set", "wgl", "private-key", key_file])
        pair.right.run(["wg", "set", "wgr", "peer", fresh.public, "allowed-ips", "0.0.0.0/0,::/0"])
        pair.right.run(["wg", "set", "wgr", "peer", pair.left_keys.public, "remove"])
        start = time.monotonic()
        pair.left.ping("10.9.0.2", 1, wait=3)
        assert time.monotonic() - start < 1, "the handshake after a key change waited"
        pair.right.ping("10.9.0.1", 1)


# The points of small order on Curve25519 and on its twist, and their non-canonical forms.
LOW_ORDER_POINTS = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")


def test_low_order_public_keys_are_accepted_and_never_answered():
    with World() as world:
        pair = Pair(world)
        low_order = [base64.b64encode(bytes.fromhex(point)).decode() for point in LOW_ORDER_POINTS]
        for key in low_order:
            pair.left.run(["wg", "set", "wgl", "peer", key, "persistent-keepalive", "1", "endpoint", "192.0.2.2:51822",
                           "allowed-ips", "10.66.0.0/16"])
        time.sleep(2.5)
        transfer = {line.split()[0]: int(line.split()[2]) for line in pair.left.out("wg show wgl transfer").splitlines()}
        for key in low_order:
            assert transfer.get(key, 0) == 0, (key, transfer)
        pair.check_both_ways(1)


def test_no_peer_for_a_packet_is_told_to_its_sender():
    with World() as world:
        pair = Pair(world)
        pair.left.run(["wg", "set", "wgl", "peer", pair.right_keys.public, "allowed-ips", "10.9.0.2/32,fd09::2/128"])
        pair.left.ping("10.9.0.2", 1)
        done = pair.left.ping("10.9.0.77", 1, wait=2, check=False)
        assert re.search(r"Destination Host Unreachable", done.stdout), done.stdout
        done = pair.left.ping("fd09::77", 1, wait=2, check=False)
        assert re.search(r"Address unreachable|Destination unreachable", done.stdout), done.stdout


def test_no_peer_for_a_forwarded_packet_is_told_to_the_host_behind_us():
    with World() as world:
        pair = Pair(world)
        behind = world.host("behind")
        world.wire(behind, pair.left, ["172.16.0.2/24", "fd16::2/64"], ["172.16.0.1/24", "fd16::1/64"], "eth0", "lan")
        behind.sh("ip route add default via 172.16.0.1; ip -6 route add default via fd16::1")
        pair.left.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        pair.left.run(["wg", "set", "wgl", "peer", pair.right_keys.public, "allowed-ips", "10.9.0.2/32,fd09::2/128"])
        done = behind.ping("10.9.0.77", 1, wait=2, check=False)
        assert re.search(r"Destination Host Unreachable", done.stdout), done.stdout
        done = behind.ping("fd09::77", 1, wait=2, check=False)
        assert re.search(r"Address unreachable|Destination unreachable", done.stdout), done.stdout


def test_no_peer_for_a_natted_packet_is_told_to_the_host_behind_us():
    need("nft")
    with World() as world:
        pair = Pair(world)
        behind = world.host("behind")
        world.wire(behind, pair.left, ["172.16.0.2/24"], ["172.16.0.1/24"], "eth0", "lan")
        behind.run("ip route add default via 172.16.0.1")
        pair.left.sh("""sysctl -qw net.ipv4.ip_forward=1
            nft add table ip nat; nft 'add chain ip nat post { type nat hook postrouting priority 100; }'
            nft add rule ip nat post oifname wgl masquerade""")
        pair.left.run(["wg", "set", "wgl", "peer", pair.right_keys.public, "allowed-ips", "10.9.0.2/32"])
        behind.ping("10.9.0.2", 1)
        done = behind.ping("10.9.0.77", 1, wait=2, check=False)
        assert re.search(r"Destination Host Unreachable", done.stdout), done.stdout


def test_a_tunnel_runs_inside_a_tunnel():
    with World() as world:
        pair = Pair(world)
        left, right = Keys(), Keys()
        pair.left.hatsd("up", world.file("inl.conf", wg_quick_file(left, "10.10.0.1/24", 6001, right, "10.9.0.2:6002")))
        pair.right.hatsd("up", world.file("inr.conf", wg_quick_file(right, "10.10.0.2/24", 6002, left, "10.9.0.1:6001")))
        mtu = int(pair.left.out("cat /sys/class/net/inl/mtu"))
        assert mtu == 1340, mtu
        pair.left.ping("10.10.0.2", 3)
        pair.left.ping("10.10.0.2", 2, size=mtu - 28, options=("-M", "do"))


def test_a_routing_loop_is_bounded():
    # The endpoint is routed into the tunnel itself: each packet would be wrapped again for ever.
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        before = int(pair.left.out("wg show wgl transfer").split()[2])
        pair.left.run("ip route add 192.0.2.2 dev wgl")
        pair.left.ping("10.9.0.2", 1, wait=1, check=False)
        pair.left.run("ping -q -c 2 -i 0.2 -W 1 10.9.0.2", check=False)
        time.sleep(2)
        first = int(pair.left.out("wg show wgl transfer").split()[2])
        time.sleep(3)
        second = int(pair.left.out("wg show wgl transfer").split()[2])
        assert second - first < 70_000, (before, first, second)
        pair.left.run("ip route del 192.0.2.2 dev wgl")
        pair.left.ping("10.9.0.2", 3, wait=6)


def test_forty_peers_with_fifty_two_prefixes_each_are_shown_as_they_were_set():
    with World() as world:
        pair = Pair(world)
        lines, expected = [], {}
        for number in range(40):
            key = Keys()
            prefixes = [f"10.{number}.{i}.0/24" for i in range(26)] + [f"fd00:{number + 1:x}:{i + 1:x}::/48" for i in range(26)]
            lines.append(f"[Peer]\nPublicKey = {key.public}\nAllowedIPs = {', '.join(prefixes)}\n")
            expected[key.public] = set(prefixes)
        conf = world.file("many.conf", f"[Interface]\nPrivateKey = {pair.left_keys.private}\n" + "\n".join(lines))
        pair.left.run(["wg", "setconf", "wgl", conf])
        shown = {}
        for line in pair.left.out("wg show wgl allowed-ips").splitlines():
            key, prefixes = line.split("\t")
            shown[key] = set(prefixes.split())
        assert shown == expected


def test_sixty_five_thousand_prefixes_are_set_and_shown():
    with World() as world:
        pair = Pair(world)
        key = Keys()
        prefixes = [f"{a}.{b}.{c}.0/24" for a in (11,) for b in range(256) for c in range(254)]
        conf = world.file("big.conf", f"[Interface]\nPrivateKey = {pair.left_keys.private}\n[Peer]\nPublicKey = {key.public}\n"
                          + "".join(f"AllowedIPs = {', '.join(prefixes[i:i + 100])}\n" for i in range(0, len(prefixes), 100)))
        start = time.monotonic()
        pair.left.run(["wg", "setconf", "wgl", conf])
        shown = pair.left.out("wg show wgl allowed-ips").split("\t")[1].split()
        assert len(prefixes) == 65024 and set(shown) == set(prefixes)
        assert time.monotonic() - start < 20


harness.main(globals())

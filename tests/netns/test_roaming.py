#!/usr/bin/env python3
"""Endpoints that move: roaming of both families, NAT, sources that vanish (formats.md 6.6; the kernel's netns.sh)."""
import json
import re
import time

import harness
from harness import HATSD, Keys, Pair, World, command, need, until, wg_quick_file


def endpoint(host, name):
    return host.out(["wg", "show", name, "endpoints"]).split()[1]


def test_a_peer_that_changes_its_ipv4_address_is_followed():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways()
        pair.left.sh("ip address add 192.0.2.101/24 dev eth0; ip address del 192.0.2.1/24 dev eth0")
        pair.left.ping("10.9.0.2", 2, wait=6)
        until(lambda: endpoint(pair.right, "wgr") == "192.0.2.101:51821", what="the new address")
        pair.right.ping("10.9.0.1")


def test_a_peer_that_changes_its_ipv6_address_is_followed():
    with World() as world:
        pair = Pair(world, outer=6)
        pair.check_both_ways()
        pair.left.sh("ip address add 2001:db8::101/64 dev eth0 nodad; ip address del 2001:db8::1/64 dev eth0")
        pair.left.ping("10.9.0.2", 2, wait=6)
        until(lambda: endpoint(pair.right, "wgr") == "[2001:db8::101]:51821", what="the new address")
        pair.right.ping("10.9.0.1")


def test_an_endpoint_moves_between_families():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways()
        pair.left.run(["wg", "set", "wgl", "peer", pair.right_keys.public, "endpoint", "[2001:db8::2]:51822"])
        pair.left.ping("10.9.0.2", 2)
        until(lambda: endpoint(pair.right, "wgr") == "[2001:db8::1]:51821", what="the peer follows to IPv6")
        pair.right.ping("10.9.0.1")
        pair.left.run(["wg", "set", "wgl", "peer", pair.right_keys.public, "endpoint", "192.0.2.2:51822"])
        pair.left.ping("10.9.0.2", 2)
        until(lambda: endpoint(pair.right, "wgr") == "192.0.2.1:51821", what="the peer follows to IPv4")


def test_an_endpoint_whose_name_has_no_address_yet_is_looked_up_until_it_has():
    with World() as world:
        pair = Pair(world, start=False)
        pair.right.hatsd("up", pair.right_file)
        hosts = world.file("hosts", "127.0.0.1 localhost\n", mode=0o644)
        command(f"mount --bind {hosts} /etc/hosts")
        try:
            pair.left.hatsd("up", world.file("wgl.conf", wg_quick_file(
                pair.left_keys, "10.9.0.1/24", 51821, pair.right_keys, "later.invalid:51822",
                interface_lines="Table = off\nMTU = 1468\n")))

            def shown():
                return json.loads(pair.left.out([HATSD, "show", "--json", "wgl"]))["interfaces"][0]
            assert shown()["peers"][0]["waiting"]["name"] == "later.invalid:51822", shown()
            text = pair.left.out([HATSD, "show", "wgl"])
            assert re.search(r"^  endpoint: waiting for later\.invalid:51822: \S.*$", text, re.MULTILINE), text
            assert "path:" not in text, text
            assert shown()["warnings"] == [], shown()
            with open(hosts, "a") as text:
                text.write("192.0.2.2 later.invalid\n")
            until(lambda: "waiting" not in shown()["peers"][0], 30, what="the name is found")
            text = pair.left.out([HATSD, "show", "wgl"])
            assert "  endpoint: 192.0.2.2:51822" in text and "waiting" not in text, text
            assert "  path: 1500 bytes, as the kernel's route has it; packets above 1440 bytes travel in fragments\n" in text, text
            pair.left.ping("10.9.0.2")
            # now that the path is known, it is told that the file's MTU does not fit it
            assert shown()["warnings"] == [
                "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation"], shown()
        finally:
            command("umount /etc/hosts")



def test_a_name_that_is_gone_from_the_file_is_sought_no_more():
    with World() as world:
        pair = Pair(world, start=False)
        pair.left.hatsd("up", pair.left_file)

        def reloaded(endpoint):
            with open(pair.left_file) as file:
                text = re.sub("Endpoint *=.*\n", "", file.read())
            with open(pair.left_file, "w") as file:
                file.write(text + endpoint)
            pair.left.hatsd("reload", "wgl")
            return json.loads(pair.left.out([HATSD, "show", "--json", "wgl"]))["interfaces"][0]["peers"][0]
        assert reloaded("Endpoint = gone.invalid:51822\n")["waiting"]["name"] == "gone.invalid:51822"
        assert "waiting" not in reloaded("")

def test_a_changed_listen_port_is_followed():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways()
        pair.left.run("wg set wgl listen-port 40000")
        pair.left.ping("10.9.0.2", 2)
        until(lambda: endpoint(pair.right, "wgr") == "192.0.2.1:40000", what="the new port")
        pair.right.ping("10.9.0.1")


def test_replies_leave_from_the_address_that_was_reached():
    with World() as world:
        pair = Pair(world)
        pair.left.sh("ip address add 192.0.2.50/32 dev lo")
        pair.right.sh("ip route add 192.0.2.50 via 192.0.2.1")
        pair.right.run(["wg", "set", "wgr", "peer", pair.left_keys.public, "endpoint", "192.0.2.50:51821"])
        pair.right.ping("10.9.0.1", 3)
        # a reply from another address would have moved the endpoint
        assert endpoint(pair.right, "wgr") == "192.0.2.50:51821"


def test_a_source_address_that_vanishes_and_returns_costs_no_packet():
    with World() as world:
        pair = Pair(world)
        pair.left.sh("ip address add 192.0.2.99/24 dev eth0")
        pair.right.run(["wg", "set", "wgr", "peer", pair.left_keys.public, "endpoint", "192.0.2.99:51821"])
        pair.right.ping("10.9.0.1", 2)
        assert endpoint(pair.right, "wgr") == "192.0.2.99:51821"
        for _ in range(3):
            pair.left.sh("ip address del 192.0.2.99/24 dev eth0")
            pair.left.ping("10.9.0.2", 1)  # the very next packet, from the dead source, must arrive
            until(lambda: endpoint(pair.right, "wgr") == "192.0.2.1:51821", what="the other source")
            pair.left.sh("ip address add 192.0.2.99/24 dev eth0")
            pair.right.run(["wg", "set", "wgr", "peer", pair.left_keys.public, "endpoint", "192.0.2.99:51821"])
            pair.right.ping("10.9.0.1", 1)


def test_a_better_route_over_another_link_is_taken():
    with World() as world:
        pair = Pair(world)
        world.wire(pair.left, pair.right, ["198.51.100.1/24"], ["198.51.100.2/24"], "eth1", "eth1")
        pair.check_both_ways(1)
        # a host route over the second link: the source must be that link's address from now on
        pair.left.run("ip route add 192.0.2.2 via 198.51.100.2 dev eth1")
        pair.right.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0")
        until(lambda: pair.left.ping("10.9.0.2", 1, check=False).returncode == 0
              and endpoint(pair.right, "wgr") == "198.51.100.1:51821", 15, "the source of the better route")


def test_a_nat_with_a_two_second_conntrack_timeout_is_held_open_by_keepalives():
    need("nft", "conntrack")
    with World() as world:
        inside, router, outside = world.host("inside"), world.host("router"), world.host("outside")
        world.wire(inside, router, ["192.168.1.100/24"], ["192.168.1.1/24"], "eth0", "inner")
        world.wire(router, outside, ["203.0.113.1/24"], ["203.0.113.2/24"], "outer", "eth0")
        inside.run("ip route add default via 192.168.1.1")
        router.sh("""sysctl -qw net.ipv4.ip_forward=1
            nft add table ip nat; nft 'add chain ip nat post { type nat hook postrouting priority 100; }'
            nft add rule ip nat post oifname outer masquerade
            sysctl -qw net.netfilter.nf_conntrack_udp_timeout=2 net.netfilter.nf_conntrack_udp_timeout_stream=2""")
        inside_keys, outside_keys = Keys(), Keys()
        outside.hatsd("up", world.file("wgo.conf", wg_quick_file(outside_keys, "10.9.0.2/24", 2, inside_keys)))
        inside.hatsd("up", world.file("wgi.conf", wg_quick_file(
            inside_keys, "10.9.0.1/24", 1, outside_keys, "203.0.113.2:2", keepalive=1)))
        inside.ping("10.9.0.2")
        time.sleep(5)
        outside.ping("10.9.0.1", 1)
        assert endpoint(outside, "wgo").startswith("203.0.113.1:")
        # the NAT gives us another port: the outside follows
        router.run("conntrack -F")
        inside.run(["wg", "set", "wgi", "listen-port", "3"])
        inside.ping("10.9.0.2")
        outside.ping("10.9.0.1")
        # without keepalives the hole closes
        inside.run(["wg", "set", "wgi", "peer", outside_keys.public, "persistent-keepalive", "0"])
        time.sleep(4)
        assert outside.ping("10.9.0.1", 1, wait=1, check=False).returncode != 0, "the NAT did not forget: no proof"


harness.main(globals())

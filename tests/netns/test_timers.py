#!/usr/bin/env python3
"""What only time shows, on real clocks (WG 6): each test waits long and does little, so ctest runs them side by side."""
import time

import harness
from harness import Pair, World, until


def handshake(host, name):
    return int(host.out(["wg", "show", name, "latest-handshakes"]).split()[1])


def transfer(host, name):
    return tuple(int(word) for word in host.out(["wg", "show", name, "transfer"]).split()[1:])


def test_a_session_in_use_is_renewed_every_two_minutes_without_loss():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2", 1)
        first = handshake(pair.left, "wgl")
        lost = pair.left.run("ping -q -i 0.2 -w 250 10.9.0.2", timeout=300).stdout
        assert " 0% packet loss" in lost, lost
        age = handshake(pair.left, "wgl") - first
        assert 235 <= age <= 250, f"two renewals after 120 s each were expected, the last was after {age} s"


def test_idle_peers_fall_silent():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2", 2)
        time.sleep(12)  # the passive keepalive after 10 s is the last packet
        before = transfer(pair.left, "wgl")
        time.sleep(150)
        assert transfer(pair.left, "wgl") == before, "idle peers kept talking"


def test_a_passive_keepalive_follows_ten_seconds_after_unanswered_data():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2", 1)
        time.sleep(11)
        before = transfer(pair.right, "wgr")
        # a packet that nobody answers: UDP to a closed port would draw ICMP, so drop it on the way in
        pair.right.sh("nft add table inet t; nft 'add chain inet t i { type filter hook input priority 0; }'; "
                      "nft add rule inet t i iifname wgr udp dport 9 drop")
        pair.left.sh("echo x >/dev/udp/10.9.0.2/9")
        time.sleep(8)
        assert transfer(pair.right, "wgr")[1] == before[1], "a keepalive before 10 s"
        time.sleep(4)
        assert transfer(pair.right, "wgr")[1] == before[1] + 32, "no keepalive after 10 s"


def test_a_persistent_keepalive_is_sent_at_its_interval():
    with World() as world:
        pair = Pair(world, keepalive=3)
        until(lambda: handshake(pair.left, "wgl") > 0, 5, "the keepalive begins the handshake")
        time.sleep(1)
        before = transfer(pair.left, "wgl")
        time.sleep(30)
        packets = (sum(transfer(pair.left, "wgl")) - sum(before)) / 32
        assert 8 <= packets <= 22, f"{packets} keepalives in 30 s at an interval of 3 s on both sides"


def test_an_unanswered_handshake_is_retried_every_five_seconds():
    with World() as world:
        pair = Pair(world, start=False)
        pair.left.hatsd("up", pair.left_file)
        pair.left.ping("10.9.0.2", 1, wait=1, check=False)
        time.sleep(22)
        sent = transfer(pair.left, "wgl")[1] / 148
        assert 4 <= sent <= 6, f"{sent} initiations in 23 s"
        # the other side comes up: the staged packet is not lost
        pair.right.hatsd("up", pair.right_file)
        until(lambda: handshake(pair.left, "wgl") > 0, 8, "the next retry succeeds")


harness.main(globals())

#!/usr/bin/env python3
"""hatsd-user against another userspace implementation: HATSD_PEER names it (see peers.py)."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402
import harness  # noqa: E402
from harness import Keys, World, command, iperf, until, wg_quick_file  # noqa: E402

PEER = os.environ.get("HATSD_PEER", "wireguard-go")


class Sides:
    """Our daemon (wgu) on host `near`, the peer's (wgp) on host `far`."""

    def __init__(self, world, psk=None):
        self.world = world
        self.near, self.far = world.host("near"), world.host("far")
        world.wire(self.near, self.far, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
        self.near_keys, self.far_keys = Keys(), Keys()
        psk_line = f"PresharedKey = {psk}\n" if psk else ""
        self.far_conf = world.file("far.conf", f"[Interface]\nPrivateKey = {self.far_keys.private}\nListenPort = 51822\n"
                                   f"[Peer]\nPublicKey = {self.near_keys.public}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
                                   f"Endpoint = 192.0.2.1:51821\n{psk_line}")
        self.near_conf = world.file("wgu.conf", wg_quick_file(
            self.near_keys, "10.9.0.1/24, fd09::1/64", 51821, self.far_keys, "192.0.2.2:51822", peer_lines=psk_line))
        self.start_far()
        self.near.hatsd("up", self.near_conf)

    def start_far(self):
        words, env = peers.program(PEER)
        self.process = self.far.start([*words, "wgp"], env=env, log=self.world.path("peer.log"))
        until(lambda: os.path.exists("/run/wireguard/wgp.sock"), what=f"{PEER} listens")
        time.sleep(0.2)
        self.far.run(["wg", "setconf", "wgp", self.far_conf])
        self.far.sh("ip address add 10.9.0.2/24 dev wgp; ip address add fd09::2/64 dev wgp; ip link set wgp mtu 1420 up")

    def stop_far(self):
        self.process.terminate()
        self.process.wait(10)
        until(lambda: "wgp" not in self.far.out("ip -br link"), what="the peer's interface is gone")
        if os.path.exists("/run/wireguard/wgp.sock"):
            os.remove("/run/wireguard/wgp.sock")

    def handshake_time(self):
        return int(self.near.out("wg show wgu latest-handshakes").split()[1])


def test_packets_of_both_families_pass_whoever_starts():
    with World() as world:
        sides = Sides(world)
        sides.near.ping("10.9.0.2")
        sides.near.ping("fd09::2")
        sides.near.hatsd("down", "wgu")
        sides.stop_far()
        sides.near.hatsd("up", sides.near_conf)
        sides.start_far()
        sides.far.ping("10.9.0.1")
        sides.far.ping("fd09::1")


def test_a_preshared_key_is_used():
    with World() as world:
        sides = Sides(world, psk=command("wg genpsk").stdout.strip())
        sides.near.ping("10.9.0.2")
        sides.far.ping("fd09::1")


def test_tcp_and_udp_pass_both_ways():
    with World() as world:
        sides = Sides(world)
        for client, server, address in ((sides.near, sides.far, "10.9.0.2"), (sides.far, sides.near, "fd09::1")):
            rate, _ = iperf(client, server, address, 2)
            assert rate > 1e6, rate
        _, report = iperf(sides.near, sides.far, "10.9.0.2", 1, ["-u", "-b", "4M", "-l", "1372"])
        assert report["end"]["sum"]["lost_percent"] < 20, report["end"]["sum"]


def test_both_roam():
    with World() as world:
        sides = Sides(world)
        sides.near.ping("10.9.0.2")
        sides.near.sh("ip address add 192.0.2.11/24 dev eth0; ip address del 192.0.2.1/24 dev eth0")
        sides.near.ping("10.9.0.2", 3, wait=6)
        if PEER == "boringtun":
            return  # its sockets are connected: it cannot move
        # The peer moves by its port: wireguard-go loses its next packets when its own address vanishes.
        sides.far.run("wg set wgp listen-port 51833")
        sides.far.ping("10.9.0.1", 3, wait=6)
        until(lambda: ":51833" in sides.near.out("wg show wgu endpoints"), what="we follow the peer")


def test_sessions_are_renewed_without_loss():
    with World() as world:
        sides = Sides(world)
        sides.near.ping("10.9.0.2")
        first = sides.handshake_time()
        lost = sides.near.run("ping -q -i 0.5 -w 130 10.9.0.2", timeout=200).stdout
        assert " 0% packet loss" in lost, lost
        assert 110 <= sides.handshake_time() - first <= 130, (first, sides.handshake_time())


harness.main(globals())

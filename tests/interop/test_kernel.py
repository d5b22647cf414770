#!/usr/bin/env python3
"""hatsd-user against the Linux kernel's own wireguard module."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import Guest  # noqa: E402
import harness  # noqa: E402
from harness import HATSD, Keys, World, command, until, wg_quick_file  # noqa: E402


class KernelPeer:
    """Our daemon on host `near`, the kernel's wireguard in the guest: wg0 there, wgk here."""

    def __init__(self, world, psk=None, start=True):
        self.near = world.host("near")
        self.guest = Guest(world, self.near)
        self.near.run("ip address add 192.0.2.1/24 dev tap0")
        self.near.run("ip address add 2001:db8::1/64 dev tap0 nodad")
        self.near_keys, self.guest_keys = Keys(), Keys()
        psk_line = f"PresharedKey = {psk}\n" if psk else ""
        self.guest.file("/tmp/wg0.conf", f"[Interface]\nPrivateKey = {self.guest_keys.private}\nListenPort = 51822\n"
                        f"[Peer]\nPublicKey = {self.near_keys.public}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
                        f"Endpoint = 192.0.2.1:51821\n{psk_line}")
        self.guest.sh("""set -e
            ip address add 192.0.2.2/24 dev eth0; ip address add 2001:db8::2/64 dev eth0 nodad; ip link set eth0 up
            modprobe wireguard; ip link add wg0 type wireguard; wg setconf wg0 /tmp/wg0.conf
            ip address add 10.9.0.2/24 dev wg0; ip address add fd09::2/64 dev wg0; ip link set wg0 up""")
        self.file = world.file("wgk.conf", wg_quick_file(
            self.near_keys, "10.9.0.1/24, fd09::1/64", 51821, self.guest_keys, "192.0.2.2:51822",
            peer_lines=psk_line))
        if start:
            self.near.hatsd("up", self.file)


    def handshake_time(self):
        return int(self.near.out("wg show wgk latest-handshakes").split()[1])

    def restart_guest(self):
        """A kernel device without sessions, as after a reboot of the peer."""
        self.guest.sh("""set -e
            ip link del wg0; ip link add wg0 type wireguard; wg setconf wg0 /tmp/wg0.conf
            ip address add 10.9.0.2/24 dev wg0; ip address add fd09::2/64 dev wg0; ip link set wg0 up""")


def test_the_kernel_and_we_exchange_packets_of_both_families_whoever_starts():
    with World() as world:
        peer = KernelPeer(world)
        peer.near.ping("10.9.0.2")
        peer.near.ping("fd09::2")
        peer.near.hatsd("down", "wgk")
        peer.near.hatsd("up", peer.file)
        peer.restart_guest()
        peer.guest.sh("ping -c 3 10.9.0.1 && ping -c 3 fd09::1")
        # over IPv6 outside, by changing the endpoint on a live tunnel
        peer.near.run(f"wg set wgk peer {peer.guest_keys.public} endpoint [2001:db8::2]:51822")
        peer.near.ping("10.9.0.2")
        endpoint = peer.guest.sh("wg show wg0 endpoints").split()[1]
        assert endpoint == "[2001:db8::1]:51821", endpoint
        # each size from nothing to the MTU, both ways
        for size in (0, 1, 15, 16, 17, 700, 1391, 1392):
            peer.near.ping("10.9.0.2", 1, size)
            peer.guest.sh(f"ping -c 1 -s {size} 10.9.0.1")


def test_a_preshared_key_must_be_the_same_on_both_sides():
    with World() as world:
        peer = KernelPeer(world, psk=command("wg genpsk").stdout.strip())
        peer.near.ping("10.9.0.2")
        wrong = world.file("wrong.psk", command("wg genpsk").stdout)
        peer.near.run(f"wg set wgk peer {peer.guest_keys.public} preshared-key {wrong}")
        peer.near.hatsd("down", "wgk")
        peer.near.hatsd("up", peer.file)
        peer.near.run(f"wg set wgk peer {peer.guest_keys.public} preshared-key {wrong}")
        peer.near.ping("10.9.0.2", 2, check=False)
        assert peer.handshake_time() == 0, "a handshake succeeded with different preshared keys"


def test_both_roam_to_where_authenticated_packets_come_from():
    with World() as world:
        peer = KernelPeer(world)
        peer.near.ping("10.9.0.2")
        # our host changes its address: the kernel follows our next packet
        peer.near.sh("ip address add 192.0.2.11/24 dev tap0; ip address del 192.0.2.1/24 dev tap0")
        peer.near.ping("10.9.0.2", 3, wait=6)
        until(lambda: "192.0.2.11:51821" in peer.guest.sh("wg show wg0 endpoints"), what="the kernel follows us")
        # the guest changes its address: we follow the kernel's next packet
        peer.guest.sh("ip address add 192.0.2.22/24 dev eth0; ip address del 192.0.2.2/24 dev eth0; ping -c 3 10.9.0.1")
        until(lambda: "192.0.2.22:51822" in peer.near.out("wg show wgk endpoints"), what="we follow the kernel")


def test_a_persistent_keepalive_holds_the_session_and_both_count_the_same_bytes():
    with World() as world:
        peer = KernelPeer(world)
        peer.near.run(f"wg set wgk peer {peer.guest_keys.public} persistent-keepalive 1")
        until(lambda: peer.handshake_time() > 0, what="the keepalive begins a handshake")
        time.sleep(4)
        peer.near.run(f"wg set wgk peer {peer.guest_keys.public} persistent-keepalive 0")
        time.sleep(0.5)
        ours = [int(word) for word in peer.near.out("wg show wgk transfer").split()[1:]]
        kernels = [int(word) for word in peer.guest.sh("wg show wg0 transfer").split()[1:]]
        assert ours == kernels[::-1], (ours, kernels)
        assert ours[1] >= 148 + 3 * 32, ours


def test_sessions_are_renewed_at_120_seconds_whoever_began_them():
    with World() as world:
        for starts in ("near", "guest"):
            peer = KernelPeer(world) if starts == "near" else peer
            if starts == "near":
                peer.near.ping("10.9.0.2")
            else:
                peer.near.hatsd("down", "wgk")
                peer.restart_guest()
                peer.near.hatsd("up", peer.file)
                peer.guest.sh("ping -c 1 10.9.0.1")
            first = peer.handshake_time()
            lost = peer.near.run("ping -q -i 0.5 -w 130 10.9.0.2", timeout=200).stdout
            assert " 0% packet loss" in lost, lost
            assert 115 <= peer.handshake_time() - first <= 130, (starts, first, peer.handshake_time())


def test_twenty_megabytes_of_tcp_arrive_each_way():
    with World() as world:
        peer = KernelPeer(world)
        server = peer.near.start("iperf3 -s -p 5201")
        until(lambda: ":5201" in peer.near.out("ss -Hltn"), what="iperf3 server")
        for direction in ("", "-R"):
            # iperf3 counts until the sender has written all: what its socket still holds then is not counted
            report = json.loads(peer.guest.sh(f"iperf3 -J -c 10.9.0.1 -n 28M {direction}", timeout=240))
            assert report["end"]["sum_received"]["bytes"] >= 20 * 1024 * 1024, report["end"]
        server.terminate()


def test_our_daemon_runs_on_the_older_kernel_and_meets_the_kernels_module_there():
    # Linux 6.1 has no USO for TUN and keeps registered files: the fallbacks meet a kernel that really lacks them.
    with World() as world:
        near = world.host("near")
        guest = Guest(world, near, programs=[HATSD], memory_mb=768)
        keys = {name: Keys() for name in ("ours", "kernel")}
        guest.file("/tmp/wgo.conf", wg_quick_file(keys["ours"], "10.9.0.1/24, fd09::1/64", 51821, keys["kernel"],
                                                  "192.0.2.2:51822"))
        guest.file("/tmp/wg0.conf", f"[Interface]\nPrivateKey = {keys['kernel'].private}\nListenPort = 51822\n[Peer]\n"
                   f"PublicKey = {keys['ours'].public}\nAllowedIPs = 0.0.0.0/0, ::/0\n")
        guest.sh("""set -e
            modprobe tun; modprobe veth; modprobe wireguard
            ip netns add k; ip link add v0 type veth peer name v1 netns k
            ip address add 192.0.2.1/24 dev v0; ip link set v0 up; ip -n k address add 192.0.2.2/24 dev v1; ip -n k link set v1 up
            ip -n k link set lo up; ip -n k link add wg0 type wireguard; ip netns exec k wg setconf wg0 /tmp/wg0.conf
            ip -n k address add 10.9.0.2/24 dev wg0; ip -n k address add fd09::2/64 dev wg0; ip -n k link set wg0 up""")
        for backend in ("auto", "uring", "epoll"):
            guest.sh(f"HATSD_IO={backend} hatsd-user up /tmp/wgo.conf")
            guest.sh("ping -c 3 10.9.0.2 && ping -c 3 fd09::2 && ping -c 1 -s 1392 10.9.0.2")
            guest.sh("ip netns exec k iperf3 -s -1 -D; sleep 1; iperf3 -c 10.9.0.2 -n 10M", timeout=240)
            guest.sh("ip netns exec k iperf3 -s -1 -D; sleep 1; iperf3 -c 10.9.0.2 -n 10M -R", timeout=240)
            print(guest.sh("hatsd-user show"))
            guest.sh("hatsd-user down wgo && ! ip link show wgo")


harness.main(globals())

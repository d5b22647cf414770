#!/usr/bin/env python3
"""Stock wg-quick with our program as its userspace implementation, and our own up and down beside it."""
import os

import harness
from harness import HATSD, Keys, World, need, until, wg_quick_file

ENV = {"WG_QUICK_USERSPACE_IMPLEMENTATION": HATSD}


def quick(host, *words, **options):
    need("wg-quick")
    return host.run(["wg-quick", *words], env=dict(ENV, PATH="/usr/sbin:/usr/bin:/sbin:/bin"), **options)


class Sides:
    def __init__(self, world, interface_lines="Table = off\n", allowed="0.0.0.0/0, ::/0"):
        self.left, self.right = world.host("left"), world.host("right")
        world.wire(self.left, self.right, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
        left, right = Keys(), Keys()
        self.left_file = world.file("wgl.conf", wg_quick_file(left, "10.9.0.1/24, fd09::1/64", 51821, right,
                                                              "192.0.2.2:51822", allowed, None, interface_lines))
        self.right_file = world.file("wgr.conf", wg_quick_file(right, "10.9.0.2/24, fd09::2/64", 51822, left))
        self.right.hatsd("up", self.right_file)


def test_stock_wg_quick_brings_us_up_and_down():
    with World() as world:
        sides = Sides(world)
        quick(sides.left, "up", sides.left_file)
        sides.left.ping("10.9.0.2")
        sides.left.ping("fd09::2")
        assert sides.left.out("cat /sys/class/net/wgl/mtu") == "1420"
        quick(sides.left, "down", sides.left_file)
        assert "wgl" not in sides.left.out("ip -br link")
        until(lambda: not os.path.exists("/run/wireguard/wgl.sock"), what="the socket is gone")


def test_stock_wg_quick_policy_routing_works_over_us():
    with World() as world:
        sides = Sides(world, interface_lines="")
        sides.right.sh("ip address add 198.51.100.1/32 dev lo")
        quick(sides.left, "up", sides.left_file)
        sides.left.ping("198.51.100.1")
        sides.left.run("ping -q -f -c 200 198.51.100.1")
        assert "suppress_prefixlength 0" in sides.left.out("ip rule")
        quick(sides.left, "down", sides.left_file)
        assert "suppress" not in sides.left.out("ip rule")


def test_our_own_policy_routing_carries_everything_and_leaves_nothing():
    with World() as world:
        sides = Sides(world, interface_lines="")
        sides.right.sh("ip address add 198.51.100.1/32 dev lo")

        def state():
            # the kernel's own IPv6 routes and link-local addresses come a moment after a link is up
            own = "/multicast/d; /table local/d; s/fe80::[^ ]*//; /^fe80/d; s/expires [0-9]*sec//"
            return "".join(sides.left.sh(f"{line} | sed '{own}'").stdout for line in (
                "ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all", "ip -br address",
                "nft list ruleset"))
        before = state()
        sides.left.hatsd("up", sides.left_file)
        sides.left.ping("198.51.100.1")
        sides.left.run("ping -q -f -c 200 198.51.100.1")
        assert "suppress_prefixlength 0" in sides.left.out("ip rule")
        assert sides.left.out("wg show wgl fwmark") == "0xca6c"
        sides.left.hatsd("down", "wgl")
        assert state() == before, f"{before}\n--- after\n{state()}"


def test_routes_are_made_for_allowed_ips_and_not_with_table_off():
    with World() as world:
        sides = Sides(world, interface_lines="", allowed="10.50.0.0/16, fd50::/32, 10.9.0.2/32")
        sides.left.hatsd("up", sides.left_file)
        assert "10.50.0.0/16" in sides.left.out("ip route show dev wgl")
        assert "fd50::/32" in sides.left.out("ip -6 route show dev wgl")
        assert "10.9.0.2 " not in sides.left.out("ip route show dev wgl"), "covered by the interface's own prefix"


def test_a_table_number_takes_every_route_and_no_rule():
    with World() as world:
        sides = Sides(world, interface_lines="Table = 1234\n", allowed="0.0.0.0/0, 10.50.0.0/16")
        sides.left.hatsd("up", sides.left_file)
        table = sides.left.out("ip route show table 1234")
        assert "default dev wgl" in table and "10.50.0.0/16 dev wgl" in table, table
        assert "1234" not in sides.left.out("ip rule")


def test_hooks_run_in_order_with_the_interfaces_name():
    with World() as world:
        log = world.path("hooks")
        lines = "Table = off\n" + "".join(
            f"{hook} = echo {hook} {number} %i \"$(cat /sys/class/net/%i/operstate 2>/dev/null || echo gone)\" >>{log} # kept\n"
            for hook in ("PreUp", "PostUp", "PreDown", "PostDown") for number in (1, 2))
        lines += "PostUp = wg set %i fwmark 77\n"
        sides = Sides(world, interface_lines=lines)
        sides.left.hatsd("up", sides.left_file)
        assert sides.left.out("wg show wgl fwmark") == "0x4d"
        sides.left.hatsd("down", "wgl")
        with open(log) as text:
            words = [line.split() for line in text.read().splitlines()]
        assert [line[:3] for line in words] == [[hook, number, "wgl"] for hook in ("PreUp", "PostUp", "PreDown", "PostDown")
                                                for number in ("1", "2")], words
        assert [line[3] for line in words] == ["down"] * 2 + ["unknown"] * 4 + ["gone"] * 2, words


def test_what_a_preup_hook_has_set_on_the_device_stays_as_with_wg_addconf():
    with World() as world:
        more = Keys()
        sides = Sides(world, interface_lines=f"Table = off\nPreUp = wg set %i peer {more.public} allowed-ips 10.77.0.0/16\n",
                      allowed="10.9.0.0/24")
        sides.left.hatsd("up", sides.left_file)
        shown = sides.left.out("wg show wgl allowed-ips")
        assert f"{more.public}\t10.77.0.0/16" in shown and "10.9.0.0/24" in shown, shown


def test_a_failing_hook_names_its_line_and_leaves_nothing():
    with World() as world:
        sides = Sides(world, interface_lines="Table = off\nPostUp = exit 3\n")
        done = sides.left.hatsd("up", sides.left_file, check=False)
        line = open(sides.left_file).read().splitlines().index("PostUp = exit 3") + 1
        assert done.returncode == 1 and f"wgl.conf:{line}: PostUp:" in done.stderr, done.stderr
        assert "wgl" not in sides.left.out("ip -br link")


def test_saveconfig_writes_the_live_state_when_it_goes_down():
    with World() as world:
        sides = Sides(world, interface_lines="Table = off\nSaveConfig = true\n")
        sides.left.hatsd("up", sides.left_file)
        more = Keys()
        sides.left.run(["wg", "set", "wgl", "listen-port", "61000", "peer", more.public, "allowed-ips", "10.77.0.0/16"])
        sides.left.hatsd("down", "wgl")
        text = open(sides.left_file).read()
        assert "ListenPort = 61000" in text and more.public in text and "10.77.0.0/16" in text, text
        assert "SaveConfig = true" in text and "Address = 10.9.0.1/24" in text, text
        assert os.stat(sides.left_file).st_mode & 0o777 == 0o600
        sides.left.hatsd("up", sides.left_file)
        sides.left.ping("10.9.0.2")


def test_reload_applies_the_file_and_keeps_the_sessions():
    with World() as world:
        sides = Sides(world)
        sides.left.hatsd("up", sides.left_file)
        sides.left.ping("10.9.0.2")
        handshake = sides.left.out("wg show wgl latest-handshakes")
        text = open(sides.left_file).read().replace("fd09::1/64", "fd09::1/64, 10.99.0.1/24")
        more = Keys()
        world.file("wgl.conf", text + f"\n[Peer]\nPublicKey = {more.public}\nAllowedIPs = 10.98.0.0/16\n")
        sides.left.hatsd("reload", "wgl")
        assert "10.99.0.1/24" in sides.left.out("ip -br address show wgl")
        assert more.public in sides.left.out("wg show wgl peers")
        assert handshake in sides.left.out("wg show wgl latest-handshakes")
        sides.left.ping("10.9.0.2", 1)
        # a fault in the new file changes nothing
        world.file("wgl.conf", text.replace("ListenPort", "ListenPrt"))
        done = sides.left.hatsd("reload", "wgl", check=False)
        assert done.returncode == 2 and "ListenPrt" in done.stderr, done.stderr
        assert more.public in sides.left.out("wg show wgl peers")


harness.main(globals())

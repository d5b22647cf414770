#!/usr/bin/env python3
"""Every file and command of the peering guide, taken from its text with the placeholders filled, as it stands."""
import json
import os
import time

import guide
import harness
from harness import HATSD, Keys, World, command, skip, until

KINDS = ("gre", "sit", "ip6gre")
OURS, THEIRS = "192.0.2.1", "192.0.2.2"


class Sides:
    """Two hosts; what is the guide's "your side" on each."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.left, self.right = world.host("left"), world.host("right")
        world.wire(self.left, self.right, [f"{OURS}/24"], [f"{THEIRS}/24"])
        # The networks of the guide's examples: IPv4 in gre, IPv6 in sit and ip6gre.
        self.inner = ("10.77.0.1", "10.77.0.2") if kind in ("gre", "wireguard") else ("fd77::1", "fd77::2")
        length = "/30" if ":" not in self.inner[0] else "/64"
        keys = (Keys(), Keys()) if kind == "wireguard" else (None, None)
        self.filling = (
            guide.values("hatsl", OURS, THEIRS, self.inner[0] + length, keys[0], keys[1]),
            guide.values("hatsr", THEIRS, OURS, self.inner[1] + length, keys[1], keys[0]))

    def each(self):
        return zip((self.left, self.right), self.filling)

    def check(self):
        self.left.ping(self.inner[1])
        self.right.ping(self.inner[0])
        for host, filling in self.each():
            link = host.out(f"ip link show {filling['name']}")
            assert "POINTOPOINT" in link and "NOARP" in link and "MULTICAST" not in link, link

    def down(self):
        for host, filling in self.each():
            host.hatsd("down", filling["name"])
            assert filling["name"] not in host.out("ip link")


def run_lines(host, lines):
    for line in lines:
        words = line.split()
        host.run([HATSD] + words[1:] if words[0] == "hatsd-user" else words)


def clean_folders():
    """Empty folders for the files of this test alone (the program has a mount namespace of its own)."""
    for folder in ("/etc/systemd/network", "/etc/netplan", "/etc/wireguard"):
        os.makedirs(folder, exist_ok=True)
        command(f"mount -t tmpfs tmpfs {folder}")


def write(path, text):
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, 0o600)


def test_the_guides_commands_make_gre_sit_and_ip6gre_tunnels():
    for kind in KINDS:
        with World() as world:
            sides = Sides(world, kind)
            for host, filling in sides.each():
                run_lines(host, guide.commands(kind, filling))
            sides.check()
            shown = sides.left.hatsd("tunnel", "show", "hatsl").stdout
            mode = "ipv6/ip" if kind == "sit" else "gre/ip"
            assert shown.startswith(f"hatsl: {mode} remote {THEIRS} local {OURS} ttl 255"), shown
            for host, filling in sides.each():
                host.hatsd("tunnel", "del", filling["name"])
                assert filling["name"] not in host.out("ip link")


def test_the_guides_netdev_and_network_files_make_gre_sit_and_ip6gre_tunnels():
    clean_folders()
    for kind in KINDS:
        with World() as world:
            sides = Sides(world, kind)
            for host, filling in sides.each():
                name = filling["name"]
                write(f"/etc/systemd/network/10-{name}.netdev", guide.netdev_file(kind, filling))
                write(f"/etc/systemd/network/10-{name}.network", guide.network_file(kind, filling))
                host.hatsd("up", name)
            sides.check()
            sides.down()


def test_what_the_network_file_says_of_ipv6_counts_for_every_kind_and_at_reload():
    clean_folders()
    for kind in ("wireguard", "gre"):
        with World() as world:
            sides = Sides(world, kind)
            host, filling = sides.left, sides.filling[0]
            name = filling["name"]
            write(f"/etc/systemd/network/10-{name}.netdev", guide.netdev_file(kind, filling))
            network = guide.network_file(kind, filling)

            def state(command, lines):
                write(f"/etc/systemd/network/10-{name}.network", network + lines)
                host.hatsd(command, name)
                accepts = host.out(f"cat /proc/sys/net/ipv6/conf/{name}/accept_ra")
                return accepts, "fe80::" in host.out(f"ip -6 addr show dev {name}")
            own = kind == "gre"
            assert state("up", "") == ("0", own)
            assert state("reload", "IPv6AcceptRA = yes\nLinkLocalAddressing = no\n") == ("1", False)
            assert state("reload", "") == ("0", own)
            host.hatsd("down", name)
            assert state("up", "IPv6AcceptRA = yes\nLinkLocalAddressing = no\n") == ("1", False)


def test_a_changed_kind_changes_the_link_local_address_at_reload():
    clean_folders()
    with World() as world:
        sides = Sides(world, "gre")
        host, filling = sides.left, sides.filling[0]
        path = f"/etc/systemd/network/10-{filling['name']}.netdev"
        for kind, address in (("gre", "fe80::5efe:c000:201/64"), ("sit", "fe80::c000:201/64")):
            write(path, guide.netdev_file(kind, filling))
            host.hatsd("up" if kind == "gre" else "reload", filling["name"])
            assert host.out(f"ip -6 addr show dev {filling['name']}").count("fe80::") == 1
            assert address in host.out(f"ip -6 addr show dev {filling['name']}")


def start_networkd(host):
    """A real systemd-networkd in the namespace, which has read the files of the folder when this returns."""
    program = "/lib/systemd/systemd-networkd"
    if not os.path.exists(program):
        skip(f"{program} is not installed")
    os.makedirs("/run/systemd/netif/links")
    os.makedirs("/run/systemd/netif/leases")
    command("chown -R systemd-network:systemd-network /run/systemd/netif")
    for folder in ("/run", "/run/systemd", "/run/systemd/netif", "/etc/systemd/network"):
        os.chmod(folder, 0o755)
    # With /sys read-only, as in a container, it does not wait for udev.
    process = host.start(["unshare", "-m", "sh", "-c", f"mount -o remount,ro,bind /sys; exec {program}"],
                         env={"SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_TARGET": "console"}, log="/run/networkd.log")

    def ready():
        with open("/run/networkd.log", errors="replace") as log:
            text = log.read()
        if process.poll() is not None:
            skip("systemd-networkd does not run here: " + text[-300:])
        return "Enumeration completed" in text
    until(ready, what="networkd is ready")


def has_address(host, filling):
    return filling["your tunnel ip cidr"].split("/")[0] in host.out(f"ip addr show {filling['name']}")


def test_beside_a_running_networkd_the_guides_files_still_make_a_tunnel_with_its_addresses():
    clean_folders()
    with World() as world:
        sides = Sides(world, "gre")
        left, right = sides.filling
        for filling in sides.filling:
            write(f"/etc/systemd/network/10-{filling['name']}.netdev", guide.netdev_file("gre", filling))
            write(f"/etc/systemd/network/10-{filling['name']}.network", guide.network_file("gre", filling))
            os.chmod(f"/etc/systemd/network/10-{filling['name']}.network", 0o644)
        # Of the left tunnel networkd knows the .netdev, and leaves alone what is no GRE device of the kernel's.
        os.chmod("/etc/systemd/network/10-hatsl.netdev", 0o644)
        start_networkd(sides.left)
        done = sides.left.hatsd("up", "hatsl")
        assert "systemd-networkd" not in done.stderr, done.stderr
        assert has_address(sides.left, left)
        sides.right.hatsd("up", "hatsr")
        sides.check()
        # It does not take it away either.
        time.sleep(1)
        assert has_address(sides.left, left)
        sides.down()
        # The right one's .netdev it cannot read, and so it takes the link that comes.
        link = right["name"]
        done = sides.left.hatsd("up", link)
        assert "systemd-networkd is running and gives hatsr its addresses" in done.stderr, done.stderr
        until(lambda: has_address(sides.left, right), what="networkd gives the address")
        index = sides.left.out(f"cat /sys/class/net/{link}/ifindex")
        with open(f"/run/systemd/netif/links/{index}") as state:
            text = state.read()
        assert "NETWORK_FILE=/etc/systemd/network/10-hatsr.network" in text, text


def test_the_guides_netplan_files_make_gre_sit_and_ip6gre_tunnels():
    clean_folders()
    for kind in KINDS:
        with World() as world:
            sides = Sides(world, kind)
            for _, filling in sides.each():
                write(f"/etc/netplan/10-{filling['name']}.yaml", guide.netplan_file(kind, filling))
            for host, filling in sides.each():
                host.hatsd("up", filling["name"])
            sides.check()
            sides.down()
            # The same by path: that file alone.
            for host, filling in sides.each():
                host.hatsd("up", f"/etc/netplan/10-{filling['name']}.yaml")
            sides.check()


def test_the_guides_wireguard_file_comes_up_by_name_and_as_netdev():
    clean_folders()
    with World() as world:
        sides = Sides(world, "wireguard")
        for host, filling in sides.each():
            write(f"/etc/wireguard/{filling['name']}.conf", guide.wg_quick_file(filling))
            host.hatsd("up", filling["name"])
        sides.check()
        sides.down()
        for host, filling in sides.each():
            os.remove(f"/etc/wireguard/{filling['name']}.conf")
            write(f"/etc/systemd/network/10-{filling['name']}.netdev", guide.netdev_file("wireguard", filling))
            write(f"/etc/systemd/network/10-{filling['name']}.network", guide.network_file("wireguard", filling))
            host.hatsd("up", filling["name"])
        sides.check()
        # The guide's MTU is the operator's word; show warns of it.
        for host, filling in sides.each():
            host.run(guide.mtu_example(filling))
        sides.left.ping(sides.inner[1], 1, 1440)
        sides.down()


def test_a_name_in_several_formats_is_taken_from_the_first_and_the_others_are_named():
    clean_folders()
    with World() as world:
        sides = Sides(world, "gre")
        filling = sides.filling[0]
        write("/etc/systemd/network/10-hatsl.netdev", guide.netdev_file("gre", filling))
        write("/etc/systemd/network/10-hatsl.network", guide.network_file("gre", filling))
        write("/etc/netplan/10-hatsl.yaml", guide.netplan_file("gre", filling))
        done = sides.left.hatsd("up", "hatsl")
        assert "10-hatsl.netdev is used" in done.stderr and "netplan" in done.stderr, done.stderr


def test_placeholders_left_in_a_file_are_named():
    clean_folders()
    with World() as world:
        host = world.host("left")
        for kind in KINDS:
            netplan = guide.between(guide.section(kind), "/etc/netplan/10-{name}.yaml\n", "  1. Apply")
            netdev = guide.between(guide.section(kind), "/etc/systemd/network/10-{name}.netdev\n", "  1. Configure")
            for path, text in (("/etc/netplan/10-hatsx.yaml", netplan), ("/etc/systemd/network/10-hatsx.netdev", netdev)):
                write(path, text)
                done = host.hatsd("up", path, check=False)
                assert done.returncode == 2, (path, done)
                assert "placeholder" in done.stderr, done.stderr
                assert f"{path}:" in done.stderr, done.stderr
        done = host.hatsd("tunnel", "add", "{name}", "mode", "gre", "local", "{yourside", "ip}", check=False)
        assert done.returncode == 2 and "hatsd-user: " in done.stderr, done


def test_what_the_guide_says_of_mtu_is_applied_and_checked():
    clean_folders()
    with World() as world:
        sides = Sides(world, "gre")
        filling = sides.filling[0]
        write("/etc/systemd/network/10-hatsl.netdev",
              guide.netdev_file("gre", filling).replace("Kind = gre", "Kind = gre\nMTUBytes = 1472"))
        said = sides.left.hatsd("check", "/etc/systemd/network/10-hatsl.netdev").stdout
        assert "1472" in said and "1476" in said and "24" in said, said
        sides.left.hatsd("up", "hatsl")
        assert sides.left.out("cat /sys/class/net/hatsl/mtu") == "1472"


def warnings(host, name):
    shown = json.loads(host.out([HATSD, "show", "--json", name]))["interfaces"][0]
    return [text for text in shown["warnings"] if "module" not in text]


def test_an_mtu_of_a_file_is_held_against_the_path_from_the_tunnels_own_address():
    clean_folders()
    with World() as world:
        sides = Sides(world, "gre")
        # Packets from this address leave by a narrower link.
        world.wire(sides.left, sides.right, ["198.51.100.1/24"], ["198.51.100.2/24"], "eth1", "eth1", mtu=1400)
        sides.left.run("ip rule add from 198.51.100.1 lookup 77")
        sides.left.run("ip route add default via 198.51.100.2 table 77")
        path = "/etc/systemd/network/10-hatsl.netdev"
        text = guide.netdev_file("gre", sides.filling[0]).replace(OURS, "198.51.100.1")
        write(path, text.replace("[NetDev]\n", "[NetDev]\nMTUBytes = 1472\n"))
        wanted = "mtu 1472 needs 1496-byte packets on a 1400-byte path; 1376 avoids fragmentation"
        assert wanted in sides.left.hatsd("check", path).stdout
        done = sides.left.hatsd("up", path)
        assert done.stderr.count(wanted) == 1, done.stderr
        told = f"{path}:2: MTU: {wanted}"
        assert warnings(sides.left, "hatsl") == [told], warnings(sides.left, "hatsl")
        time.sleep(0.5)
        assert warnings(sides.left, "hatsl") == [told], warnings(sides.left, "hatsl")
        sides.left.run("ip link set eth1 mtu 1500")
        until(lambda: warnings(sides.left, "hatsl") == [], what="the warning is taken back")


def test_an_mtu_that_is_gone_from_the_file_gives_way_to_what_a_fresh_start_gives():
    clean_folders()
    for kind, added in (("gre", 24), ("sit", 20), ("wireguard", 80)):
        with World() as world:
            sides = Sides(world, kind)
            left, right = sides.filling
            mtu = lambda: (sides.left.out("cat /sys/class/net/hatsl/mtu"))
            path = "/etc/systemd/network/10-hatsl.netdev"
            plain = guide.netdev_file(kind, left)
            with_mtu = plain.replace("[NetDev]\n", "[NetDev]\nMTUBytes = 1400\n")
            assert with_mtu != plain, plain
            write(path, with_mtu)
            sides.left.hatsd("up", path)
            assert mtu() == "1400"
            write(path, plain)
            sides.left.hatsd("reload", "hatsl")
            assert mtu() == str(1500 - added), (kind, mtu())
            if kind == "gre":
                write(path, plain + "Key = 7\n")
                sides.left.hatsd("reload", "hatsl")
                assert mtu() == "1472", mtu()
                # and the other way round, both at once: the file's word counts, then the path
                write(path, with_mtu)
                sides.left.hatsd("reload", "hatsl")
                assert mtu() == "1400", mtu()
                write(path, plain + "Key = 7\n")
                sides.left.hatsd("reload", "hatsl")
                assert mtu() == "1472", mtu()
            sides.left.hatsd("down", "hatsl")
    with World() as world:
        sides = Sides(world, "ip6gre")
        path = "/etc/netplan/10-hatsl.yaml"
        plain = guide.netplan_file("ip6gre", sides.filling[0])
        write(path, plain.replace("ttl: 255", "ttl: 255\n      mtu: 1400"))
        sides.left.hatsd("up", path)
        assert sides.left.out("cat /sys/class/net/hatsl/mtu") == "1400"
        write(path, plain)
        sides.left.hatsd("reload", "hatsl")
        assert sides.left.out("cat /sys/class/net/hatsl/mtu") == "1476"


def test_a_changed_file_of_any_format_is_applied_without_taking_the_interface_down():
    clean_folders()
    with World() as world:
        sides = Sides(world, "sit")
        left, right = sides.filling
        netdev, network = "/etc/systemd/network/10-hatsl.netdev", "/etc/systemd/network/10-hatsl.network"
        write(netdev, guide.netdev_file("ip6gre", left))
        write(network, guide.network_file("ip6gre", left))
        write("/etc/netplan/10-hatsr.yaml", guide.netplan_file("ip6gre", right))
        sides.left.hatsd("up", "hatsl")
        sides.right.hatsd("up", "hatsr")
        sides.check()
        index = sides.left.out("cat /sys/class/net/hatsl/ifindex")
        write(netdev, guide.netdev_file("ip6gre", left) + "Key = 7\n")
        write(network, guide.network_file("ip6gre", left) + "\n[Route]\nDestination = fd99::/48\nGateway = fd77::2\n")
        write("/etc/netplan/10-hatsr.yaml", guide.netplan_file("ip6gre", right).replace("ttl: 255", "ttl: 255\n      key: 7"))
        sides.left.hatsd("reload", "hatsl")
        assert sides.left.ping(sides.inner[1], 1, wait=1, check=False).returncode != 0, "only one side has the key"
        sides.right.hatsd("reload", "hatsr")
        sides.check()
        assert sides.left.out("cat /sys/class/net/hatsl/ifindex") == index
        assert "fd99::/48 via fd77::2" in sides.left.out("ip -6 route show dev hatsl")
        # what the header has grown by, the MTU has lost, as with the kernel's device
        assert sides.left.out("cat /sys/class/net/hatsl/mtu") == "1472"


harness.main(globals())

#!/usr/bin/env python3
"""BIRD and FRR over every kind of tunnel, as over the kernel's: sessions, routes, and traffic that follows them."""
import json
import os
import signal

import guide
import harness
import routing
from harness import Keys, World, need, until
from routing import Bird, Frr, Tunnel

# the interface's name, the guide's kind, the families that it carries, and the one that carries it
KINDS = (("twg", "wireguard", (4, 6), 4), ("tgre", "gre", (4, 6), 4), ("tsit", "sit", (6,), 4),
         ("tip6gre", "ip6gre", (4, 6), 4), ("tgre6", "ip6gre", (4, 6), 6))


def outer(number, side, family):
    """Each tunnel has ends of its own: GRE and ip6gre between the same two addresses would be one tunnel."""
    return f"192.0.2.{16 * number + side}" if family == 4 else f"2001:db8::{number}:{side}"


class Sides:
    """Two hosts with a tunnel of each kind, made of the guide's files; side 1's are twg1, tgre1 and so on."""

    def __init__(self, world):
        self.world = world
        self.hosts = {1: world.host("left"), 2: world.host("right")}
        world.wire(self.hosts[1], self.hosts[2], *(
            [outer(number, side, family) + ("/24" if family == 4 else "/64")
             for number, (_, _, _, family) in enumerate(KINDS, 1)] for side in (1, 2)))
        keys = {1: Keys(), 2: Keys()}
        self.tunnels, self.files = [], {1: {}, 2: {}}
        for number, (name, kind, families, _) in enumerate(KINDS, 1):
            tunnel = Tunnel(number, name, families, {1: "fe80::1", 2: "fe80::2"})
            for side in (1, 2):
                self.files[side][name] = self.file(kind, tunnel, side, keys)
                self.hosts[side].hatsd("up", self.files[side][name])
            if kind != "wireguard":  # these have one of their own, as the kernel's
                for side in (1, 2):
                    found = routing.link_locals(self.hosts[side], tunnel.device(side))
                    assert found, f"{tunnel.device(side)} has no link-local address"
                    tunnel.link_local[side] = found[0]
            self.tunnels.append(tunnel)
        for side in (1, 2):
            routing.prepare(self.hosts[side], side, self.tunnels)

    def file(self, kind, tunnel, side, keys):
        """The guide's file for one side, in the side's folder."""
        lengths = {4: 30, 6: 64}
        cidrs = [f"{tunnel.address(side, family)}/{lengths[family]}" for family in tunnel.families]
        if kind == "wireguard":
            cidrs.append(f"{tunnel.link_local[side]}/64")  # WireGuard has none of its own
        ends = [outer(tunnel.number, end, KINDS[tunnel.number - 1][3]) for end in (side, 3 - side)]
        folder = self.world.path(f"side{side}")
        os.makedirs(folder, exist_ok=True)
        several = "\nAddress = ".join(cidrs)
        filling = guide.values(tunnel.device(side), *ends, several, keys[side], keys[3 - side])
        if kind == "wireguard":
            return self.write(f"{folder}/{tunnel.device(side)}.conf", guide.wg_quick_file(filling))
        self.write(f"{folder}/10-{tunnel.device(side)}.network", guide.network_file(kind, filling))
        return self.write(f"{folder}/10-{tunnel.device(side)}.netdev", guide.netdev_file(kind, filling))

    def write(self, path, text):
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o600)
        return path


class Lab:
    """The two sides with a routing daemon on each."""

    def __init__(self, world, daemons):
        self.sides = Sides(world)
        self.hosts, self.tunnels = self.sides.hosts, self.sides.tunnels
        self.daemons = {side: daemon(self.hosts[side], world, side, self.tunnels)
                        for side, daemon in zip((1, 2), daemons)}
        self.all = {session.name: session for tunnel in self.tunnels for session in tunnel.sessions() + tunnel.ospf()}
        # FRR has one OSPF instance for all tunnels: what its neighbour learns comes by whichever of them
        self.ospf_by_any = {side: isinstance(self.daemons[3 - side], Frr) for side in (1, 2)}

    def missing(self, names):
        return {f"{name}@{side}" for side in (1, 2) for name in names - self.daemons[side].established()}

    def wait_established(self, names, timeout=60):
        left = set()

        def done():
            left.clear()
            left.update(self.missing(names))
            return not left
        try:
            until(done, timeout, every=0.3)
        except AssertionError:
            raise AssertionError(f"not established within {timeout} s: {sorted(left)}") from None

    def wait_gone(self, names, timeout):
        """The sessions leave the Established state on side 1, and their routes its kernel's table."""
        until(lambda: not names & self.daemons[1].established(), timeout, f"{sorted(names)} end")
        until(lambda: not self.routed(names, 1), timeout, f"no routes of {sorted(names)}")

    def routed(self, names, side):
        """Those of the sessions, by family, whose prefix has a route over their tunnel in the kernel of `side`."""
        routes = routing.kernel_routes(self.hosts[side])
        out = set()
        for name, family in self.by_family(names):
            session = self.all[name]
            device = routes.get(session.prefix(3 - side, family))
            if device == session.tunnel.device(side) or device and "ospf" in name and self.ospf_by_any[side]:
                out.add((name, family))
        return out

    def by_family(self, names):
        return {(name, family) for name in names for family in self.all[name].families}

    def check_routes(self, names):
        wanted = self.by_family(names)
        for side in (1, 2):
            left = set(wanted)

            def done():
                left.difference_update(self.routed(names, side))
                return not left
            try:
                until(done, 30, every=0.3)
            except AssertionError:
                raise AssertionError(f"no route in the kernel of side {side}: {sorted(left)}") from None
        # the source is what the session announced: the answer comes by its route too
        failed = routing.ping_all(self.hosts[1], [(self.all[name].prefix(1, family), self.all[name].prefix(2, family))
                                                  for name, family in sorted(wanted)])
        assert not failed, f"no answer: {failed}"

    def names(self):
        return set(self.all)

    def with_bfd(self):
        return {name for name in self.all if "direct" in name or "linklocal" in name}


def everything_comes_up(lab):
    lab.wait_established(lab.names())
    lab.check_routes(lab.names())
    for side in (1, 2):
        wanted = {lab.all[name].peer(side) for name in lab.with_bfd()}
        until(lambda: wanted <= lab.daemons[side].bfd_up(), 15, f"BFD with {sorted(wanted)} on side {side}")


def sessions_follow_the_tunnels(lab):
    """`down` of each tunnel takes its sessions down, and no other's; `up` brings them back."""
    for tunnel in lab.tunnels:
        lab.hosts[1].hatsd("down", tunnel.device(1))
    # OSPF of FRR and multihop have no link to watch; the others need not wait for a timer
    lab.wait_gone({name for name in lab.names() if "multihop" not in name}, 10)
    for tunnel in lab.tunnels:
        lab.hosts[1].hatsd("up", lab.sides.files[1][tunnel.name])
    lab.wait_established(lab.names())
    lab.check_routes(lab.names())


def bfd_finds_a_dead_path(lab):
    """The underlay goes dark while the tunnels keep their carrier: BFD ends the sessions long before their hold time."""
    for host in lab.hosts.values():
        host.run("sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1")
    lab.hosts[2].run("ip link set eth0 down")
    lab.wait_gone(lab.with_bfd(), 10)
    for tunnel in lab.tunnels:
        assert lab.hosts[1].out(f"cat /sys/class/net/{tunnel.device(1)}/carrier") == "1", tunnel.name
    lab.hosts[2].run("ip link set eth0 up")
    lab.wait_established(lab.names())
    lab.check_routes(lab.names())


def test_bird_over_all_tunnels_exchanges_routes_and_follows_down_and_up():
    need("bird", "birdc")
    with World() as world:
        lab = Lab(world, (Bird, Bird))
        everything_comes_up(lab)
        sessions_follow_the_tunnels(lab)
        bfd_finds_a_dead_path(lab)


def test_frr_and_bird_over_all_tunnels_exchange_routes_and_follow_down_and_up():
    need("bird", "birdc", "vtysh", "/usr/lib/frr/zebra")
    with World() as world:
        lab = Lab(world, (Frr, Bird))
        everything_comes_up(lab)
        sessions_follow_the_tunnels(lab)
        bfd_finds_a_dead_path(lab)


def test_a_gre_tunnel_that_loses_its_carrier_or_its_daemon_takes_bgp_with_it():
    need("bird", "birdc")
    with World() as world:
        hosts = {1: world.host("left"), 2: world.host("right")}
        world.wire(hosts[1], hosts[2], ["192.0.2.1/24"], ["192.0.2.2/24"])
        tunnel = Tunnel(1, "tgre", (4,), {})
        for side, host in hosts.items():
            filling = guide.values(tunnel.device(side), f"192.0.2.{side}", f"192.0.2.{3 - side}",
                                   tunnel.address(side, 4) + "/30")
            for line in guide.commands("gre", filling):
                words = line.split()
                host.run([harness.HATSD] + words[1:] if words[0] == "hatsd-user" else words)
            tunnel.link_local[side] = routing.link_locals(host, tunnel.device(side))[0]
            routing.prepare(host, side, [tunnel])
        hosts[1].hatsd("tunnel", "change", "tgre1", "keepalive", "1", "2")
        birds = {side: Bird(host, world, side, [tunnel], bfd=False) for side, host in hosts.items()}
        direct = "tgre_direct4"
        until(lambda: all(direct in bird.established() for bird in birds.values()), 30, "the session")
        hosts[2].run("ip link set eth0 down")
        until(lambda: hosts[1].out("cat /sys/class/net/tgre1/carrier") == "0", 10, "the carrier goes")
        until(lambda: direct not in birds[1].established(), 5, "the session goes with the carrier")
        assert "Link down" in birds[1].tells(direct), birds[1].tells(direct)
        hosts[2].run("ip link set eth0 up")
        until(lambda: hosts[1].out("cat /sys/class/net/tgre1/carrier") == "1", 10, "the carrier is back")
        until(lambda: all(direct in bird.established() for bird in birds.values()), 30, "the session is back")
        pid = json.loads(hosts[1].hatsd("show", "tgre1", "--json").stdout)["interfaces"][0]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: direct not in birds[1].established(), 5, "the session goes with the daemon")


harness.main(globals())

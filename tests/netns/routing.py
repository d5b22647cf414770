"""Routing daemons in namespaces: what sessions a test wants, as configurations of BIRD and of FRR.

A Plan is the set of tunnels between two sides, 1 and 2, and what runs over each. Both daemons are made from it: Bird(host,
world, side, plan) and Frr(...), with the same methods. Timers of sessions are shortened, for the test's sake alone;
nothing else is set that a tunnel of the kernel would not need.
"""
import grp
import json
import os
import pwd
import re
import shutil
import socket

from harness import command, until

AS = {1: 65001, 2: 65002}


class Tunnel:
    """One tunnel: its name, which with the side's number is the interface's, the families it carries, its link-local
    addresses by side."""

    def __init__(self, number, name, families, link_local):
        self.number, self.name, self.families, self.link_local = number, name, families, link_local

    def device(self, side):
        return f"{self.name}{side}"

    def address(self, side, family):
        return f"10.9.{self.number}.{side}" if family == 4 else f"fd09:{self.number}::{side}"

    def loopback(self, side, family):
        return f"10.8.{self.number}.{side}" if family == 4 else f"fd08:{self.number}::{side}"

    def sessions(self):
        out = []
        for family in self.families:
            out.append(Session(self, f"direct{family}", 1 if family == 4 else 2, (family,)))
            out.append(Session(self, f"multihop{family}", 3 if family == 4 else 4, (family,)))
        out.append(Session(self, "linklocal", 5, self.families))
        return out

    def ospf(self):
        return [Session(self, "ospf2" if family == 4 else "ospf3", 6, (family,)) for family in self.families]


class Session:
    """One adjacency on a tunnel; each carries prefixes of its own, so that each route tells who brought it."""

    def __init__(self, tunnel, kind, number, families):
        self.tunnel, self.kind, self.number, self.families = tunnel, kind, number, families
        self.name = f"{tunnel.name}_{kind}"

    def prefix(self, side, family):
        number = 16 * self.tunnel.number + self.number
        return f"10.{side}.{number}.1" if family == 4 else f"fdff:{side}:{number}::1"

    def peer(self, side):
        """The neighbour's address, seen from `side`."""
        other = 3 - side
        if self.kind == "linklocal":
            return self.tunnel.link_local[other]
        family = self.families[0]
        return self.tunnel.loopback(other, family) if self.multihop else self.tunnel.address(other, family)

    @property
    def multihop(self):
        return self.kind.startswith("multihop")


def length(family):
    return 32 if family == 4 else 128


def prepare(host, side, tunnels):
    """The addresses that are announced and the ends of multihop sessions, on lo."""
    lines = []
    for tunnel in tunnels:
        for family in tunnel.families:
            lines.append(tunnel.loopback(side, family))
        for session in tunnel.sessions() + tunnel.ospf():
            lines += [session.prefix(side, family) for family in session.families]
    host.run(["ip", "-batch", "-"], stdin="".join(
        f"address add {address}/{128 if ':' in address else 32} dev lo\n" for address in lines))


class Bird:
    def __init__(self, host, world, side, tunnels, bfd=True, text=None):
        """`text`: a configuration to run in place of the one made of `tunnels`."""
        self.host, self.side, self.tunnels, self.bfd = host, side, tunnels, bfd
        self.socket = world.path(f"bird{side}.ctl")
        path = world.file(f"bird{side}.conf", text or self.configuration(world.path(f"bird{side}.log")))
        host.start(["bird", "-f", "-c", path, "-s", self.socket, "-P", world.path(f"bird{side}.pid")])
        until(lambda: os.path.exists(self.socket), what="BIRD's socket")

    def configuration(self, log):
        out = [f'log "{log}" all;', f"router id 10.255.0.{self.side};",
               "protocol device { }",
               'protocol direct { interface "lo"; ipv4; ipv6; }',
               # An interface that goes takes its routes out of the kernel. If it is back within the second in which OSPF
               # counts anew, BIRD sees no change, and puts them back at its next scan only (by default each minute).
               "protocol kernel { scan time 3; ipv4 { import none; export all; }; }",
               "protocol kernel { scan time 3; ipv6 { import none; export all; }; }",
               "protocol bfd { interface \"t*\" { interval 250 ms; multiplier 3; }; }"]
        for tunnel in self.tunnels:
            for family in tunnel.families:
                out.append(f"protocol static {{ ipv{family}; route {tunnel.loopback(3 - self.side, family)}/"
                           f"{length(family)} via {tunnel.address(3 - self.side, family)}; }}")
            out += [self.bgp(session) for session in tunnel.sessions()]
            out += [self.ospf(session) for session in tunnel.ospf()]
        return "\n".join(out) + "\n"

    def export(self, session, family):
        return f"export where net = {session.prefix(self.side, family)}/{length(family)};"

    def bgp(self, session):
        tunnel, side = session.tunnel, self.side
        local, peer = "", session.peer(side)
        if session.multihop:
            local = tunnel.loopback(side, session.families[0]) + " "
        elif session.kind == "linklocal":
            peer += f"%{tunnel.device(side)}"
        lines = [f"protocol bgp {session.name} {{", f"  local {local}as {AS[side]};",
                 f"  neighbor {peer} as {AS[3 - side]};",
                 "  multihop 2;" if session.multihop else "  bfd on;" if self.bfd else "",
                 # for the test's sake: no long pauses between tries
                 "  connect delay time 1; connect retry time 2; error wait time 1, 2; error forget time 1;"]
        for family in session.families:
            hop = " extended next hop on;" if family == 4 and session.kind == "linklocal" else ""
            lines.append(f"  ipv{family} {{ import all; {self.export(session, family)}{hop} }};")
        return "\n".join(lines + ["}"])

    def ospf(self, session):
        family, tunnel = session.families[0], session.tunnel
        return (f"protocol ospf v{2 if family == 4 else 3} {session.name} {{\n"
                # one instance a tunnel: each is a router of its own to a neighbour that has them all in one
                f"  router id 10.255.{tunnel.number}.{self.side};\n"
                f"  ipv{family} {{ import all; {self.export(session, family)} }};\n"
                f'  area 0 {{ interface "{tunnel.device(self.side)}" {{ type ptp; hello 1; dead count 4; }}; }};\n}}')

    def ask(self, question):
        """BIRD's answer, without the numbers that begin its lines (as birdc shows it, and quicker)."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(self.socket)
            stream = asked.makefile("rw", encoding="utf-8")
            stream.readline()  # the greeting
            stream.write(question + "\n")
            stream.flush()
            lines = []
            while True:
                line = stream.readline()
                lines.append(re.sub(r"^(\d{4}[- ]| )", "", line))
                if not line or re.match(r"(0|8|9)\d{3} ", line):
                    return "".join(lines)

    def established(self):
        """The names of the BGP sessions that are up and of the OSPF instances that have a full neighbour."""
        out = set()
        for line in self.ask("show protocols").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "BGP" and words[3] == "up" and words[-1] == "Established":
                out.add(words[0])
        for tunnel in self.tunnels:
            for session in tunnel.ospf():
                if "Full/" in self.ask(f"show ospf neighbors {session.name}"):
                    out.add(session.name)
        return out

    def bfd_up(self):
        """The addresses of the neighbours whose BFD session is up."""
        return {line.split()[0] for line in self.ask("show bfd sessions").splitlines() if " Up " in line}

    def tells(self, name):
        """What BIRD says of a session, its last error included."""
        return self.ask(f"show protocols all {name}")


class Frr:
    DAEMONS = ("zebra", "staticd", "bfdd", "bgpd", "ospfd", "ospf6d")

    def __init__(self, host, world, side, tunnels, text=None):
        """`text`: as of Bird."""
        self.host, self.side, self.tunnels = host, side, tunnels
        self.space = f"side{side}"
        user, group = pwd.getpwnam("frr").pw_uid, grp.getgrnam("frr").gr_gid
        # the folders of this pathspace, where nothing of the host's own FRR is
        for folder in ("/etc/frr", "/run/frr"):
            if not os.path.ismount(folder):
                os.makedirs(folder, exist_ok=True)
                command(f"mount -t tmpfs -o mode=755 tmpfs {folder}")
                os.chown(folder, user, group)
            shutil.rmtree(f"{folder}/{self.space}", ignore_errors=True)
            os.mkdir(f"{folder}/{self.space}")
            os.chown(f"{folder}/{self.space}", user, group)
        for daemon in self.DAEMONS:
            host.start([f"/usr/lib/frr/{daemon}", "-N", self.space, "-A", "127.0.0.1", "-P", "0"],
                       log=world.path(f"{daemon}{side}.log"))
            until(lambda: os.path.exists(f"/run/frr/{self.space}/{daemon}.vty"), what=f"{daemon} of FRR")
        path = world.file(f"frr{side}.conf", text or self.configuration())
        host.run(["vtysh", "-N", self.space, "-f", path])

    def configuration(self):
        side, other = self.side, 3 - self.side
        bgp, families, out = [], {4: [], 6: []}, []
        for tunnel in self.tunnels:
            lines = []
            for family in tunnel.families:
                out.append(f"{'ip' if family == 4 else 'ipv6'} route {tunnel.loopback(other, family)}/{length(family)} "
                           f"{tunnel.address(other, family)}")
                version = "ip ospf" if family == 4 else "ipv6 ospf6"
                lines += [f" {version} area 0", f" {version} network point-to-point", f" {version} hello-interval 1",
                          f" {version} dead-interval 4"]
            out += [f"interface {tunnel.device(side)}", *lines, "exit"]
            for session in tunnel.sessions():
                self.bgp(session, bgp, families)
        for family in (4, 6):
            ip = "ip" if family == 4 else "ipv6"
            for session in [s for tunnel in self.tunnels for s in tunnel.sessions() if family in s.families]:
                out.append(f"{ip} prefix-list {session.name} permit {session.prefix(side, family)}/{length(family)}")
            for session in [s for tunnel in self.tunnels for s in tunnel.ospf() if family in s.families]:
                out.append(f"{ip} prefix-list ospf permit {session.prefix(side, family)}/{length(family)}")
            out += [f"route-map ospf{family} permit 10", f" match {ip} address prefix-list ospf", "exit"]
        out += ["router ospf", f" ospf router-id 10.255.0.{side}", " redistribute connected route-map ospf4", "exit",
                "router ospf6", f" ospf6 router-id 10.255.0.{side}", " redistribute connected route-map ospf6", "exit",
                f"router bgp {AS[side]}", f" bgp router-id 10.255.0.{side}", " no bgp default ipv4-unicast",
                " no bgp ebgp-requires-policy", *bgp]
        for family in (4, 6):
            out += [f" address-family ipv{family} unicast", *families[family], " exit-address-family"]
        return "\n".join(out + ["exit"]) + "\n"

    def bgp(self, session, bgp, families):
        peer = session.peer(self.side)
        bgp += [f" neighbor {peer} remote-as {AS[3 - self.side]}",
                f" neighbor {peer} timers connect 2", f" neighbor {peer} advertisement-interval 1"]  # for the test's sake
        if session.multihop:
            bgp += [f" neighbor {peer} ebgp-multihop 2",
                    f" neighbor {peer} update-source {session.tunnel.loopback(self.side, session.families[0])}"]
        else:
            bgp.append(f" neighbor {peer} bfd")
        if session.kind == "linklocal":
            bgp.append(f" neighbor {peer} interface {session.tunnel.device(self.side)}")
            if 4 in session.families:
                bgp.append(f" neighbor {peer} capability extended-nexthop")
        for family in session.families:
            families[family] += [f"  network {session.prefix(self.side, family)}/{length(family)}",
                                 f"  neighbor {peer} activate", f"  neighbor {peer} prefix-list {session.name} out"]

    def ask(self, question):
        return json.loads(self.host.out(["vtysh", "-N", self.space, "-c", question + " json"]) or "{}")

    def established(self):
        peers = self.ask("show bgp neighbors")
        out = {session.name for tunnel in self.tunnels for session in tunnel.sessions()
               if peers.get(session.peer(self.side), {}).get("bgpState") == "Established"}
        full = {(entry["interfaceName"], "ospf3") for entry in self.ask("show ipv6 ospf6 neighbor").get("neighbors", [])
                if entry["state"] == "Full"}
        for entries in self.ask("show ip ospf neighbor").get("neighbors", {}).values():
            full |= {(entry["ifaceName"].split(":")[0], "ospf2") for entry in entries if entry["nbrState"].startswith("Full")}
        return out | {f"{tunnel.name}_{kind}" for tunnel in self.tunnels for kind in ("ospf2", "ospf3")
                      if (tunnel.device(self.side), kind) in full}

    def bfd_up(self):
        return {entry["peer"] for entry in self.ask("show bfd peers") if entry["status"] == "up"}


def link_locals(host, name):
    """The link-local addresses of an interface."""
    entries = json.loads(host.out(f"ip -j -6 address show dev {name} scope link"))
    return [info["local"] for entry in entries for info in entry.get("addr_info", []) if "local" in info]


def kernel_routes(host):
    """The kernel's routes to single addresses: the device of each; None where it is an unreachable one."""
    out = {}
    for family in ("-4", "-6"):
        for entry in json.loads(host.out(f"ip -j {family} route show") or "[]"):
            out[entry["dst"]] = entry.get("dev") or entry.get("nexthops", [{}])[0].get("dev")
    return out


def ping_all(host, pairs):
    """Pings from each source to its destination, side by side; returns the pairs without an answer."""
    pings = [(pair, host.start(["ping", "-q", "-n", "-c", "2", "-i", "0.2", "-W", "3", "-I", *pair])) for pair in pairs]
    return [pair for pair, ping in pings if ping.wait(30) != 0]

"""The bench of test_kernel_encap.py: our tunnels on host `near`, the kernel's in the guest, many at a time.

    lan ---- near ==== guest        tunnel number I has its own outer addresses, 10.20.I.1 and .2 (2001:db8:I::1, ::2),
     10.50.0.0/24   tap             on near and the guest, so that all exist at once without keys
     fd50::/64

The same inner packets, from 10.50.0.9 (fd50::9) to 10.60.I.9 (fd60:I::9), go into both ends of a tunnel: put on lan's
link near forwards them into ours; put on the tap the guest forwards them into the kernel's. Either end forwards what
comes out of its tunnel to where such packets are put in. So what goes in and what comes out on both sides has been
forwarded as often, and can be compared byte by byte.
"""
import base64
import dataclasses
import ipaddress
import re
import time

import wire
from guest import Guest
from harness import inside

LAN = {4: "10.50.0.9", 6: "fd50::9"}
NEAR_LAN = {4: "10.50.0.1", 6: "fd50::1"}
MARKER = b"the batch ends here"  # in the last packet of a batch
DEVICE_MTU = 1500  # of all tunnels, unless told otherwise: above what the path has room for, so that they must judge


@dataclasses.dataclass
class Tunnel:
    """`words`: options in the grammar that `ip tunnel` and `ip link` share. `kernel`: those for `ip link` if it needs
    others."""
    kind: str  # gre, sit, ipip, ip6gre
    words: str = "ttl 64"
    kernel: str | None = None
    number: int = 0  # set by the bench

    @property
    def kernel_words(self):
        # ip link has no word for this one; bit 0 is what it means
        return self.words.replace("inherit/0x20", "0x21") if self.kernel is None else self.kernel

    @property
    def outer(self):
        return 6 if self.kind == "ip6gre" else 4

    @property
    def families(self):
        return {"sit": (6,), "ipip": (4,)}.get(self.kind, (4, 6))

    @property
    def overhead(self):
        words = self.words.split()
        size = 40 if self.outer == 6 else 20
        if self.kind in ("gre", "ip6gre"):
            size += 4 + 4 * sum(word in words for word in ("key", "csum", "seq"))
        if self.kind == "ip6gre" and "encaplimit none" not in self.words:
            size += 8
        return size

    @property
    def protocol(self):
        return {"gre": wire.GRE, "ip6gre": wire.GRE, "sit": wire.SIT, "ipip": wire.IPIP}[self.kind]

    def end(self, side):
        """The outer address of side 1 (near, ours) or 2 (the guest, the kernel's)."""
        return f"10.20.{self.number}.{side}" if self.outer == 4 else f"2001:db8:{self.number}::{side}"

    def inside(self, side, family):
        """An address on the tunnel device of a side."""
        return f"10.61.{self.number}.{side}" if family == 4 else f"fd61:{self.number}::{side}"

    def beyond(self, family):
        """Where the compared packets go."""
        return f"10.60.{self.number}.9" if family == 4 else f"fd60:{self.number}::9"

    def device(self, side):
        return f"{'tk'[side - 1]}{self.number}"

    def addresses(self, side):
        """Lines of `ip` that give the device its addresses and routes."""
        lines = []
        for family in self.families:
            option, length, rest = ("", 24, "") if family == 4 else ("-6 ", 64, " nodad")
            lines.append(f"{option}address add {self.inside(side, family)}/{length} dev {self.device(side)}{rest}")
            lines.append(f"{option}route add {self.beyond(family)} dev {self.device(side)} table 100")
        return lines

    def __str__(self):
        return f"{self.kind} {self.words}"


class Bench:
    def __init__(self, world, tunnels, device_mtu=DEVICE_MTU):
        self.near, self.lan = world.host("near"), world.host("lan")
        world.wire(self.lan, self.near, ["10.50.0.9/24", "fd50::9/64"], ["10.50.0.1/24", "fd50::1/64"], "lan0", "lan0")
        self.guest = Guest(world, self.near, memory_mb=384)
        self.tunnels = tunnels
        for number, tunnel in enumerate(tunnels, 1):
            tunnel.number = number
        self._prepare_near()
        self._prepare_guest()
        self.macs = {"near": self._mac(self.near.out("ip link show lan0")),
                     "guest": self._mac(self.guest.sh("ip link show eth0"))}
        self._make_tunnels(device_mtu)
        self.markers = 0
        with inside(self.near):
            self.tap = wire.Link("tap0")
        with inside(self.lan):
            self.lan_link = wire.Link("lan0")

    @staticmethod
    def _mac(text):
        return re.search(r"link/ether (\S+)", text).group(1)

    # ---- Hosts ----

    QUIET = """
        sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 \\
            net.ipv6.icmp.ratelimit=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \\
            net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
        sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000 || true
        for name in default $LINKS; do
            sysctl -qw net.ipv4.conf.$name.rp_filter=0 net.ipv4.conf.$name.send_redirects=0 \\
                net.ipv6.conf.$name.router_solicitations=0 net.ipv6.conf.$name.accept_ra=0
        done
        """

    def _prepare_near(self):
        # what we merge is cut again, and its checksums are finished, on its way to lan
        self.near.sh("LINKS='tap0 lan0'\n" + self.QUIET + "ethtool -K lan0 tx off tso off gso off")
        lines = ["address add 192.0.2.1/24 dev tap0", "-6 address add 2001:db8::1/64 dev tap0 nodad",
                 # what the guest returns to lan is watched on the tap, and goes no further
                 "rule add iif tap0 lookup 99 pref 99", "-6 rule add iif tap0 lookup 99 pref 99",
                 "route add blackhole 10.50.0.0/24 table 99", "route add blackhole 10.60.0.0/16 table 99",
                 "-6 route add blackhole fd50::/64 table 99", "-6 route add blackhole fd60::/16 table 99",
                 "rule add iif lan0 lookup 100 pref 100", "-6 rule add iif lan0 lookup 100 pref 100",
                 "route add 10.60.0.0/16 via 10.50.0.9", "-6 route add fd60::/16 via fd50::9"]
        for t in self.tunnels:
            lines.append(f"address add {t.end(1)}/24 dev tap0" if t.outer == 4 else
                         f"-6 address add {t.end(1)}/64 dev tap0 nodad")
        self.batch_near(lines)

    def _prepare_guest(self):
        self.guest.sh("set -e; for name in ip_gre sit ipip ip6_gre; do modprobe $name; done\n"
                      "ip link set eth0 up; LINKS=eth0\n" + self.QUIET)
        lines = ["address add 192.0.2.2/24 dev eth0", "-6 address add 2001:db8::2/64 dev eth0 nodad",
                 "rule add iif eth0 lookup 100 pref 100", "-6 rule add iif eth0 lookup 100 pref 100",
                 "route add 10.50.0.0/24 via 192.0.2.1", "-6 route add fd50::/64 via 2001:db8::1",
                 "route add 10.60.0.0/16 via 192.0.2.1", "-6 route add fd60::/16 via 2001:db8::1"]
        for t in self.tunnels:
            lines.append(f"address add {t.end(2)}/24 dev eth0" if t.outer == 4 else
                         f"-6 address add {t.end(2)}/64 dev eth0 nodad")
        self.batch_guest(lines)

    def batch_near(self, lines):
        """Lines of `ip`, without the word; those that begin with -6 are told that they are of IPv6."""
        for option, text in self._batches(lines):
            self.near.run(["ip", option, "-batch", "-"], stdin=text)

    def batch_guest(self, lines):
        script = "set -eo pipefail\n"
        for option, text in self._batches(lines):
            script += f"echo {base64.b64encode(text.encode()).decode()} | base64 -d | ip {option} -batch -\n"
        self.guest.sh(script)

    @staticmethod
    def _batches(lines):
        v6 = [line.removeprefix("-6 ") for line in lines if line.startswith("-6 ")]
        others = [line for line in lines if not line.startswith("-6 ")]
        return [(option, "\n".join(some)) for option, some in (("-6", v6), ("-4", others)) if some]

    # ---- Tunnels ----

    def _make_tunnels(self, device_mtu):
        kernel_lines = []
        for t in self.tunnels:
            self.near.hatsd("tunnel", "add", t.device(1), "mode", t.kind, "local", t.end(1), "remote", t.end(2),
                            *t.words.split())
            kernel_lines.append(f"link add {t.device(2)} type {t.kind} local {t.end(2)} remote {t.end(1)} "
                                f"{t.kernel_words}")
        self.batch_guest(kernel_lines + [f"link set {t.device(2)} up" for t in self.tunnels])
        self.batch_near([f"link set {t.device(1)} up" for t in self.tunnels])
        self.new = {1: self.near.out("ip -o link"), 2: self.guest.sh("ip -o link")}
        for batch, side in ((self.batch_near, 1), (self.batch_guest, 2)):
            batch([f"link set {t.device(side)} mtu {device_mtu}" for t in self.tunnels if device_mtu]
                  + [line for t in self.tunnels for line in t.addresses(side)])

    def first_mtu(self, tunnel, side):
        """The MTU that the device had when it was new."""
        return int(re.search(rf" {tunnel.device(side)}(?:@\S+)?: .* mtu (\d+)", self.new[side]).group(1))

    def link_locals(self, side):
        """The link-local addresses of a side as numbers: {device: address}."""
        look = "ip -6 -o address show scope link"
        text = self.near.out(look) if side == 1 else self.guest.sh(look)
        return {device: int(ipaddress.ip_address(address))
                for device, address in re.findall(r"\d+: (\S+) .*inet6 (fe80:\S+)/64", text)}

    def ping_all(self, count):
        """Packets in both directions through all tunnels, of all families that they carry. None may be lost; where one
        was, among so many at once on a busy machine, it is tried again."""
        for run, side in ((lambda script: self.near.sh(script, timeout=180).stdout, 1),
                          (lambda script: self.guest.sh(script, timeout=180), 2)):
            left = {t.inside(3 - side, family): str(t) for t in self.tunnels for family in t.families}
            for _ in range(3):
                script = [f"ping -q -n -c {count} -i 0.2 -W 20 {address} &" for address in left]
                text = run("\n".join(script) + "\nwait") if left else ""
                for address in re.findall(rf"--- (\S+) ping .*\n{count} packets transmitted, {count} received", text):
                    del left[address]
            assert not left, f"packets of side {side} were lost: {left}"

    # ---- Sending, watching ----

    def put_in(self, packet, side):
        """Gives a packet to the host of a side, as if another host had sent it."""
        if side == 1:
            self.lan_link.send(packet, self.macs["near"])
        else:
            self.tap.send(packet, self.macs["guest"])

    def seen(self):
        """What has passed since the last time, sorted: a list of (what, side, Ip). `what`: "outer", an outer packet that
        `side` sent; "inner", a packet that `side` forwarded after it came out of its tunnel; "error", an ICMP error of
        `side` to the sender on lan."""
        ends = {t.end(side): side for t in self.tunnels for side in (1, 2)}
        found = []
        for link, side in ((self.tap, 2), (self.lan_link, 1)):
            for outgoing, ip in link.take():
                if link is self.tap and ip.destination in ends and ends.get(ip.source) == (1 if outgoing else 2):
                    found.append(("outer", ends[ip.source], ip))
                elif outgoing:
                    continue
                elif ip.destination in LAN.values() and wire.read_icmp(ip):
                    found.append(("error", side, ip))
                elif ip.destination.startswith(("10.60.", "fd60:")):
                    found.append(("inner", side, ip))
        return found

    def exchange(self, tunnel, packets, timeout=60):
        """Puts packets in on both sides, and returns what is seen (as seen() does) until the marker that follows them has
        left each tunnel and has come out of it again."""
        self.seen()
        for packet in packets:
            for side in (1, 2):
                self.put_in(packet, side)
        self.markers += 1
        text = MARKER + self.markers.to_bytes(4, "big")
        marker = inner(tunnel, tunnel.families[-1], 0, text)
        missing = {(what, side) for what in ("outer", "inner") for side in (1, 2)}
        found = []

        def all_ended():
            new = self.seen()
            missing.difference_update((what, side) for what, side, ip in new if ip.raw.endswith(text))
            found.extend(one for one in new if MARKER not in one[2].raw)
            return not missing

        deadline = time.monotonic() + timeout
        ended = False
        while not ended:
            assert time.monotonic() < deadline, f"{tunnel}: the marker was not seen: {missing}"
            for side in (1, 2):
                self.put_in(marker, side)
            again = time.monotonic() + 2
            while not ended and time.monotonic() < again:
                time.sleep(0.02)
                ended = all_ended()
        time.sleep(0.05)  # ICMP errors leave by another way
        all_ended()
        return found

    def outer_to(self, tunnel, side, payload, tos=0, ttl=64, limit=None, **fields):
        """An outer packet for a side, from the other end."""
        source, destination = tunnel.end(3 - side), tunnel.end(side)
        if tunnel.outer == 4:
            return wire.ipv4(source, destination, tunnel.protocol, payload, ttl=ttl, tos=tos, **fields)
        protocol = tunnel.protocol
        if limit is not None:
            protocol, payload = wire.DESTINATION_OPTIONS, wire.destination_options(
                protocol, wire.limit_option(limit)) + payload
        return wire.ipv6(source, destination, protocol, payload, hop_limit=ttl, tclass=tos, **fields)

    def arrive(self, tunnel, packets, last, timeout=60):
        """Gives outer packets to both sides as if they came from the other end. `packets`: [(payload, fields for
        outer_to())]. `last`: makes the payload of an outer packet from an inner one; the tunnel must let it in. Returns
        for each side ([inner packets that came out, bytes], [ICMP errors (Ip) to the other end])."""
        self.seen()
        for payload, fields in packets:
            for side in (1, 2):
                self.put_in(self.outer_to(tunnel, side, payload, **fields), side)
        self.markers += 1
        text = MARKER + self.markers.to_bytes(4, "big")
        end = last(inner(tunnel, tunnel.families[-1], 0, text))
        missing, found = {1, 2}, []
        deadline = time.monotonic() + timeout
        again = 0
        while missing:
            assert time.monotonic() < deadline, f"{tunnel}: the last packet did not come out on side {missing}"
            if time.monotonic() > again:
                again = time.monotonic() + 5
                for side in missing:
                    self.put_in(self.outer_to(tunnel, side, end), side)
            time.sleep(0.02)
            new = self.seen()
            missing -= {side for what, side, ip in new if what == "inner" and ip.raw.endswith(text)}
            found += new
        return {side: ([ip.raw for what, where, ip in found if (what, where) == ("inner", side) and MARKER not in ip.raw],
                       [ip for what, where, ip in found if (what, where) == ("outer", side) and wire.read_icmp(ip)])
                for side in (1, 2)}


def inner(tunnel, family, number, data, destination=None, **fields):
    """A UDP datagram to beyond the tunnel. `number`: tells it from the others of a batch, in the identification of
    IPv4 and the flow label of IPv6."""
    destination = destination or tunnel.beyond(family)
    datagram = wire.udp(LAN[family], destination, data)
    if family == 4:
        return wire.ipv4(LAN[4], destination, wire.UDP, datagram, number=number, **fields)
    return wire.ipv6(LAN[6], destination, wire.UDP, datagram, label=number, **fields)


def number_of(header):
    """The number of such a packet, from the beginning of its IP header."""
    if header[0] >> 4 == 4:
        return int.from_bytes(header[4:6], "big")
    return int.from_bytes(header[0:4], "big") & 0xfffff

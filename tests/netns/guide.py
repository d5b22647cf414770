"""The peering guide's own text: its files and commands, with their placeholders filled."""
import os
import re

TEXT = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "peering-guide.txt")).read()

# The headings under which the guide speaks of each tunnel.
SECTIONS = {"wireguard": ("WireGuard\n\nWireGuard is", "GRE Tunnel\n"),
            "gre": ("GRE Tunnel\n", "SIT / ip6gre (IPv6 Tunneling)"),
            "sit": ("SIT / ip6gre (IPv6 Tunneling)", "Protocol Comparison")}


def section(kind):
    start, end = SECTIONS["sit" if kind == "ip6gre" else kind]
    begin = TEXT.index(start)
    return TEXT[begin:TEXT.index(end, begin + len(start))]


def fill(text, values):
    """Every {placeholder}, however many blanks it has, becomes its value; one that has none is an error of the test."""
    return re.sub(r"\{ ?([a-z0-9 ]+?) ?\}", lambda found: values[found.group(1)], text)


def values(name, ours, theirs, cidr, keys=None, peer=None, port=51820, peer_port=51820):
    """What to write for one side of a tunnel between the addresses `ours` and `theirs`."""
    out = {"name": name, "yourside ip": ours, "ourside ip": theirs, "yourside ipv4": ours, "ourside ipv4": theirs,
           "your tunnel ip cidr": cidr, "your tunnel ipv6 cidr": cidr, "yourside port": str(port),
           "ourside port": str(peer_port)}
    if keys:
        out["your private key"] = keys.private
        out["our public key"] = peer.public
    return out


def between(text, start, end, inclusive=False):
    begin = text.index(start)
    if not inclusive:
        begin += len(start)
    return text[begin:text.index(end, begin)]


def wg_quick_file(filling):
    return fill(between(section("wireguard"), "/etc/wireguard/{name}.conf\n", "  1. Create the .netdev"), filling)


def netdev_file(kind, filling):
    text = fill(between(section(kind), "/etc/systemd/network/10-{name}.netdev\n", "  1. Configure"), filling)
    # The guide writes out sit, and tells in a comment what to put in its place.
    return text.replace("\nKind = sit", "\nKind = ip6gre") if kind == "ip6gre" else text


def network_file(kind, filling):
    return fill(between(section(kind), "/etc/systemd/network/10-{name}.network\n", "  1. Apply"), filling)


def netplan_file(kind, filling):
    text = fill(between(section(kind), "/etc/netplan/10-{name}.yaml\n", "  1. Apply"), filling)
    return text.replace("mode: sit", "mode: ip6gre") if kind == "ip6gre" else text


def commands(kind, filling):
    """The three lines of the guide that make the tunnel, with `ip tunnel` as `hatsd-user tunnel`."""
    lines = section(kind).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"ip tunnel add {{name}} mode {kind} "))
    return [fill(line, filling).replace("ip tunnel", "hatsd-user tunnel", 1) for line in lines[first:first + 3]]


def mtu_example(filling):
    """`ip link set dev {name} mtu 1468`."""
    return fill(next(line for line in TEXT.splitlines() if re.match(r"ip link set dev \{name\} mtu", line)), filling)

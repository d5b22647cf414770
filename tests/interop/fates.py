"""What becomes of inner packets that go into two tunnels, ours and the kernel's, and in what the two differ.

A Difference that we mean to have is named, with its reason; compare() in test_kernel_encap.py holds the list against
what it sees: each must occur, and nothing else may.
"""
import dataclasses

import wire
from kernel_encap import number_of


@dataclasses.dataclass
class Fate:
    """What a side made of one inner packet."""
    sent: list = dataclasses.field(default_factory=list)  # of each outer packet: fields of its parts, then of the whole
    errors: list = dataclasses.field(default_factory=list)  # fields of ICMP errors to the inner sender
    came_out: list = dataclasses.field(default_factory=list)  # of the other side's tunnel: bytes

    def __str__(self):
        def short(fields):
            return ", ".join(f"{name} {value if not isinstance(value, bytes) else f'of {len(value)} bytes'}"
                             for name, value in fields.items())
        told = [f"sent ({') ('.join(short(part) for part in parts)})" for parts in self.sent]
        told += [f"told its sender ({short(error)})" for error in self.errors]
        told += [f"came out beginning with {out[:40].hex()}" for out in self.came_out]
        return "; ".join(told) or "nothing"


@dataclasses.dataclass
class Difference:
    """A case in which we do not do as the kernel does. `applies(tunnel, family, name of the packet)`. `fields`: which
    may differ then."""
    reason: str
    fields: set
    applies: object


def outer_fields(ip, tunnel):
    """What must be alike of an outer packet, or of a fragment. Not: addresses, the checksum's value, IP's number."""
    fields = {"DS": ip.tos, "TTL": ip.ttl, "length": ip.length, "protocol": ip.protocol, "offset": ip.offset,
              "more": ip.mf, "checksum good": ip.checksum_good}
    if tunnel.outer == 4:
        return fields | {"DF": ip.df, "options": ip.options}
    return fields | {"flow label": ip.label, "extensions": ip.extensions, "limit": ip.limit}


def payload_fields(payload, tunnel):
    """The GRE header, if there is one, and the inner packet. The sequence number is looked at apart."""
    if tunnel.protocol != wire.GRE:
        return {"inner": payload}
    gre = wire.read_gre(payload)
    return {"flags": f"{gre.flags:04x}", "type": f"{gre.protocol:04x}", "key": gre.key, "GRE checksum": gre.checksum_good,
            "reserved": gre.reserved, "inner": gre.payload}


def error_fields(error):
    return {"ICMP": (error.kind, error.code, error.rest), "checksum good": error.checksum_good, "quoted": error.quoted}


def wholes(tunnel, found, side):
    """Outer packets that a side sent, in order: [(their parts, payload)]."""
    parts = {}
    for what, where, ip in found:
        if what == "outer" and where == side and ip.protocol == tunnel.protocol:
            name = (ip.fragment, ip.number) if ip.is_fragment else object()
            parts.setdefault(name, []).append(ip)
    return [(some, wire.reassemble(some)) for some in parts.values()]


def fates(tunnel, found, side, family):
    """{number: Fate} of the inner packets of one family that went into the tunnel on a side. `found`: by
    Bench.exchange()."""
    result = {}

    def fate(number):
        return result.setdefault(number, Fate())

    for parts, payload in wholes(tunnel, found, side):
        assert payload is not None, f"{tunnel}: fragments are missing: {parts}"
        whole = payload_fields(payload, tunnel)
        packet = whole["inner"]
        if packet[0] >> 4 == family and wire.packed(tunnel.beyond(family)) in packet[:40]:  # else the host's own
            fate(number_of(packet)).sent.append([outer_fields(part, tunnel) for part in parts] + [whole])
    for what, where, ip in found:
        if what == "error" and where == side and ip.version == family:
            error = wire.read_icmp(ip)
            fate(number_of(error.quoted)).errors.append(error_fields(error))
        elif what == "inner" and where == 3 - side and ip.version == family:
            fate(number_of(ip.raw)).came_out.append(ip.raw)
    return result


def differing(ours, kernels):
    """Names of the fields in which two Fates differ; "fate" if they are of another kind."""
    shape = [[len(parts) for parts in fate.sent] + ["error" for _ in fate.errors] for fate in (ours, kernels)]
    if shape[0] != shape[1]:
        return {"fate"}
    pairs = list(zip(ours.errors, kernels.errors))
    for one, other in zip(ours.sent, kernels.sent):
        pairs += zip(one, other)
    names = {name for one, other in pairs for name in one if one[name] != other[name]}
    return names | ({"what came out"} if ours.came_out != kernels.came_out else set())


def sequence_fault(tunnel, found, side):
    """What is wrong with the order of GRE sequence numbers of a side, or None."""
    numbers = [wire.read_gre(payload).sequence for _, payload in wholes(tunnel, found, side)]
    if "seq" not in tunnel.words.split():
        return None if set(numbers) <= {None} else f"numbers without `seq`: {numbers}"
    return None if numbers == list(range(numbers[0], numbers[0] + len(numbers))) else f"numbers: {numbers}"

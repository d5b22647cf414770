"""IP packets made and read field by field, and packet sockets that put them on a link and take them from it.

Addresses are text, packets are bytes from the IP header on. What is made is valid unless the caller says otherwise;
what is read says of each checksum whether it is right.
"""
import dataclasses
import ipaddress
import socket
import struct

GRE, SIT, IPIP, UDP, ICMP, ICMPV6 = 47, 41, 4, 17, 1, 58
FRAGMENT, DESTINATION_OPTIONS, NO_NEXT_HEADER = 44, 60, 59
IPV4, IPV6 = 0x0800, 0x86dd
ENCAPSULATION_LIMIT = 4  # the option's type, RFC 2473 4.1.1


def packed(address):
    return ipaddress.ip_address(address).packed


def sum16(data):
    """The folded ones' complement sum of RFC 1071; 0xffff over data that holds its own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def checksum(data):
    return ~sum16(data) & 0xffff


def put(data, at, number):
    """`data` with a 16-bit number written at an offset."""
    return data[:at] + struct.pack("!H", number) + data[at + 2:]


# ---- Making packets ----

def ipv4(source, destination, protocol, payload=b"", ttl=64, tos=0, number=1, df=False, mf=False, offset=0,
         options=b""):
    """`number`: the identification. `offset`: of a fragment, in bytes."""
    fragment = (0x4000 if df else 0) | (0x2000 if mf else 0) | offset // 8
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, tos, 20 + len(options) + len(payload), number,
                         fragment, ttl, protocol, 0, packed(source), packed(destination)) + options
    return put(header, 10, checksum(header)) + payload


def ipv6(source, destination, next_header, payload=b"", hop_limit=64, tclass=0, label=0):
    return struct.pack("!IHBB16s16s", 6 << 28 | tclass << 20 | label, len(payload), next_header, hop_limit,
                       packed(source), packed(destination)) + payload


def pseudo_header(source, destination, protocol, length):
    """Of either family; the same sum."""
    return packed(source) + packed(destination) + struct.pack("!II", length, protocol)


def udp(source, destination, data, sport=7, dport=7):
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    check = checksum(pseudo_header(source, destination, UDP, len(datagram)) + datagram)
    return put(datagram, 6, check or 0xffff)


def gre(protocol, payload, key=None, with_checksum=False, sequence=None, flags=0):
    """`flags`: more of them, as they stand in the first 16 bits."""
    flags |= (0x8000 if with_checksum else 0) | (0 if key is None else 0x2000) | (0 if sequence is None else 0x1000)
    packet = struct.pack("!HH", flags, protocol) + (bytes(4) if with_checksum else b"")
    packet += b"" if key is None else struct.pack("!I", key)
    packet += b"" if sequence is None else struct.pack("!I", sequence)
    packet += payload
    return put(packet, 4, checksum(packet)) if with_checksum else packet


def icmp(kind, code, rest, body):
    """ICMPv4. `rest`: the second word."""
    message = struct.pack("!BBHI", kind, code, 0, rest) + body
    return put(message, 2, checksum(message))


def icmpv6(source, destination, kind, code, rest, body):
    message = struct.pack("!BBHI", kind, code, 0, rest) + body
    return put(message, 2, checksum(pseudo_header(source, destination, ICMPV6, len(message)) + message))


def destination_options(next_header, options):
    """The extension header; `options` with its padding: 6 bytes, or 8 more for each."""
    return bytes([next_header, (len(options) + 2) // 8 - 1]) + options


def limit_option(value):
    """An encapsulation limit as Linux writes it, padded: for destination_options()."""
    return bytes([ENCAPSULATION_LIMIT, 1, value, 1, 1, 0])


# ---- Reading packets ----

@dataclasses.dataclass
class Ip:
    """An IP packet. `protocol`, `payload`: what follows the extension headers of IPv6; of a fragment, its part."""
    version: int
    source: str
    destination: str
    tos: int
    ttl: int
    protocol: int
    payload: bytes
    length: int  # by the header
    number: int = 0  # IPv4's identification
    df: bool = False
    mf: bool = False
    offset: int = 0  # bytes
    label: int = 0
    options: bytes = b""
    checksum_good: bool = True
    limit: int | None = None  # encapsulation limit
    extensions: tuple = ()  # types of IPv6 extension headers
    fragment: int | None = None  # identification of an IPv6 fragment
    raw: bytes = b""

    @property
    def is_fragment(self):
        return self.mf or self.offset != 0


def read(packet):
    """An Ip, or None where it is not a whole packet."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return read_v4(packet)
    return read_v6(packet) if len(packet) >= 40 and packet[0] >> 4 == 6 else None


def read_v4(packet):
    first, tos, length, number, fragment, ttl, protocol, _, source, destination = struct.unpack(
        "!BBHHHBBH4s4s", packet[:20])
    header = (first & 15) * 4
    if header < 20 or not header <= length <= len(packet):
        return None
    return Ip(4, str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination)), tos, ttl, protocol,
              packet[header:length], length, number=number, df=bool(fragment & 0x4000), mf=bool(fragment & 0x2000),
              offset=(fragment & 0x1fff) * 8, options=packet[20:header],
              checksum_good=sum16(packet[:header]) == 0xffff, raw=packet[:length])


def read_v6(packet):
    first, length, protocol, hop_limit, source, destination = struct.unpack("!IHBB16s16s", packet[:40])
    if 40 + length > len(packet):
        return None
    ip = Ip(6, str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination)), first >> 20 & 0xff,
            hop_limit, protocol, packet[40:40 + length], 40 + length, label=first & 0xfffff, raw=packet[:40 + length])
    while ip.protocol in (0, 43, FRAGMENT, DESTINATION_OPTIONS) and len(ip.payload) >= 8:
        header = 8 if ip.protocol == FRAGMENT else 8 + ip.payload[1] * 8
        ip.extensions += (ip.protocol,)
        if ip.protocol == DESTINATION_OPTIONS and ip.payload[2:4] == bytes([ENCAPSULATION_LIMIT, 1]):
            ip.limit = ip.payload[4]
        if ip.protocol == FRAGMENT:
            word, ip.fragment = struct.unpack("!HI", ip.payload[2:8])
            ip.offset, ip.mf = word & 0xfff8, bool(word & 1)
        ip.protocol, ip.payload = ip.payload[0], ip.payload[header:]
        if ip.offset:
            break
    return ip


@dataclasses.dataclass
class Gre:
    flags: int  # the first 16 bits
    protocol: int
    key: int | None
    sequence: int | None
    checksum_good: bool | None  # None: there is none
    reserved: int  # beside the checksum
    payload: bytes


def read_gre(data):
    flags, protocol = struct.unpack("!HH", data[:4])
    at, good, key, sequence, reserved = 4, None, None, None, 0
    if flags & 0x8000:
        good, reserved, at = sum16(data) == 0xffff, struct.unpack("!H", data[6:8])[0], 8
    if flags & 0x2000:
        key, at = struct.unpack("!I", data[at:at + 4])[0], at + 4
    if flags & 0x1000:
        sequence, at = struct.unpack("!I", data[at:at + 4])[0], at + 4
    return Gre(flags, protocol, key, sequence, good, reserved, data[at:])


def reassemble(fragments):
    """The payload of all the fragments (Ip) of one packet, or None where one is missing."""
    data, done = b"", False
    for part in sorted(fragments, key=lambda part: part.offset):
        if part.offset != len(data):
            return None
        data, done = data + part.payload, not part.mf
    return data if done else None


@dataclasses.dataclass
class IcmpError:
    source: str
    kind: int
    code: int
    rest: int
    quoted: bytes
    checksum_good: bool


def read_icmp(ip):
    """The ICMP error in an Ip, or None."""
    data = ip.payload
    if len(data) < 8 or ip.protocol != (ICMP if ip.version == 4 else ICMPV6):
        return None
    if data[0] not in ((3, 4, 11, 12) if ip.version == 4 else (1, 2, 3, 4)):
        return None
    covered = data if ip.version == 4 else pseudo_header(ip.source, ip.destination, ICMPV6, len(data)) + data
    return IcmpError(ip.source, data[0], data[1], struct.unpack("!I", data[4:8])[0], data[8:],
                     ip.checksum_good and sum16(covered) == 0xffff)


# ---- Packet sockets ----

class Link:
    """A packet socket on one interface of the namespace that the caller is in: packets from their IP header on."""
    ALL = 3  # ETH_P_ALL
    RECEIVE_BUFFER = 32 << 20  # bytes
    FORCE_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE

    def __init__(self, interface):
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, self.FORCE_RECEIVE_BUFFER, self.RECEIVE_BUFFER)
        self.socket.bind((interface, self.ALL))
        self.socket.setblocking(False)

    def send(self, packet, mac):
        """`mac`: of the next host, as text."""
        protocol = IPV4 if packet[0] >> 4 == 4 else IPV6
        self.socket.sendto(packet, (self.interface, protocol, 0, 0, bytes.fromhex(mac.replace(":", ""))))

    def take(self):
        """What has passed since the last time: [(whether it left this host, Ip)]."""
        seen = []
        while True:
            try:
                data, address = self.socket.recvfrom(70000)
            except BlockingIOError:
                return seen
            ip = read(data)
            if ip is not None:
                seen.append((address[2] == socket.PACKET_OUTGOING, ip))

    def close(self):
        self.socket.close()

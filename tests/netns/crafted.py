"""Frames of unencrypted tunnels as no honest peer makes them, and a stranger on the link who sends them.

The stranger has no addresses: the victim is told by fixed neighbour entries that every remote is at his MAC address, so
nothing answers but what a test sends, and all that the victim says is heard.
"""
import contextlib
import ctypes
import os
import socket
import struct
import time

from harness import inside
from noise import checksum, ipv4

GRE, SIT, IPIP = 47, 41, 4
ETHER_V4, ETHER_V6 = 0x0800, 0x86dd
OUTGOING = 4  # sll_pkttype


def ipv6(source, destination, payload, following, hops=64, length=None, traffic_class=0):
    return struct.pack(">IHBB", 6 << 28 | traffic_class << 20, len(payload) if length is None else length, following, hops) + \
        socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload


def gre(payload, protocol=ETHER_V4, key=None, sequence=None, with_checksum=False, flags=0):
    """RFC 2784, RFC 2890. `flags` are added to those that the fields need."""
    bits = flags | (0x8000 if with_checksum else 0) | (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    head = struct.pack(">HH", bits, protocol)
    if with_checksum:
        head += bytes(4)
    if key is not None:
        head += struct.pack(">I", key)
    if sequence is not None:
        head += struct.pack(">I", sequence & 0xffffffff)
    whole = head + payload
    return whole[:4] + struct.pack(">H", checksum(whole)) + whole[6:] if with_checksum else whole


def fragments(packet, size=1480):
    """An IPv4 packet without options, cut into pieces of `size` bytes of payload, a multiple of 8."""
    number = os.urandom(2)
    out = []
    for at in range(20, len(packet), size):
        part, more = packet[at:at + size], at + size < len(packet)
        head = packet[:2] + struct.pack(">H", 20 + len(part)) + number + \
            struct.pack(">H", (at - 20) // 8 | (0x2000 if more else 0)) + packet[8:10] + b"\0\0" + packet[12:20]
        out.append(head[:10] + struct.pack(">H", checksum(head)) + head[12:] + part)
    return out


def fragments_v6(packet, size=1448):
    """An IPv6 packet without extension headers, cut."""
    number = os.urandom(4)
    out = []
    for at in range(40, len(packet), size):
        part, more = packet[at:at + size], at + size < len(packet)
        extension = struct.pack(">BBH", packet[6], 0, (at - 40) | (1 if more else 0)) + number
        out.append(packet[:4] + struct.pack(">HB", 8 + len(part), 44) + packet[7:40] + extension + part)
    return out


def icmp_error(reporter, to, quoted, kind=3, code=4, mtu=0):
    text = struct.pack(">BBHHH", kind, code, 0, 0, mtu) + quoted
    return ipv4(reporter, to, text[:2] + struct.pack(">H", checksum(text)) + text[4:])


def icmp_error_v6(reporter, to, quoted, kind=2, code=0, mtu=0):
    text = struct.pack(">BBHI", kind, code, 0, mtu) + quoted
    pseudo = socket.inet_pton(socket.AF_INET6, reporter) + socket.inet_pton(socket.AF_INET6, to) + \
        struct.pack(">II", len(text), 58)
    return ipv6(reporter, to, text[:2] + struct.pack(">H", checksum(pseudo + text)) + text[4:], 58)


def unfinished_tcp(source, destination, payload, flags=0x10):
    """An IPv4 packet whose TCP checksum is that of the pseudo-header alone, as GRO leaves it in what it has merged."""
    size = 20 + len(payload)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", 6, size)
    folded = ~checksum(pseudo) & 0xffff
    return ipv4(source, destination, struct.pack(">HHIIBBHHH", 80, 90, 1, 1, 0x50, flags, 512, folded, 0) + payload, 6)


class IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """struct mmsghdr: what it holds, and the padding that the compiler puts behind `flags` and at the end."""
    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint32), ("parts", ctypes.POINTER(IoVector)),
                ("part_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("sent", ctypes.c_uint),
                ("padding_at_end", ctypes.c_int)]


class Stranger:
    """On the other end of the victim's link `link`: sends frames, hears what comes back."""

    def __init__(self, host, link, victim, victim_link):
        self.mac = bytes.fromhex(host.out(f"cat /sys/class/net/{link}/address").replace(":", ""))
        self.victim_mac = bytes.fromhex(victim.out(f"cat /sys/class/net/{victim_link}/address").replace(":", ""))
        with inside(host):
            self.line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.line.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.line.bind((link, 3))

    def frame(self, packet):
        kind = ETHER_V6 if packet[:1] and packet[0] >> 4 == 6 else ETHER_V4
        return self.victim_mac + self.mac + struct.pack(">H", kind) + packet

    def send(self, *packets):
        for number, packet in enumerate(packets):
            self.line.send(self.frame(packet))
            if number % 64 == 63:
                time.sleep(0.002)  # not a flood: each is to be counted

    def flood(self, packets, seconds):
        """Sends them over and over, as fast as it goes; returns packets a second."""
        frames = [ctypes.create_string_buffer(self.frame(packet), 14 + len(packet)) for packet in packets]
        parts = [IoVector(ctypes.addressof(frame), len(frame)) for frame in frames]
        batch = (Message * len(frames))(*[Message(None, 0, ctypes.pointer(part), 1) for part in parts])
        assert ctypes.sizeof(Message) == 64, "else the kernel reads all but the first elsewhere"
        send, sent = ctypes.CDLL(None).sendmmsg, 0
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            sent += max(send(self.line.fileno(), batch, len(frames), 0), 0)
        return sent / (time.monotonic() - start)

    def heard(self, wait=0.3):
        """The IP packets that the victim has sent; not its host's neighbour and group messages."""
        out = []
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            self.line.settimeout(left)
            with contextlib.suppress(TimeoutError):
                frame, address = self.line.recvfrom(70000)
                if address[2] == OUTGOING or struct.unpack(">H", frame[12:14])[0] not in (ETHER_V4, ETHER_V6):
                    continue
                packet = frame[14:]
                if packet[0] >> 4 == 4:
                    packet = packet[:struct.unpack(">H", packet[2:4])[0]]
                if not is_housekeeping(packet):
                    out.append(packet)
        return out

    def close(self):
        self.line.close()


def inner_of(packet):
    """What an outer packet carries, without its headers."""
    if packet[0] >> 4 == 4:
        protocol, payload = packet[9], packet[packet[0] % 16 * 4:]
    else:
        protocol, payload = packet[6], packet[40:]
        if protocol == 60:
            protocol, payload = payload[0], payload[8 + payload[1] * 8:]
    if protocol == GRE and len(payload) >= 4:
        bits = payload[0]
        return payload[4 + 4 * bool(bits & 0x80) + 4 * bool(bits & 0x20) + 4 * bool(bits & 0x10):]
    return payload if protocol in (SIT, IPIP) else b""


def is_housekeeping(packet):
    """Multicast listener reports, router and neighbour solicitations of the victim's kernel, on the link or in a tunnel."""
    inner = inner_of(packet)
    if inner and inner[0] >> 4 == 6 and is_housekeeping(inner):
        return True
    return packet[0] >> 4 == 6 and packet[24] == 0xff

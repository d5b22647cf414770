"""A WireGuard peer that does as it is told: enough of the handshake to hold a session and send what no honest peer sends.

Slow, not constant-time, standard library only; for tests. Section numbers are the WireGuard paper's.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import time

PRIME = 2**255 - 19
CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"


def x25519(scalar, point):
    """RFC 7748, section 5."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for bit in range(254, -1, -1):
        now = k >> bit & 1
        if swap ^ now:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = now
        a, b = x2 + z2, x2 - z2
        aa, bb = a * a % PRIME, b * b % PRIME
        da, cb = (x3 - z3) * a, (x3 + z3) * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (aa + 121665 * e) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")


def chacha_rounds(words):
    def turn(x, n):
        return (x << n | x >> 32 - n) & 0xffffffff
    s = list(words)
    quarters = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for _ in range(10):
        for a, b, c, d in quarters:
            s[a] = s[a] + s[b] & 0xffffffff
            s[d] = turn(s[d] ^ s[a], 16)
            s[c] = s[c] + s[d] & 0xffffffff
            s[b] = turn(s[b] ^ s[c], 12)
            s[a] = s[a] + s[b] & 0xffffffff
            s[d] = turn(s[d] ^ s[a], 8)
            s[c] = s[c] + s[d] & 0xffffffff
            s[b] = turn(s[b] ^ s[c], 7)
    return s


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def chacha_stream(key, nonce, size, counter):
    out = b""
    while len(out) < size:
        words = SIGMA + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
        out += struct.pack("<16I", *(a + b & 0xffffffff for a, b in zip(words, chacha_rounds(words))))
        counter += 1
    return out[:size]


def poly1305(key, text):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def tag_of(key, nonce, ciphertext, extra):
    def pad(data):
        return data + bytes(-len(data) % 16)
    return poly1305(chacha_stream(key, nonce, 32, 0),
                    pad(extra) + pad(ciphertext) + struct.pack("<QQ", len(extra), len(ciphertext)))


def seal(key, counter, text, extra=b""):
    nonce = bytes(4) + struct.pack("<Q", counter)
    out = bytes(a ^ b for a, b in zip(text, chacha_stream(key, nonce, len(text), 1)))
    return out + tag_of(key, nonce, out, extra)


def unseal(key, counter, text, extra=b""):
    nonce = bytes(4) + struct.pack("<Q", counter)
    if tag_of(key, nonce, text[:-16], extra) != text[-16:]:
        raise ValueError("bad tag")
    return bytes(a ^ b for a, b in zip(text[:-16], chacha_stream(key, nonce, len(text) - 16, 1)))


def xunseal(key, nonce, text, extra):
    words = chacha_rounds(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    subkey = struct.pack("<8I", *(words[:4] + words[12:]))
    nonce = bytes(4) + nonce[16:]
    if tag_of(subkey, nonce, text[:-16], extra) != text[-16:]:
        raise ValueError("bad tag")
    return bytes(a ^ b for a, b in zip(text[:-16], chacha_stream(subkey, nonce, len(text) - 16, 1)))


def digest(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def kdf(key, data, count):
    def mac(k, text):
        return hmac.new(k, text, hashlib.blake2s).digest()
    secret, out = mac(key, data), [b""]
    for number in range(1, count + 1):
        out.append(mac(secret, out[-1] + bytes([number])))
    return out[1:]


def mac16(key, text):
    return hashlib.blake2s(text, key=key, digest_size=16).digest()


def with_mac1(message, responder, mac2=bytes(16)):
    """`message` without macs -> with a mac1 that is valid for `responder`, a public key."""
    return message + mac16(digest(b"mac1----", responder), message) + mac2


class Peer:
    """The initiator of sessions with `remote`, at `address`; keys are wg(8)'s base64."""

    def __init__(self, private, remote, address, bind=None):
        self.private, self.remote = base64.b64decode(private), base64.b64decode(remote)
        self.public = x25519(self.private, BASE)
        self.shared = x25519(self.private, self.remote)
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.settimeout(2)
        if bind:
            self.line.bind(bind)
        self.address = address
        self.counter = 0

    def initiation(self, mac2=None, stamp=None):
        """WG 5.4.2."""
        self.ephemeral = os.urandom(32)
        public = x25519(self.ephemeral, BASE)
        chain = digest(CONSTRUCTION)
        state = digest(digest(chain, IDENTIFIER), self.remote)
        chain, = kdf(chain, public, 1)
        state = digest(state, public)
        chain, key = kdf(chain, x25519(self.ephemeral, self.remote), 2)
        static = seal(key, 0, self.public, state)
        state = digest(state, static)
        chain, key = kdf(chain, self.shared, 2)
        now = time.time()
        clock = stamp or struct.pack(">QI", 2**62 + 10 + int(now), int(now % 1 * 1e9) & ~0xffffff)
        stamp = seal(key, 0, clock, state)
        self.chain, self.state = chain, digest(state, stamp)
        self.index = os.urandom(4)
        message = b"\1\0\0\0" + self.index + public + static + stamp
        self.last = with_mac1(message, self.remote)
        if mac2:
            self.last = self.last[:132] + mac16(mac2, self.last[:132])
        return self.last

    def take_response(self, message):
        """WG 5.4.3."""
        assert len(message) == 92 and message[:4] == b"\2\0\0\0" and message[8:12] == self.index, message.hex()
        public = message[12:44]
        chain, = kdf(self.chain, public, 1)
        state = digest(self.state, public)
        chain, = kdf(chain, x25519(self.ephemeral, public), 1)
        chain, = kdf(chain, x25519(self.private, public), 1)
        chain, extra, key = kdf(chain, bytes(32), 3)
        state = digest(state, extra)
        unseal(key, 0, message[44:60], state)
        self.send_key, self.receive_key = kdf(chain, b"", 2)
        self.theirs, self.counter = message[4:8], 0

    def connect(self):
        self.line.sendto(self.initiation(), self.address)
        while True:
            message = self.line.recv(65536)
            if message[0] == 2:
                break
        self.take_response(message)
        self.send(b"")
        return self

    def data(self, text, counter=None):
        if counter is None:
            counter, self.counter = self.counter, self.counter + 1
        return b"\4\0\0\0" + self.theirs + struct.pack("<Q", counter) + seal(self.send_key, counter, text)

    def send(self, text, counter=None):
        self.line.sendto(self.data(text, counter), self.address)

    def receive(self, timeout=2):
        """The next plaintext that is not a keepalive."""
        self.line.settimeout(timeout)
        while True:
            message = self.line.recv(65536)
            if message[0] == 4 and message[4:8] == self.index:
                text = unseal(self.receive_key, struct.unpack("<Q", message[8:16])[0], message[16:])
                if text:
                    return text

    def cookie_of(self, reply):
        """WG 5.4.7: the cookie in a reply to self.last."""
        assert len(reply) == 64 and reply[4:8] == self.index
        return xunseal(digest(b"cookie--", self.remote), reply[8:32], reply[32:], self.last[116:132])


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, destination, payload, protocol=1, ttl=64, options=b"", length=None, ihl=None, fragment=0):
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | ihl, 0, length & 0xffff, 7, fragment, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination)) + options
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return head + payload


def echo(number=1, payload=b"x" * 16):
    text = struct.pack(">BBHHH", 8, 0, 0, 77, number) + payload
    return text[:2] + struct.pack(">H", checksum(text)) + text[4:]

#!/usr/bin/env python3
"""A hostile network and a hostile peer: floods, replays, malformed packets inside and outside, storms of local changes.

What must hold each time: the daemon lives, honest traffic goes on, memory and descriptors do not grow, and no CPU is
used once the attack is over.
"""
import contextlib
import glob
import json
import os
import random
import re
import signal
import socket
import stat
import struct
import threading
import time
from base64 import b64decode

import harness
from harness import HATSD, Keys, Pair, World, inside, until, wg_quick_file
from noise import Peer, echo, ipv4, with_mac1

UDP_SEGMENT = 103


def status(host, name):
    shown = json.loads(host.hatsd("show", "--json").stdout)
    return next(entry for entry in shown["interfaces"] if entry["name"] == name)


def data_process():
    """Of the only daemon."""
    found = glob.glob("/run/hatsd-user/*.sock")
    assert len(found) == 1, found
    return int(os.path.basename(found[0]).split(".")[0])


class Vitals:
    """Memory, descriptors, threads and CPU time of a process."""

    def __init__(self, process):
        self.process = process
        self.memory, self.files, self.threads = self.rss(), self.open_files(), len(os.listdir(f"/proc/{process}/task"))

    def rss(self):
        with open(f"/proc/{self.process}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process}/fd"))

    def ticks(self):
        with open(f"/proc/{self.process}/stat") as line:
            return sum(map(int, line.read().rsplit(")", 1)[1].split()[11:13]))

    def check(self, growth=16 << 20):
        until(lambda: self.open_files() <= self.files, what=f"descriptors back to {self.files}: {self.open_files()}")
        assert len(os.listdir(f"/proc/{self.process}/task")) == self.threads
        grown = self.rss() - self.memory
        assert grown < growth, f"memory grew by {grown >> 10} KiB"

    def check_idle(self, seconds=2):
        time.sleep(0.5)
        before = self.ticks()
        time.sleep(seconds)
        used = self.ticks() - before
        assert used <= 2, f"{used} ticks of CPU within {seconds} s of idling"


class Victim:
    """A host with one bare daemon, its interface wgv at 10.9.0.1, and a peer of ours, 10.9.0.2."""

    def __init__(self, world):
        self.host = world.host("victim")
        self.keys, self.peer_keys = Keys(), Keys()
        self.host.run([HATSD, "wgv"])
        self.host.run(["wg", "set", "wgv", "listen-port", "5000", "private-key", world.file("key", self.keys.private),
                       "peer", self.peer_keys.public, "allowed-ips", "10.9.0.2/32,fd09::2/128"])
        self.host.run("ip address add 10.9.0.1/24 dev wgv")
        self.host.run("ip link set wgv up")
        self.process = data_process()

    def peer(self):
        with inside(self.host):
            return Peer(self.peer_keys.private, self.keys.public, ("127.0.0.1", 5000))

    def drops(self):
        return status(self.host, "wgv")["drops"]


def answers(peer, number):
    """True if an echo request inside the tunnel is answered."""
    peer.send(ipv4("10.9.0.2", "10.9.0.1", echo(number)))
    try:
        while True:
            text = peer.receive(2)
            if text[9] == 1 and text[20] == 0 and struct.unpack(">H", text[26:28])[0] == number:
                return True
    except socket.timeout:
        return False


def test_a_peer_that_sends_nonsense_inside_its_session_only_has_it_dropped():
    with World() as world:
        victim = Victim(world)
        peer = victim.peer().connect()
        assert answers(peer, 1)
        vitals = Vitals(victim.process)
        random.seed(5)
        good = ipv4("10.9.0.2", "10.9.0.1", echo(2))
        six = struct.pack(">IHBB", 6 << 28, 8, 58, 64) + bytes(15) + b"\2" + bytes(15) + b"\1" + bytes(8)
        packets = [b"", b"\0", b"\x45", b"\x60", good[:19], good[:20], good[:27], six[:39], six[:40], bytes(2000),
                   b"\x55" + good[1:], b"\x4f" + good[1:], b"\x40" + good[1:], b"\x44" + good[1:],
                   ipv4("10.9.0.2", "10.9.0.1", echo(), length=0), ipv4("10.9.0.2", "10.9.0.1", echo(), length=19),
                   ipv4("10.9.0.2", "10.9.0.1", echo(), length=65535), ipv4("10.9.0.2", "10.9.0.1", echo(), ttl=0),
                   ipv4("10.9.0.2", "10.9.0.1", echo(), options=b"\x07\xff" + b"\xff" * 38),
                   ipv4("10.9.0.2", "10.9.0.1", b"", protocol=6), ipv4("10.9.0.2", "10.9.0.1", bytes(7), protocol=17),
                   ipv4("10.9.0.2", "10.9.0.1", bytes(12) + b"\xf0" + bytes(7), protocol=6),
                   ipv4("10.9.0.2", "10.9.0.1", bytes(20), protocol=6, fragment=0x3fff),
                   ipv4("10.9.0.3", "10.9.0.1", echo()), ipv4("127.0.0.1", "10.9.0.1", echo()),
                   six[:4] + b"\xff\xff" + six[6:], six[:4] + b"\0\0\0" + six[7:] + bytes(1000)]
        for packet in packets:
            peer.send(packet)
            peer.send(packet + bytes(-len(packet) % 16))
        # like segments of one stream, with lengths that lie: what merging for the TUN looks at
        for number in range(60):
            segment = struct.pack(">HHIIBBHHH", 80, 90, number * 100, 0, random.choice([0x50, 0xf0, 0x00, 0x60]), 16,
                                  1, random.randrange(65536), 0) + bytes(random.randrange(120))
            peer.send(ipv4("10.9.0.2", "10.9.0.1", segment, 6, length=random.choice([None, None, 20, 40, 30])))
        for number in range(60):
            text = struct.pack(">HHHH", 80, 90, random.choice([0, 7, 8, 58, 9000]), 0) + bytes(50)
            peer.send(ipv4("10.9.0.2", "10.9.0.1", text, 17))
        assert answers(peer, 3)
        drops = victim.drops()
        assert drops.get("rx_inner_malformed", 0) >= 20 and drops.get("rx_source_not_allowed", 0) >= 2, drops
        vitals.check()


def test_replayed_truncated_and_altered_data_packets_are_dropped_and_reordered_ones_are_not():
    with World() as world:
        victim = Victim(world)
        peer = victim.peer().connect()
        packets = [peer.data(ipv4("10.9.0.2", "10.9.0.1", echo(number))) for number in range(40)]
        random.seed(6)
        random.shuffle(packets)
        for packet in packets:
            peer.line.sendto(packet, peer.address)
        seen = [peer.receive() for _ in packets]
        assert sorted(struct.unpack(">H", text[26:28])[0] for text in seen) == list(range(40))
        other = random.choice(packets)
        for packet in packets + packets:
            peer.line.sendto(packet, peer.address)
        for size in range(len(other)):
            peer.line.sendto(other[:size], peer.address)
        for at in range(8, len(other)):
            peer.line.sendto(other[:at] + bytes([other[at] ^ 1]) + other[at + 1:], peer.address)
        far = peer.data(ipv4("10.9.0.2", "10.9.0.1", echo(99)), 2**64 - 1)
        peer.line.sendto(far, peer.address)  # a counter past the limit must not move the window
        try:
            raise AssertionError(f"answered: {peer.receive(1).hex()}")
        except socket.timeout:
            pass
        assert answers(peer, 100)
        drops = victim.drops()
        assert drops.get("rx_replayed", 0) >= 80 and drops.get("rx_bad_tag", 0) >= 40, drops


def forged_initiation(public):
    return with_mac1(b"\1\0\0\0" + os.urandom(112), public)


class Flood:
    """Forged initiations with a valid mac1 from 40 addresses of the left host to the right one, for `seconds` or as
    long as the block lasts. Many at a time, as segments of one send: it is to fill the queue, not to measure Python."""

    def __init__(self, pair, seconds):
        public = b64decode(pair.right_keys.public)
        self.segments = [b"".join(forged_initiation(public) for _ in range(60)) for _ in range(10)]
        self.end = time.monotonic() + seconds
        self.sent, self.sockets = 0, []
        sources = [f"192.0.2.{number}" for number in range(100, 140)]
        pair.left.sh("".join(f"ip address add {address}/24 dev eth0\n" for address in sources))
        with inside(pair.left):
            for address in sources:
                line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                line.bind((address, 0))
                line.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 148)
                self.sockets.append(line)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while time.monotonic() < self.end:
            for line in self.sockets:
                time.sleep(0.001)
                line.sendto(self.segments[self.sent % len(self.segments)], ("192.0.2.2", 51822))
                self.sent += 60

    def join(self):
        self.thread.join()
        for line in self.sockets:
            line.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.end = 0
        self.join()


def data_process_of(host, port):
    """Of the only daemon with this UDP port."""
    return int(re.search(r"pid=(\d+)", host.out(f"ss -Hnulp sport = :{port}")).group(1))


def test_a_flood_of_forged_initiations_leaves_the_session_alone_and_is_answered_by_cookies():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways()
        vitals = Vitals(data_process_of(pair.right, 51822))
        with inside(pair.left):
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with Flood(pair, 5) as flood:
            time.sleep(1)
            for _ in range(50):
                own.sendto(os.urandom(148), ("192.0.2.2", 51822))  # without mac1: no answer, under load or not
            own.settimeout(0.5)
            try:
                raise AssertionError(f"answered: {own.recv(2000).hex()}")
            except socket.timeout:
                pass
            forged, reply = flood.segments[0][:148], b""
            for _ in range(100):  # most find the socket's buffer or the queue full
                for _ in range(10):
                    own.sendto(forged, ("192.0.2.2", 51822))
                with contextlib.suppress(TimeoutError):
                    own.settimeout(0.03)
                    reply = own.recv(2000)
                    break
            assert len(reply) == 64 and reply[:4] == b"\3\0\0\0" and reply[4:8] == forged[4:8], reply.hex()
            done = pair.left.ping("10.9.0.2", 20, check=False)
            flood.join()
        lost = 20 - int(done.stdout.split(" received")[0].split()[-1])
        print(f"{flood.sent} forged, {lost} of 20 pings lost", flush=True)
        assert lost <= 4, done.stdout
        vitals.check(growth=24 << 20)
        vitals.check_idle()
        pair.check_both_ways()


def test_a_new_peer_gets_its_session_while_the_flood_goes_on():
    with World() as world:
        pair = Pair(world)
        guest, keys = world.host("guest"), Keys()
        world.wire(guest, pair.right, ["198.51.100.3/24"], ["198.51.100.2/24"], right_name="eth1")
        pair.right.run(["wg", "set", "wgr", "peer", keys.public, "allowed-ips", "10.9.0.3/32"])
        guest_file = world.file("wgg.conf", wg_quick_file(keys, "10.9.0.3/24", 51823, pair.right_keys,
                                                          "198.51.100.2:51822"))

        def cookies():
            return status(pair.right, "wgr")["drops"]["rx_cookie_sent"]

        with Flood(pair, 120) as flood:
            until(lambda: cookies() > 1000, timeout=30, what="the flood is one")
            before = cookies()
            guest.hatsd("up", guest_file)
            guest.start("ping -n -i 0.5 10.9.0.2")
            # at the first packet, if that does not find a socket's buffer full: another each 5 s
            until(lambda: guest.out("wg show wgg latest-handshakes").split()[1] != "0", timeout=20, what="a session")
            assert cookies() > before and flood.thread.is_alive(), "it had no flood to pass"
            done = guest.ping("10.9.0.2", 20, check=False)
            assert int(done.stdout.split(" received")[0].split()[-1]) >= 16, done.stdout
        guest.ping("10.9.0.2")


def local(path):
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(path)
    line.settimeout(10)
    return line


def read_all(line):
    out = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while piece := line.recv(1 << 16):
            out += piece
    return out


def send_some(line, data):
    """What the other end has closed for is not sent."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        line.sendall(data)


def test_garbage_on_the_local_sockets_is_refused_and_forgotten():
    with World() as world:
        victim = Victim(world)
        control, uapi = f"/run/hatsd-user/{victim.process}.sock", "/run/wireguard/wgv.sock"
        for _ in range(3):
            victim.host.run("wg show wgv")
        vitals = Vitals(victim.process)
        random.seed(7)
        pieces = [b"\n", b"\n\n", b"get=1\n", b"set=1\n", b"get=1\n\n", b"public_key=", b"0" * 64, b"=", b"\0", b"-1",
                  b"allowed_ip=", b"0.0.0.0/0\n", b"::/129\n", b"fwmark=99999999999\n", b"remove=true\n", b"endpoint=[::%x]:0\n",
                  b"listen_port=-1\n", b"\xff\xfe", b"a" * 5000, b"private_key=" + b"f" * 63 + b"\n"]
        for _ in range(200):
            line = local(uapi)
            send_some(line, b"set=1\n" * random.randrange(2) + b"".join(random.choices(pieces, k=random.randrange(12))))
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_WR)
            read_all(line)
            line.close()
        for text in (b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"1\n", b"\"op\"\n", b"{\"op\":1}\n", b"{\"op\":\"down\"}\n",
                     b"{\"op\":\"down\",\"name\":[]}\n", b"{\"op\":\"down\",\"name\":\"nix\"}\n", b"{\"op\":\"reload\",\"name\":\"nix\"}\n",
                     b"{\"op\":\"reload\",\"name\":\"wgv\",\"text\":\"[Interface\"}\n", b"\xff\xfe\xfd\n", b"[" * 100000 + b"\n",
                     b"{\"a\":" * 100000 + b"\n", b"{\"op\":\"\xff\"}\n", b"{\"op\":\"show\"", bytes(1 << 20) + b"\n"):
            line = local(control)
            send_some(line, text)
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_WR)
            answer = read_all(line)
            assert not answer or b"error" in answer, (text[:40], answer)
            line.close()
        for path in (control, uapi):  # half-open by the hundred
            lines = [local(path) for _ in range(300)]
            for line in lines[::2]:
                line.send(b"set=1\nlisten_port=")
            victim.host.run("wg show wgv")
            status(victim.host, "wgv")
            for line in lines:
                line.close()
        line = local(uapi)  # a get whose answer is never read; and a client that writes byte by byte
        line.send(b"get=1\n\n" * 5000)
        slow = local(uapi)
        for byte in b"get=1\n\n":
            slow.send(bytes([byte]))
            time.sleep(0.02)
        assert b"errno=0" in slow.recv(65536)
        line.close()
        slow.close()
        for path, start in ((uapi, b"set=1\npublic_key="), (control, b"{\"op\":\"")):
            line = local(path)  # a line without an end
            send_some(line, start)
            block = b"a" * (1 << 20)
            for _ in range(80):
                send_some(line, block)
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_WR)
            read_all(line)
            line.close()
        peer = victim.peer().connect()
        assert answers(peer, 1)
        vitals.check(growth=40 << 20)
        vitals.check_idle()


def test_local_files_and_processes_show_no_secret():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways()
        for folder, mode in (("/run/hatsd-user", 0o700), ("/run/wireguard", 0o755)):
            assert stat.S_IMODE(os.stat(folder).st_mode) == mode, folder
            for path in glob.glob(f"{folder}/*"):
                assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0, path
        secrets = [pair.left_keys.private.encode(), pair.right_keys.private.encode()]
        shown = pair.left.hatsd("show").stdout + pair.left.hatsd("show", "--json").stdout
        places = [shown.encode()]
        for number in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ", "comm"):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{number}/{name}", "rb") as text:
                        places.append(text.read())
        for path in glob.glob("/run/**", recursive=True):
            if os.path.isfile(path) and stat.S_IMODE(os.stat(path).st_mode) & 0o044:
                with contextlib.suppress(OSError), open(path, "rb") as text:  # namespaces cannot be read
                    places.append(text.read())
        for secret in secrets:
            assert not any(secret in place for place in places)


def test_thousands_of_peers_and_clients_at_once_while_traffic_flows():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        flow = pair.left.start("ping -n -i 0.02 -q 10.9.0.2", log=world.path("flow.log"))
        faults = []

        def client(seed):
            chance = random.Random(seed)
            try:
                for _ in range(4):
                    text = b"set=1\n"
                    for _ in range(700):
                        text += b"public_key=" + chance.randbytes(31).hex().encode() + b"40\n"
                        text += b"endpoint=192.0.2.77:9\n"
                        for _ in range(3):
                            text += b"allowed_ip=%d.%d.%d.0/24\n" % tuple(chance.randrange(11, 250) for _ in range(3))
                    line = local("/run/wireguard/wgl.sock")
                    line.sendall(text + b"\n")
                    answer = line.recv(4096)
                    if answer != b"errno=0\n\n":
                        faults.append(answer)
                    line.sendall(b"get=1\n\n")
                    answer = b""
                    while not answer.endswith(b"\n\n"):
                        answer += line.recv(1 << 20)
                    if not answer.endswith(b"errno=0\n\n"):
                        faults.append(answer[-40:])
                    line.close()
            except Exception as fault:
                faults.append(fault)

        clients = [threading.Thread(target=client, args=(seed,)) for seed in range(4)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert not faults, faults[:3]
        begin = time.monotonic()
        shown = status(pair.left, "wgl")
        print(f"{len(shown['peers'])} peers shown in {time.monotonic() - begin:.2f} s", flush=True)
        assert len(shown["peers"]) == 11201
        pair.left.ping("10.9.0.2", check=False)
        begin = time.monotonic()
        line = local("/run/wireguard/wgl.sock")
        line.sendall(b"set=1\nreplace_peers=true\npublic_key=" +
                     b64decode(pair.right_keys.public).hex().encode() +
                     b"\nendpoint=192.0.2.2:51822\nallowed_ip=10.9.0.2/32\n\n")
        assert line.recv(100) == b"errno=0\n\n"
        print(f"removed in {time.monotonic() - begin:.2f} s", flush=True)
        pair.left.ping("10.9.0.2")
        flow.send_signal(signal.SIGINT)
        flow.wait(5)
        print(open(world.path("flow.log")).read().splitlines()[-2:], flush=True)



def test_storms_of_link_port_and_mtu_changes_leave_a_working_tunnel():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        process = next(int(os.path.basename(path).split(".")[0]) for path in glob.glob("/run/hatsd-user/*.sock")
                       if f"pid={os.path.basename(path).split('.')[0]}," in pair.left.out("ss -Hnulp"))
        vitals = Vitals(process)
        flow = pair.right.start("ping -n -f -q 10.9.0.1")
        back = pair.left.start("ping -n -f -q -s 9000 10.9.0.2")
        pair.left.sh("for i in {1..40}; do ip link set wgl down; ip link set wgl up; done")
        pair.left.sh("for i in {1..20}; do ip link set wgl mtu $((1280 + i * 2500)); ip link set wgl mtu 1280; done; "
                     "ip link set wgl mtu 68; ip link set wgl mtu 1420; ip link set eth0 mtu 700; ip link set eth0 mtu 1500")
        pair.left.sh("for i in {1..25}; do wg set wgl listen-port $((30000 + i)); done; wg set wgl listen-port 51821")
        pair.left.sh("for i in {1..10}; do wg set wgl fwmark $i; done; wg set wgl fwmark 0")
        for _ in range(10):
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.02)
            os.kill(process, signal.SIGCONT)
        for ping in (flow, back):
            ping.send_signal(signal.SIGINT)
            ping.wait(5)
        pair.left.run("ip address replace fd09::1/64 dev wgl nodad")
        until(lambda: pair.left.ping("10.9.0.2", 1, check=False).returncode == 0, what="the tunnel works")
        pair.check_both_ways()
        vitals.check()
        vitals.check_idle()


def test_odd_packets_on_the_local_side_do_no_harm():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        random.seed(8)
        with inside(pair.left):
            line = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        good = ipv4("10.9.0.1", "10.9.0.2", echo(2))
        six = struct.pack(">IHBB", 6 << 28, 8, 0, 64) + bytes.fromhex("fd09" + "0" * 27 + "1" + "fd09" + "0" * 27 + "2")
        packets = [b"\0", b"\x45", b"\x60", good[:12], good[:19], good[:20], six[:39], six, six + bytes(8), six + bytes(1380),
                   six[:6] + b"\0\0" + six[8:] + b"\0\xff" + bytes(1300), b"\x4f" + good[1:], b"\x41" + good[1:],
                   b"\xff" * 100, good[:16] + socket.inet_aton("192.0.2.2") + bytes(100),
                   ipv4("10.9.0.1", "10.9.0.2", echo(), length=0), ipv4("10.9.0.1", "10.9.0.2", echo(), length=65535),
                   ipv4("10.9.0.1", "10.9.0.2", echo(), ttl=0), ipv4("10.9.0.1", "10.9.0.2", echo(), options=b"\x83\x28" + bytes(38)),
                   ipv4("10.9.0.1", "10.9.0.2", bytes(1400)), ipv4("10.9.0.1", "10.9.0.2", b"", fragment=0x2000),
                   ipv4("255.255.255.255", "224.0.0.1", echo()), ipv4("10.9.0.1", "10.9.0.2", bytes(3), protocol=6),
                   ipv4("10.9.0.1", "10.9.0.2", bytes(3), protocol=17)]
        for _ in range(30):
            for packet in packets:
                with contextlib.suppress(OSError):
                    line.sendto(packet, ("wgl", 0x86dd if packet[0] >> 4 == 6 else 0x0800))
            with contextlib.suppress(OSError):
                line.sendto(random.randbytes(random.randrange(1, 1420)), ("wgl", 0x0800))
        pair.check_both_ways()


def test_outer_datagrams_that_are_huge_fragmented_or_spoofed_are_dropped():
    with World() as world:
        pair = Pair(world)
        pair.left.ping("10.9.0.2")
        random.seed(9)
        with inside(pair.left):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for size in (65507, 65506, 40000, 1473, 0, 1, 4, 31, 32):
            for kind in range(6):
                udp.sendto((bytes([kind, 0, 0, 0]) + random.randbytes(size))[:size], ("192.0.2.2", 51822))
        for number in range(100):  # overlapping, unfinished and out-of-order fragments; sources that are no host's
            head = struct.pack(">HHHH", 51821, 51822, 1400, 0)
            for offset in random.sample([0, 1, 2, 40, 8000], 3):
                raw.sendto(ipv4("192.0.2.1", "192.0.2.2", head + random.randbytes(64), 17,
                                fragment=offset | random.choice([0, 0x2000])), ("192.0.2.2", 0))
            for source in ("0.0.0.0", "255.255.255.255", "127.0.0.1", "192.0.2.2", "224.0.0.1"):
                text = forged_initiation(b64decode(pair.right_keys.public))
                raw.sendto(ipv4(source, "192.0.2.2", struct.pack(">HHHH", number % 3 * 25911, 51822, 8 + len(text), 0) + text,
                                17), ("192.0.2.2", 0))
        pair.check_both_ways()


def test_a_killed_data_process_leaves_nothing_behind():
    with World() as world:
        host, keys = world.host("solo"), Keys()
        text = wg_quick_file(keys, "10.9.0.1/24", 51821, Keys(), "192.0.2.2:51822", interface_lines="")
        before = host.out("ip rule"), host.out("ip route show table all"), host.out("nft list ruleset")
        host.hatsd("up", world.file("wgk.conf", text))
        os.kill(data_process(), signal.SIGKILL)
        until(lambda: not glob.glob("/run/hatsd-user*") and not glob.glob("/run/wireguard/*"), what="no file is left")
        # The kernel lets go of an io_uring's TUN, and so of the link with its routes, a moment after the process is gone.
        until(lambda: "wgk" not in host.out("ip -br link"), what="the link is gone")
        assert before == (host.out("ip rule"), host.out("ip route show table all"), host.out("nft list ruleset"))


harness.main(globals())

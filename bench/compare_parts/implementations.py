"""What is compared: how each is started between the two hosts, and which rows it takes part in."""
import contextlib
import dataclasses
import glob
import os
import signal
import socket
import subprocess
from base64 import b64decode

from . import measure

OTHER = "HATSD_OTHER"        # names a second build of hatsd-user, to be compared with the first
PORT = 5555
MTU = 1420
EVERY = ["tcp1", "tcp8", "both", "udp64", "udp1372", "udp64x1000", "udp1372x1000", "rtt", "rtt-load", "start", "memory"]
CONTROL = ["handshakes", "flood", "flood-random"]
SHORT = ["tcp1", "tcp8", "both", "udp64", "udp1372", "rtt", "rtt-load", "start", "memory"]


@dataclasses.dataclass
class Implementation:
    kind: str                 # wireguard, gre, sit, ip (a yardstick's own), none
    rows: list
    ours: bool = False
    peer: str = ""            # name in tests/interop/peers.py
    yardstick: str = ""
    env: dict = dataclasses.field(default_factory=dict)
    gro: bool = False         # GRO on the receiving link
    needs_option: str = ""
    other: bool = False       # of the build that OTHER names
    about: str = ""


ALL = {
    "hatsd": Implementation("wireguard", EVERY + CONTROL, ours=True, about="hatsd-user, all on auto"),
    "hatsd-epoll": Implementation("wireguard", EVERY + CONTROL, ours=True, env={"HATSD_IO": "epoll"},
                                  about="... with epoll instead of io_uring"),
    "hatsd-sodium": Implementation("wireguard", SHORT, ours=True, env={"HATSD_AEAD": "sodium"},
                                   about="... with libsodium's AEAD"),
    "hatsd-no-offload": Implementation("wireguard", SHORT, ours=True, env={"HATSD_TUN_OFFLOAD": "off"},
                                       about="... without TUN offloads"),
    "hatsd-realtime": Implementation("wireguard", EVERY, ours=True, env={"HATSD_REALTIME": "on"},
                                     needs_option="--realtime", about="... with --realtime"),
    "hatsd-other": Implementation("wireguard", EVERY + CONTROL, ours=True, other=True, about="the build that HATSD_OTHER names"),
    "wireguard-go": Implementation("wireguard", EVERY + CONTROL, peer="wireguard-go", about="Debian's wireguard-go"),
    "wireguard-go-newest": Implementation("wireguard", EVERY + CONTROL, peer="wireguard-go-newest",
                                          about="the newest wireguard-go"),
    "boringtun": Implementation("wireguard", EVERY + CONTROL, peer="boringtun", about="boringtun-cli"),
    "gotatun": Implementation("wireguard", EVERY + CONTROL, peer="gotatun", about="gotatun-cli"),
    "ceiling": Implementation("ip", EVERY, yardstick="relay", about="yardstick relay: TUN to UDP, no crypto, no protocol"),
    "veth": Implementation("none", [row for row in EVERY if row not in ("start", "memory")], about="no tunnel at all"),
    "gre": Implementation("gre", SHORT, ours=True, about="hatsd-user GRE"),
    "gre-epoll": Implementation("gre", SHORT, ours=True, env={"HATSD_IO": "epoll"}, about="... with epoll"),
    "gre-gro": Implementation("gre", ["tcp1", "tcp8"], ours=True, gro=True, about="... GRO on the receiving link"),
    "sit": Implementation("sit", SHORT, ours=True, about="hatsd-user SIT (IPv6 inside)"),
    "sit-epoll": Implementation("sit", SHORT, ours=True, env={"HATSD_IO": "epoll"}, about="... with epoll"),
    "sit-gro": Implementation("sit", ["tcp1", "tcp8"], ours=True, gro=True, about="... GRO on the receiving link"),
    "gre-other": Implementation("gre", SHORT, ours=True, other=True, about="GRE of the build that HATSD_OTHER names"),
    "raw-gre": Implementation("ip", SHORT, yardstick="raw-gre", about="yardstick raw-gre"),
}
EVERYONE = [name for name, entry in ALL.items() if not entry.other or os.environ.get(OTHER)]
PEERS = [name for name, entry in ALL.items() if entry.peer]


def uapi(name, lines):
    """One `set` on an interface's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(20)
        line.connect(f"/run/wireguard/{name}.sock")
        line.sendall(("set=1\n" + "".join(f"{entry}\n" for entry in lines) + "\n").encode())
        answer = b""
        while b"\n\n" not in answer:
            piece = line.recv(4096)
            if not piece:
                break
            answer += piece
    if b"errno=0\n" not in answer:
        raise RuntimeError(f"{name}: set: {answer.decode().strip() or 'no answer'}")


def hexed(key):
    return b64decode(key).hex()


class Running:
    """One implementation between near and far; a context manager that ends it."""

    def __init__(self, name, entry, started_by, arena):
        self.name, self.entry, self.started_by, self.arena = name, entry, started_by, arena
        self.processes, self.pids = [], []
        self.start_ms = None
        self.six = entry.kind == "sit"
        self.inner = {"none": "10.9.0.2", "sit": "fd10::2"}.get(entry.kind, "10.10.0.2")
        self.first_flow = "fd11::1" if self.six else "10.11.0.1"

    def __enter__(self):
        try:
            if self.entry.gro:
                self.arena.set_gro(True)
            if self.entry.kind == "none":
                self.arena.near.run("ip route replace 10.11.0.0/22 via 10.9.0.2")
                return self
            self.start(self.arena.far)
            begin = measure.now()
            self.start(self.arena.near)
            measure.first_echo(self.arena.near, self.inner, timeout=10)
            self.start_ms = (measure.now() - begin) * 1000
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for pid in self.pids:
            if pid not in [process.pid for process in self.processes] and measure.alive(pid):
                os.kill(pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        measure.wait_until(lambda: not any(map(measure.alive, self.pids)), 5, kill=self.pids)
        for host in (self.arena.near, self.arena.far):
            host.run(f"ip link del {self.link(host)}", check=False)
            # gotatun leaves its socket, which the next one would be taken to have opened.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/run/wireguard/{self.link(host)}.sock")
        self.arena.near.run("ip route del 10.11.0.0/22", check=False)
        if self.entry.gro:
            self.arena.set_gro(False)

    def link(self, host):
        return "wt-" + host.name

    def start(self, host):
        """Starts the end on `host`, with addresses, up."""
        near = host is self.arena.near
        local, remote = ("10.9.0.1", "10.9.0.2") if near else ("10.9.0.2", "10.9.0.1")
        link, words = self.link(host), self.started_by["words"]
        env = dict(os.environ, **self.started_by["env"], **self.entry.env, WG_PROCESS_FOREGROUND="1", LOG_LEVEL="error")
        if self.entry.kind == "wireguard":
            self.spawn(host, [*words, link] if self.entry.peer else [*words, "-f", link], env)
            measure.wait_until(lambda: os.path.exists(f"/run/wireguard/{link}.sock"), 10, what="its wg socket")
            me, other = self.arena.keys if near else self.arena.keys[::-1]
            uapi(link, [f"private_key={hexed(me.private)}", f"listen_port={PORT}", f"public_key={hexed(other.public)}",
                        f"endpoint={remote}:{PORT}", "allowed_ip=0.0.0.0/0"])
        elif self.entry.kind == "ip":
            relay = self.entry.yardstick == "relay"
            self.spawn(host, [*words, link, *([str(PORT), remote, str(PORT), "0"] if relay else [local, remote])], env)
            measure.wait_until(lambda: host.run(f"ip link show {link}", check=False).returncode == 0, 10, what=link)
        else:
            before = set(glob.glob("/run/hatsd-user/*.sock"))
            host.run([*words, "tunnel", "add", link, "mode", self.entry.kind, "local", local, "remote", remote, "ttl", "64"],
                     env=env)
            self.pids += [int(os.path.basename(path).split(".")[0])
                          for path in set(glob.glob("/run/hatsd-user/*.sock")) - before]
        number = 1 if near else 2
        address = f"fd10::{number}/64 dev {link} nodad" if self.six else f"10.10.0.{number}/24 dev {link}"
        flows = "fd11::/112" if self.six else "10.11.0.0/22"
        host.run(["ip", "-batch", "-"], stdin=f"address add {address}\nlink set {link} mtu {MTU} up\n" +
                 (f"route add {flows} dev {link}\n" if near else ""))

    def spawn(self, host, words, env):
        process = subprocess.Popen(host.words(words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=env)
        self.processes.append(process)
        self.pids.append(process.pid)

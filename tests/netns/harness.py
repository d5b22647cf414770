"""What the namespace tests stand on: hosts as network namespaces, daemons in them, and a runner.

A test program calls harness.main(globals()). It runs itself again in a mount and PID namespace of its own, with an
empty /run: interface names, wg sockets and namespaces of different tests cannot meet, and whatever a test leaves
behind, processes included, ends with it.

Every function named test_* is one test; its name is the sentence that it proves. A test that lacks what it needs calls
skip(reason). Which backends the daemons use comes from the environment (HATSD_IO, HATSD_TUN_OFFLOAD, HATSD_AEAD).
"""
import contextlib
import ctypes
import inspect
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HATSD = os.environ.get("HATSD", "hatsd-user")
SKIPPED = 77
CLONE_NEWNET = 0x40000000


class Skip(Exception):
    """Raised by skip(): the test cannot run here, and says why."""


def skip(reason):
    raise Skip(reason)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            skip(f"{program} is not installed")


def command(words, check=True, timeout=60, stdin=None, env=None):
    """Runs a command (a string is split at blanks); returns the CompletedProcess with text output."""
    if isinstance(words, str):
        words = words.split()
    full_env = dict(os.environ, **env) if env else None
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout, env=full_env,
                          stdin=subprocess.DEVNULL if stdin is None else None)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def until(condition, timeout=10, what="condition", every=0.05):
    """Waits for condition() to be true; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(every)


def processes():
    """The numbers of the processes that run the program under test; never a shell that has its name in a word."""
    program, found = shutil.which(HATSD), []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.samefile(f"/proc/{number}/exe", program):
                found.append(int(number))
        except OSError:  # a kernel thread, or gone meanwhile
            continue
    return found


LINK_INDICES = itertools.count(1000)  # of the ends of wires
SANITIZER_LOG = "/run/sanitizer"  # in the test's own /run


def sanitizer_reports():
    """What sanitizers said in daemons of ours, which have no terminal; takes the files away."""
    text = ""
    for name in os.listdir("/run"):
        path = os.path.join("/run", name)
        if path.startswith(SANITIZER_LOG + "."):
            with open(path, errors="replace") as report:
                text += report.read()[:8000]
            os.remove(path)
    return text


class Host:
    """A network namespace with loopback up."""

    def __init__(self, name):
        self.name = name
        self.daemons = []
        command(f"ip netns add {name}")
        self.run("ip link set lo up")
        # removing an address must not take the others of its subnet along
        self.run("sysctl -qw net.ipv4.conf.all.promote_secondaries=1 net.ipv4.conf.default.promote_secondaries=1")

    def words(self, words):
        if isinstance(words, str):
            words = words.split()
        return ["ip", "netns", "exec", self.name] + words

    def run(self, words, **options):
        return command(self.words(words), **options)

    def out(self, words, **options):
        return self.run(words, **options).stdout.strip()

    def sh(self, script, **options):
        return self.run(["bash", "-ec", script], **options)

    def start(self, words, env=None, log=None):
        """Starts a program that stays; it is killed when the host closes. Output goes to `log` or nowhere."""
        stream = open(log, "wb") if log else subprocess.DEVNULL
        process = subprocess.Popen(self.words(words), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                                   env=dict(os.environ, **env) if env else None)
        self.daemons.append(process)
        return process

    def hatsd(self, *arguments, **options):
        return self.run([HATSD, *arguments], **options)

    def ping(self, address, count=3, size=56, interval=0.05, wait=2, check=True, options=()):
        done = self.run(["ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(wait), "-s", str(size),
                         *options, address], check=check, timeout=60 + count * (interval + wait))
        return done

    def close(self):
        for process in self.daemons:
            if process.poll() is None:
                process.terminate()
        for process in self.daemons:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.daemons = []
        command(f"ip netns del {self.name}", check=False)


@contextlib.contextmanager
def inside(host):
    """Sockets made within belong to the host's namespace. Of the calling thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    back, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{host.name}", os.O_RDONLY)
    assert libc.setns(there, CLONE_NEWNET) == 0
    try:
        yield
    finally:
        assert libc.setns(back, CLONE_NEWNET) == 0
        os.close(back)
        os.close(there)


class World:
    """A test's hosts and files; a context manager that takes all of it away."""

    def __init__(self):
        self.hosts = []
        self.dir = tempfile.mkdtemp(prefix="hatsd-test-")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not Skip:
            self.tell()
        for host in self.hosts:
            names = live_interfaces(host)
            if names:
                host.run([HATSD, "down", *names], check=False)
            host.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        reports = sanitizer_reports()
        if reports:
            raise AssertionError("a sanitizer complains:\n" + reports)

    def tell(self):
        """Prints what helps to understand a failure."""
        for host in self.hosts:
            print(f"--- {host.name}: addresses, links", flush=True)
            print(host.run("ip -br address", check=False).stdout, end="")
            print(host.run("wg show", check=False).stdout, end="", flush=True)
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), errors="replace") as log:
                    print(f"--- {name}\n{log.read()[-4000:]}", flush=True)

    def host(self, name):
        host = Host(name)
        self.hosts.append(host)
        return host

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, text, mode=0o600):
        path = self.path(name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def wire(self, left, right, left_addresses, right_addresses, left_name="eth0", right_name="eth0", mtu=1500):
        """Joins two hosts with a veth pair; addresses are lists of CIDRs."""
        # Of two ends with the same index in their namespaces the kernel takes note a second later that they are up
        # (linkwatch_urgent_event).
        left_index, right_index = next(LINK_INDICES), next(LINK_INDICES)
        command(f"ip link add {left_name} index {left_index} mtu {mtu} netns {left.name} type veth "
                f"peer name {right_name} index {right_index} mtu {mtu} netns {right.name}")
        for host, name, addresses in ((left, left_name, left_addresses), (right, right_name, right_addresses)):
            for address in addresses:
                host.run(["ip", "address", "add", address, "dev", name] + (["nodad"] if ":" in address else []))
            host.run(f"ip link set {name} up")
        for address in right_addresses:  # neighbours are found: the first packet of a test is not lost to the link
            left.run(["ping", "-q", "-c", "1", "-i", "0.1", "-w", "5", address.split("/")[0]])


def live_interfaces(host):
    text = host.run([HATSD, "show", "--json"], check=False).stdout
    try:
        return [entry["name"] for entry in json.loads(text)["interfaces"]]
    except (ValueError, KeyError, TypeError):
        return []


class Keys:
    """A key pair from wg(8)."""

    def __init__(self):
        self.private = command("wg genkey").stdout.strip()
        self.public = command("wg pubkey", stdin=self.private).stdout.strip()


def wg_quick_file(keys, address, port, peer, endpoint=None, allowed="0.0.0.0/0, ::/0", keepalive=None,
                  interface_lines="Table = off\n", peer_lines=""):
    """The guide's file with its placeholders filled."""
    text = f"[Interface]\nAddress    = {address}\n"
    if port:
        text += f"ListenPort = {port}\n"
    text += f"PrivateKey = {keys.private}\n{interface_lines}\n[Peer]\nPublicKey           = {peer.public}\n"
    text += f"AllowedIPs          = {allowed}\n"
    if endpoint:
        text += f"Endpoint            = {endpoint}\n"
    if keepalive is not None:
        text += f"PersistentKeepalive = {keepalive}\n"
    return text + peer_lines


class Pair:
    """Two hosts, one tunnel: wgl on host `left`, wgr on host `right`, brought up by hatsd-user from the guide's file."""

    def __init__(self, world, outer=4, mtu=1500, interface_lines="Table = off\n", start=True, keepalive=None,
                 names=("wgl", "wgr")):
        self.world = world
        self.left, self.right = world.host("left"), world.host("right")
        world.wire(self.left, self.right, ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"],
                   mtu=mtu)
        self.left_keys, self.right_keys = Keys(), Keys()
        ends = ("192.0.2.1", "192.0.2.2") if outer == 4 else ("[2001:db8::1]", "[2001:db8::2]")
        self.names = names
        self.left_file = world.file(f"{names[0]}.conf", wg_quick_file(
            self.left_keys, "10.9.0.1/24, fd09::1/64", 51821, self.right_keys, f"{ends[1]}:51822",
            keepalive=keepalive, interface_lines=interface_lines))
        self.right_file = world.file(f"{names[1]}.conf", wg_quick_file(
            self.right_keys, "10.9.0.2/24, fd09::2/64", 51822, self.left_keys, f"{ends[0]}:51821",
            keepalive=keepalive, interface_lines=interface_lines))
        if start:
            self.left.hatsd("up", self.left_file)
            self.right.hatsd("up", self.right_file)

    def check_both_ways(self, count=3, size=56):
        self.left.ping("10.9.0.2", count, size)
        self.right.ping("10.9.0.1", count, size)
        self.left.ping("fd09::2", count, size)
        self.right.ping("fd09::1", count, size)


def iperf(client, server, address, seconds=2, options=(), port=5201):
    """Bits a second of one iperf3 run, from the receiver's side, and the whole report. `seconds` None: the options say how
    much."""
    need("iperf3")
    process = server.start(["iperf3", "-s", "-1", "-p", str(port)])
    until(lambda: f":{port}" in server.out("ss -Hltn"), what="iperf3 server listening")
    done = client.run(["iperf3", "-J", "-c", address, "-p", str(port),
                       *(["-t", str(seconds)] if seconds else []), *options], timeout=(seconds or 0) + 60)
    process.wait(10)
    report = json.loads(done.stdout)
    summary = report["end"].get("sum_received") or report["end"]["sum"]
    return summary["bits_per_second"], report


def isolate():
    """Runs this program again in mount and PID namespaces of its own, with an empty /run."""
    if os.environ.get("HATSD_TEST_ISOLATED"):
        command("mount --make-rprivate /")
        command("mount -t tmpfs tmpfs /run")
        os.makedirs("/run/netns")
        for variable in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            os.environ[variable] = f"log_path={SANITIZER_LOG}"
        return
    if os.geteuid() != 0:
        print("SKIPPED: needs root for network namespaces")
        sys.exit(SKIPPED)
    if not os.path.exists("/dev/net/tun"):
        print("SKIPPED: /dev/net/tun is missing")
        sys.exit(SKIPPED)
    os.environ["HATSD_TEST_ISOLATED"] = "1"
    child = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net",
                              sys.executable, "-B"] + sys.argv)
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    try:
        sys.exit(child.wait())
    except KeyboardInterrupt:
        child.kill()
        sys.exit(1)


def main(scope):
    """Runs the tests of a program: all, or those whose names are given as arguments."""
    isolate()
    tests = [(name, thing) for name, thing in scope.items() if name.startswith("test_") and inspect.isfunction(thing)]
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in dict(tests)]
    if unknown:
        print(f"no such test: {', '.join(unknown)}")
        sys.exit(2)
    failed, skipped, ran = [], [], 0
    for name, function in tests:
        if wanted and name not in wanted:
            continue
        start = time.monotonic()
        try:
            function()
            verdict = "ok"
            ran += 1
        except Skip as reason:
            verdict = f"SKIPPED: {reason}"
            skipped.append(name)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            verdict = "FAILED"
            failed.append(name)
        print(f"{name}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{ran} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else SKIPPED if skipped and not ran else 0)

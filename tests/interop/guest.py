"""A real Linux kernel as a host of a test: Debian's cloud kernel under QEMU's software emulation, joined to a network
namespace by a tap device, with an agent on a serial line that runs shell scripts.

The kernel is taken from Debian's package (downloaded, unpacked, never installed); the initramfs is built from this
machine's programs (busybox, ip, wg, iperf3, ping) and the kernel's modules. Both are kept in HATSD_GUEST_CACHE.
"""
import base64
import gzip
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
from harness import SKIPPED, Skip, command, need, skip, until  # noqa: E402

MODULES = ("virtio_pci", "virtio_net", "tun", "veth", "wireguard", "ip_gre", "ip6_gre", "sit", "ipip", "udp_tunnel",
           "ip6_udp_tunnel", "nf_tables", "dummy")
# bash, because busybox's shell prefers its own ip and ping to those in PATH
PROGRAMS = ("bash", "ip", "wg", "iperf3", "ping", "ss", "tcpdump", "strace", "ethtool")

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var /root /etc /mnt
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mkdir -p /dev/pts /run/netns
/bin/busybox mount -t devpts devpts /dev/pts
/bin/busybox mount -t tmpfs tmpfs /run
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/programs:/bin
ln -sf /run /var/run
modprobe virtio_pci; modprobe virtio_net
ip link set lo up
echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries
mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
stty -F /dev/ttyS1 raw -echo 115200
exec </dev/ttyS1 >/dev/ttyS1
echo READY
while read -r line; do
  echo "$line" | base64 -d >/tmp/.script
  bash /tmp/.script >/tmp/.output 2>&1 </dev/null
  status=$?
  base64 </tmp/.output
  echo "END $status"
done
poweroff -f
"""


def cache_dir():
    path = os.environ.get("HATSD_GUEST_CACHE") or os.path.expanduser("~/.cache/hatsd-guest")
    os.makedirs(path, exist_ok=True)
    return path


def fetch_kernel():
    """Downloads and unpacks Debian's kernel package once. Needs the network: not for use inside a test's namespaces."""
    base = os.path.join(cache_dir(), "kernel")
    if os.path.exists(os.path.join(base, "done")):
        return
    need("apt-get", "dpkg", "apt-cache", "depmod")
    depends = command("apt-cache depends linux-image-cloud-amd64", check=False).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if not package:
        skip("Debian's package linux-image-cloud-amd64 is not known to apt-cache here")
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(base)
    done = subprocess.run(["apt-get", "download", package.group(1)], cwd=base, capture_output=True, text=True)
    files = [name for name in os.listdir(base) if name.endswith(".deb")]
    if not files:
        skip(f"Debian's kernel package cannot be downloaded: {done.stderr.strip()[-300:]}")
    command(["dpkg", "-x", os.path.join(base, files[0]), base])
    os.remove(os.path.join(base, files[0]))
    command(["depmod", "-b", base, package.group(1).removeprefix("linux-image-")])
    open(os.path.join(base, "done"), "w").close()


def kernel_tree():
    """The unpacked kernel package: (path of vmlinuz, path of lib/modules/VERSION)."""
    base = os.path.join(cache_dir(), "kernel")
    if not os.path.exists(os.path.join(base, "done")):
        skip("Debian's kernel is not in HATSD_GUEST_CACHE: guest.py --fetch did not succeed")
    kernel = [name for name in os.listdir(f"{base}/boot") if name.startswith("vmlinuz")][0]
    return f"{base}/boot/{kernel}", f"{base}/lib/modules/{kernel.removeprefix('vmlinuz-')}"


def libraries(program):
    """The shared libraries of a program, its loader included."""
    out = command(["ldd", program], check=False).stdout
    return [word for word in re.findall(r"(/\S+)", out) if os.path.exists(word)]


def module_files(modules):
    """Files of the named modules and of all that they need, by modules.dep; those that are built in have none."""
    depends = {}
    with open(os.path.join(modules, "modules.dep")) as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            depends[name] = rest.split()
    by_name = {os.path.basename(name).split(".")[0].replace("-", "_"): name for name in depends}
    wanted, todo = set(), [by_name[name] for name in MODULES if name in by_name]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += depends[name]
    return wanted


def build_initramfs(extra_programs):
    """Makes the initramfs; returns its path. `extra_programs`: paths of programs of ours to take along."""
    need("busybox", "cpio")
    kernel, modules = kernel_tree()
    # the names must be unlike those of other tests, which all are process 1 of their own namespace
    root = tempfile.mkdtemp(prefix="root.", dir=cache_dir())
    os.chmod(root, 0o755)
    for directory in ("bin", "programs", "lib", "lib64", "etc", "dev"):
        os.makedirs(os.path.join(root, directory))
    busybox = shutil.which("busybox")
    shutil.copy(busybox, f"{root}/bin/busybox")
    paths = [shutil.which(name) for name in PROGRAMS] + list(extra_programs)
    # crypto that iperf3 and others load by name is not needed; the resolver's plugins are not either
    for path in filter(None, paths):
        shutil.copy(path, f"{root}/programs/{os.path.basename(path)}")
        for library in libraries(path):
            target = root + library
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.exists(target):
                shutil.copy(os.path.realpath(library), target)
    version = os.path.basename(modules)
    target = f"{root}/lib/modules/{version}"
    for name in module_files(modules):
        os.makedirs(os.path.dirname(f"{target}/{name}"), exist_ok=True)
        shutil.copy(f"{modules}/{name}", f"{target}/{name}")
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if os.path.exists(f"{modules}/{name}"):
            shutil.copy(f"{modules}/{name}", target)
    command(["depmod", "-b", root, version], check=False)
    with open(f"{root}/init", "w") as out:
        out.write(INIT)
    os.chmod(f"{root}/init", 0o755)
    with open(f"{root}/etc/passwd", "w") as out:
        out.write("root:x:0:0:root:/root:/bin/sh\n")
    archive = root + ".cpio.gz"
    listing = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True).stdout
    packed = subprocess.run(["cpio", "--null", "-o", "-H", "newc", "--quiet"], cwd=root, input=listing,
                            capture_output=True, check=True).stdout
    with gzip.open(archive, "wb", compresslevel=1) as out:
        out.write(packed)
    shutil.rmtree(root)
    return kernel, archive


class Guest:
    """A booted kernel. `host`: the harness.Host in whose namespace its tap (named `tap`) lives."""

    def __init__(self, world, host, tap="tap0", programs=(), memory_mb=512):
        need("qemu-system-x86_64")
        kernel, self.archive = build_initramfs(programs)
        self.host = host
        self.socket_path = world.path(f"{tap}.agent")
        self.console = world.path(f"{tap}-console.log")
        host.run(["ip", "tuntap", "add", tap, "mode", "tap"])
        host.run(["ip", "link", "set", tap, "up"])
        self.process = host.start(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", str(memory_mb), "-smp", "1", "-nographic",
             "-no-reboot", "-nodefaults", "-kernel", kernel, "-initrd", self.archive,
             "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on no_timer_check",
             "-serial", f"file:{self.console}", "-serial", f"unix:{self.socket_path},server=on,wait=off",
             "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
             "-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "virtio-rng-pci"],
            log=world.path(f"{tap}-qemu.log"))
        until(lambda: os.path.exists(self.socket_path), 20, "QEMU's serial socket")
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(self.socket_path)
        self.buffer = b""
        self._read_until(b"READY\r\n", b"READY\n", timeout=300)
        os.remove(self.archive)
        self.kernel = self.sh("uname -r").strip()

    def _read_until(self, *ends, timeout):
        self.line.settimeout(1)
        deadline = time.monotonic() + timeout
        while True:
            for end in ends:
                at = self.buffer.find(end)
                if at >= 0:
                    head, self.buffer = self.buffer[:at], self.buffer[at + len(end):]
                    return head
            if time.monotonic() > deadline or self.process.poll() is not None:
                with open(self.console, errors="replace") as log:
                    raise AssertionError(f"the guest does not answer; its console ends:\n{log.read()[-2000:]}")
            try:
                data = self.line.recv(65536)
            except socket.timeout:
                continue
            self.buffer += data

    def sh(self, script, check=True, timeout=120):
        """Runs a shell script in the guest; its output, stdout and stderr together."""
        self.line.settimeout(None)
        self.line.sendall(base64.b64encode(script.encode()) + b"\n")
        body = self._read_until(b"END ", timeout=timeout)
        status = int(self._read_until(b"\n", timeout=10))
        text = base64.b64decode(re.sub(rb"\s", b"", body)).decode(errors="replace")
        if check and status != 0:
            raise AssertionError(f"in the guest: {script}\nexit {status}\n{text}")
        return text

    def file(self, path, text):
        self.sh(f"umask 077; mkdir -p $(dirname {path}); echo {base64.b64encode(text.encode()).decode()} | base64 -d >{path}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--fetch"]:
        sys.exit("usage: guest.py --fetch")
    try:
        fetch_kernel()
    except Skip as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)

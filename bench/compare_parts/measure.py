"""Clocks, counters of processes, and the first echo."""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time

from harness import inside
from noise import checksum

TICKS = os.sysconf("SC_CLK_TCK")


def now():
    return time.monotonic()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as line:
            return line.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, timeout, what="", every=0.001, kill=()):
    """Waits for condition(); at the end of the time, kills `kill` if that is given, else raises."""
    end = now() + timeout
    while not condition():
        if now() > end:
            if not kill:
                raise RuntimeError(f"not within {timeout} s: {what}")
            for pid in filter(alive, kill):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(every)


def cpu_seconds(pids):
    """User and system time of all threads of the processes, those that have ended included."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as line:
            total += sum(map(int, line.read().rsplit(")", 1)[1].split()[11:13]))
    return total / TICKS


def peak_memory_mib(pids):
    """The largest peak of resident memory of one process."""
    peaks = []
    for pid in pids:
        with open(f"/proc/{pid}/status") as text:
            peaks += [int(line.split()[1]) / 1024 for line in text if line.startswith("VmHWM:")]
    return max(peaks)


def first_echo(host, address, timeout):
    """Sends an echo request each millisecond until the first answer comes."""
    six = ":" in address
    with inside(host):
        line = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW,
                             socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    with line:
        identity = os.getpid() & 0xffff
        request = struct.pack(">BBHHH", 128 if six else 8, 0, 0, identity, 1)
        request = request[:2] + struct.pack(">H", checksum(request)) + request[4:]
        end = now() + timeout
        while now() < end:
            try:
                line.sendto(request, (address, 0))
            except OSError:
                pass  # no route yet
            while select.select([line], [], [], 0.001)[0]:
                answer = line.recv(2048)
                answer = answer if six else answer[(answer[0] & 15) * 4:]
                if answer[0] == (129 if six else 0) and struct.unpack(">H", answer[4:6])[0] == identity:
                    return
    raise RuntimeError(f"no echo from {address} within {timeout} s")


def pace(program, words, timeout=60):
    """Runs pace to its end; its result."""
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"pace {words[0]} failed")
    return json.loads(done.stdout)

#!/usr/bin/env python3
"""The daemon itself: descriptors that others hand to it, several workers, and what sanitizers say of it."""
import base64
import fcntl
import json
import os
import re
import socket
import struct
import subprocess

import harness
from harness import HATSD, Keys, Pair, World, inside, iperf, until, wg_quick_file

TUNSETIFF = 0x400454ca
RACY = os.environ.get("HATSD_RACY")
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000


def tun(host, name, flags):
    """A TUN device of ours in the host's namespace: its descriptor."""
    with inside(host):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | flags))
    os.set_inheritable(fd, True)
    return fd


def listening(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    line = socket.socket(socket.AF_UNIX)
    line.bind(path)
    line.listen()
    line.set_inheritable(True)
    return line


def start_with(host, name, variables, descriptors):
    """`hatsd-user NAME` with descriptors of ours, which are its alone afterwards."""
    done = subprocess.run(host.words([HATSD, name]), env=dict(os.environ, **variables), pass_fds=descriptors,
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr


def set_up_as_left(pair, name):
    """Gives interface `name` on the left host what the pair's own left file says."""
    pair.left.run(["wg", "set", name, "listen-port", "51821", "private-key",
                   pair.world.file("key", pair.left_keys.private), "peer", pair.right_keys.public,
                   "endpoint", "192.0.2.2:51822", "allowed-ips", "0.0.0.0/0,::/0"])
    pair.left.sh(f"ip address add 10.9.0.1/24 dev {name}; ip address add fd09::1/64 dev {name}; ip link set {name} up")


def test_a_tun_device_given_by_its_descriptor_is_served_with_and_without_offloads():
    for flags in (0, IFF_VNET_HDR):
        with World() as world:
            pair = Pair(world, start=False)
            pair.right.hatsd("up", pair.right_file)
            fd = tun(pair.left, "wgt", flags)
            code, said = start_with(pair.left, "wgt", {"WG_TUN_FD": str(fd)}, [fd])
            os.close(fd)
            assert code == 0, said
            set_up_as_left(pair, "wgt")
            pair.check_both_ways(2)
            iperf(pair.left, pair.right, "10.9.0.2", 1)
            pair.left.hatsd("down", "wgt")
            assert "wgt" not in pair.left.out("ip -br link"), "the device outlives its only descriptor"


def test_a_wg_socket_given_by_its_descriptor_is_served():
    with World() as world:
        pair = Pair(world, start=False)
        pair.right.hatsd("up", pair.right_file)
        path = "/run/wireguard/wgt.sock"
        line = listening(path)
        code, said = start_with(pair.left, "wgt", {"WG_UAPI_FD": str(line.fileno())}, [line.fileno()])
        line.close()
        assert code == 0, said
        set_up_as_left(pair, "wgt")
        pair.check_both_ways(2)
        assert pair.right_keys.public in pair.left.out("wg show wgt")
        os.remove(path)
        until(lambda: "wgt" not in pair.left.out("ip -br link"), what="it ends with its socket")


def talk(line, text):
    """One operation over a connection that stays: the answer up to its blank line."""
    line.settimeout(5)
    line.sendall(text.encode())
    answer = b""
    while not answer.endswith(b"\n\n"):
        data = line.recv(65536)
        assert data, f"closed after {answer}"
        answer += data
    return answer.decode()


def test_a_connected_stream_given_by_its_descriptor_is_served_and_the_interface_outlives_it():
    with World() as world:
        pair = Pair(world, start=False)
        pair.right.hatsd("up", pair.right_file)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        code, said = start_with(pair.left, "wgt", {"WG_UAPI_FD": str(theirs.fileno())}, [theirs.fileno()])
        theirs.close()
        assert code == 0, said
        private, public = (base64.b64decode(key).hex() for key in (pair.left_keys.private, pair.right_keys.public))
        assert talk(ours, f"set=1\nprivate_key={private}\nlisten_port=51821\npublic_key={public}\n"
                    "endpoint=192.0.2.2:51822\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n\n") == "errno=0\n\n"
        pair.left.sh("ip address add 10.9.0.1/24 dev wgt; ip address add fd09::1/64 dev wgt; ip link set wgt up")
        pair.check_both_ways(1)
        told = talk(ours, "get=1\n\n")
        assert f"public_key={public}\n" in told and "listen_port=51821\n" in told and told.endswith("errno=0\n\n"), told
        ours.close()
        pair.check_both_ways(1)
        pair.left.hatsd("down", "wgt")
        assert "wgt" not in pair.left.out("ip -br link")


def test_a_wg_socket_that_nobody_can_speak_through_is_refused_with_what_is_wrong_with_it():
    with World() as world:
        host = world.host("solo")
        os.makedirs("/run/wireguard", exist_ok=True)
        file, bound = open(world.path("file"), "w"), socket.socket(socket.AF_UNIX)
        bound.bind("/run/wireguard/wgx.sock")
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        pairs = [socket.socketpair(socket.AF_UNIX, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)]
        for given, what in ((file, "is not a Unix socket"), (tcp, "is not a Unix socket"),
                            (pairs[0][0], "but not a stream"), (pairs[1][0], "but not a stream"),
                            (socket.socket(socket.AF_UNIX), "neither listens nor is connected"),
                            (bound, "neither listens nor is connected")):
            code, said = start_with(host, "wgx", {"WG_UAPI_FD": str(given.fileno())}, [given.fileno()])
            assert code == 1 and f"WG_UAPI_FD: descriptor {given.fileno()} is" in said and what in said, (given, code, said)
            assert "wgx" not in host.out("ip -br link"), given
        code, said = start_with(host, "wgx", {"WG_UAPI_FD": "999"}, [])
        assert code == 2 and "WG_UAPI_FD: '999' is not an open descriptor" in said, (code, said)


def test_both_descriptors_together_and_what_is_none_is_refused():
    with World() as world:
        pair = Pair(world, start=False)
        pair.right.hatsd("up", pair.right_file)
        fd, line = tun(pair.left, "wgt", IFF_VNET_HDR), listening("/run/wireguard/wgt.sock")
        for variables, what in (({"WG_TUN_FD": "999"}, "WG_TUN_FD"), ({"WG_UAPI_FD": "x"}, "WG_UAPI_FD"),
                                ({"WG_TUN_FD": str(line.fileno())}, "TUN"), ({"WG_UAPI_FD": str(fd)}, "WG_UAPI_FD")):
            code, said = start_with(pair.left, "wgx", variables, [fd, line.fileno()])
            assert code != 0 and what in said, (variables, code, said)
            assert "wgx" not in pair.left.out("ip -br link"), variables
        variables = {"WG_TUN_FD": str(fd), "WG_UAPI_FD": str(line.fileno())}
        code, said = start_with(pair.left, "wgt", variables, [fd, line.fileno()])
        os.close(fd)
        line.close()
        assert code == 0, said
        set_up_as_left(pair, "wgt")
        pair.check_both_ways(2)


def two_tunnels(world, **options):
    """Two tunnels between the same two hosts, each pair of ends served by one process."""
    pair = Pair(world, start=False, **options)
    left, right = Keys(), Keys()
    second = [world.file("wgl2.conf", wg_quick_file(left, "10.8.0.1/24", 51831, right, "192.0.2.2:51832",
                                                    allowed="10.8.0.0/24")),
              world.file("wgr2.conf", wg_quick_file(right, "10.8.0.2/24", 51832, left, "192.0.2.1:51831",
                                                    allowed="10.8.0.0/24"))]
    pair.left.hatsd("up", "--workers", "2", pair.left_file, second[0])
    pair.right.hatsd("up", "--workers", "2", pair.right_file, second[1])
    return pair


def threads_of(host, port):
    """Scheduling class of each thread of the process that has the UDP port."""
    process = re.search(r"pid=(\d+)", host.out(f"ss -Hnulp sport = :{port}")).group(1)
    return host.out(f"ps -L -o cls= -p {process}").split()


def test_realtime_puts_packets_first_and_without_the_right_to_it_warns():
    with World() as world:
        pair = Pair(world, start=False)
        pair.left.hatsd("up", "--realtime", pair.left_file)
        without = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", "prlimit", "--rtprio=0:0"]
        pair.right.run([*without, HATSD, "up", "--realtime", pair.right_file])
        pair.check_both_ways(2)
        classes = threads_of(pair.left, 51821)
        if os.environ.get("HATSD_SANITIZED"):  # ThreadSanitizer adds threads of its own, in the class of whoever starts them
            assert classes[0] == "TS" and "FF" in classes, classes
        else:
            assert sorted(classes) == ["FF", "TS"], f"the worker alone is a real-time thread: {classes}"
        assert set(threads_of(pair.right, 51822)) == {"TS"}
        assert "SCHED_FIFO" in pair.left.hatsd("show").stdout
        shown = pair.right.hatsd("show").stdout
        assert "SYS_NICE" in shown, shown
        bits, _ = iperf(pair.left, pair.right, "10.9.0.2", 3)
        assert bits > 1e6, bits


def test_the_least_memory_still_carries_both_ways_at_once():
    with World() as world:
        pair = Pair(world, start=False)
        for host, file in ((pair.left, pair.left_file), (pair.right, pair.right_file)):
            host.hatsd("up", "--memory", "2", file)
        pair.check_both_ways(2)
        for words in ((), ("-P", "8"), ("--bidir",)):
            bits, _ = iperf(pair.left, pair.right, "10.9.0.2", 2, words)
            assert bits > 1e6, (words, bits)


def test_two_workers_carry_two_tunnels_side_by_side():
    with World() as world:
        pair = two_tunnels(world)
        pair.check_both_ways(2)
        pair.left.ping("10.8.0.2", 2)
        process = re.search(r"pid=(\d+)", pair.left.out("ss -Hnulp sport = :51821")).group(1)
        assert f"pid={process}," in pair.left.out("ss -Hnulp sport = :51831"), "one process serves both"
        shown = pair.left.out([HATSD, "show"])
        assert "wgl\n" in shown and "wgl2\n" in shown, shown
        server = pair.right.start(["iperf3", "-s", "-1", "-p", "5301"])
        until(lambda: ":5301" in pair.right.out("ss -Hltn"), what="iperf3 server listening")
        other = pair.left.start(["iperf3", "-c", "10.8.0.2", "-p", "5301", "-t", "3"])
        bits, _ = iperf(pair.left, pair.right, "10.9.0.2", 3)
        assert other.wait(30) == 0 and server.wait(30) == 0
        assert bits > 1e6, bits
        for entry in json.loads(pair.left.hatsd("show", "--json").stdout)["interfaces"]:
            sent = sum(int(peer["tx_bytes"]) for peer in entry["peers"])
            assert sent > 100_000, (entry["name"], sent)
        loops = [entry["counters"]["udp_datagrams_sent"]
                 for entry in json.loads(pair.left.hatsd("show", "--json").stdout)["interfaces"]]
        assert min(loops) > 50 and len(set(loops)) == 2, f"each tunnel has a worker of its own: {loops}"
        pair.left.hatsd("down", "wgl")
        pair.left.ping("10.8.0.2", 2)
        pair.left.hatsd("up", pair.left_file)
        pair.check_both_ways(1)


def test_what_hooks_say_at_the_end_is_read_by_whoever_asked_for_it():
    with World() as world:
        hooks = "PreDown = echo going %i\nPostDown = echo gone %i >&2\n"
        pair = Pair(world, interface_lines="Table = off\n" + hooks)
        done = pair.left.hatsd("down", "wgl")
        assert done.stdout == "going wgl\n" and done.stderr == "gone wgl\n", (done.stdout, done.stderr)
        pair.left.hatsd("up", pair.left_file)
        log = world.file("output", "kept\n")
        pair.left.sh(f"{HATSD} down wgl >>{log} 2>&1")
        with open(log) as text:
            assert text.read() == "kept\ngoing wgl\ngone wgl\n"
        # a file that the shell writes to as well: one offset for all
        pair.left.hatsd("up", pair.left_file)
        pair.left.sh(f"(echo before; {HATSD} down wgl; echo after) >{log} 2>&1")
        with open(log) as text:
            assert text.read() == "before\ngoing wgl\ngone wgl\nafter\n"
        pair.left.hatsd("up", pair.left_file)
        pair.left.sh(f"{HATSD} down wgl >&- 2>&-")  # nobody listens
        assert "wgl" not in pair.left.out("ip -br link")
        process = pair.left.start([HATSD, "up", "-f", pair.left_file], log=world.path("own.log"))
        until(lambda: "10.9.0.1" in pair.left.out("ip -br address"), what="in the foreground")
        assert pair.left.hatsd("down", "wgl").stdout == "", "in the foreground its own output is read"
        assert process.wait(10) == 0
        with open(world.path("own.log")) as text:
            assert "going wgl" in text.read()


def test_a_hook_that_fails_on_the_way_down_is_a_warning_of_down():
    with World() as world:
        pair = Pair(world, interface_lines="Table = off\nPreDown = exit 3\nPostDown = false\n")
        wanted = (f"hatsd-user: warning: {pair.left_file}:6: PreDown: exit status 3\n"
                  f"hatsd-user: warning: {pair.left_file}:7: PostDown: exit status 1\n")
        with open(pair.left_file) as text:
            lines = text.read().splitlines()
        assert lines[5].startswith("PreDown") and lines[6].startswith("PostDown"), lines
        done = pair.left.hatsd("down", "wgl")
        assert done.stderr == wanted, done.stderr
        process = pair.left.start([HATSD, "up", "-f", pair.left_file], log=world.path("own.log"))
        until(lambda: "10.9.0.1" in pair.left.out("ip -br address"), what="in the foreground")
        assert pair.left.hatsd("down", "wgl").stderr == wanted
        assert process.wait(10) == 0


def test_a_reload_that_needs_roots_rights_anew_names_the_key_that_does():
    with World() as world:
        pair = Pair(world)
        with open(pair.left_file) as text:
            before = text.read()
        line = 1 + before.splitlines().index("Table = off")
        for words, place in (("PostDown = true", f"{line + 1}: PostDown:"), ("DNS = 192.0.2.53", f"{line + 1}: DNS:"),
                             ("SaveConfig = true", f"{line + 1}: SaveConfig:")):
            world.file("wgl.conf", before.replace("Table = off\n", f"Table = off\n{words}\n"))
            done = pair.left.hatsd("reload", "wgl", check=False)
            assert done.returncode == 1 and f"wgl.conf:{place} is new in this file" in done.stderr, done.stderr
        world.file("wgl.conf", before.replace("Table = off\n", "\n"))
        place = 1 + next(i for i, one in enumerate(before.splitlines()) if one.startswith("AllowedIPs"))
        done = pair.left.hatsd("reload", "wgl", check=False)
        assert f"wgl.conf:{place}: AllowedIPs: the default route is new" in done.stderr, done.stderr
        pair.left.ping("10.9.0.2", 1)


def test_what_a_sanitizer_says_in_a_daemon_fails_the_test():
    """With a program that has a data race, where the build has ThreadSanitizer; else with its report alone."""
    told = ""
    try:
        with World() as world:
            if RACY:
                racy = world.host("solo").start([RACY])  # daemons have no terminal either
                assert racy.wait(20) == 66, "ThreadSanitizer has overlooked the race"
            else:
                with open(f"{harness.SANITIZER_LOG}.1234", "w") as report:
                    report.write("WARNING: ThreadSanitizer: data race (pid=1234)\n")
    except AssertionError as fault:
        told = str(fault)
    assert "a sanitizer complains" in told and "data race" in told, f"a report was overlooked: {told}"
    assert harness.sanitizer_reports() == "", "a report is told once"


harness.main(globals())

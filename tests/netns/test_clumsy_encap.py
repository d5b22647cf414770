#!/usr/bin/env python3
"""Clumsy operators of the unencrypted tunnels: commands at the same moment, against each other, against the host, and wrong.

What must hold: one process and no duplicate, all or nothing, a message that says what would be right, exit code 2 for what
was typed and 1 for the rest, and nothing left behind.
"""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import harness
from harness import HATSD, World, skip, until


def interfaces(host):
    return {entry["name"]: entry for entry in json.loads(host.hatsd("show", "--json").stdout)["interfaces"]}


def sockets():
    return glob.glob("/run/hatsd-user/*.sock")


def refused(host, words, code, *texts):
    """The command fails with that exit code and one line that has these texts."""
    done = host.run([HATSD, *(words.split() if isinstance(words, str) else words)], check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("hatsd-user: "), (words, done.stderr)
    for text in texts:
        assert text in done.stderr, (words, text, done.stderr)


class Lines:
    """Two hosts on a wire and a gre tunnel, `gre1`, between them."""

    def __init__(self, world):
        self.left, self.right = world.host("left"), world.host("right")
        world.wire(self.left, self.right, ["192.0.2.1/24", "192.0.2.11/24", "2001:db8::1/64"],
                   ["192.0.2.2/24", "192.0.2.12/24", "2001:db8::2/64"])
        for host, here, there in ((self.left, 1, 2), (self.right, 2, 1)):
            host.hatsd(*f"tunnel add gre1 mode gre local 192.0.2.{here} remote 192.0.2.{there} ttl 64".split())
            host.run(f"ip address add 10.9.0.{here}/24 dev gre1")
            host.run("ip link set gre1 up")
        self.left.ping("10.9.0.2")

    def works(self):
        return self.left.ping("10.9.0.2", 1, wait=0.3, check=False).returncode == 0

    def wait(self, what="the tunnel works again"):
        until(self.works, 10, what)


def test_tunnels_added_at_the_same_moment_share_one_process_and_no_name_twice():
    with World() as world:
        host = world.host("busy")
        host.run("ip address add 192.0.2.1/24 dev lo")
        lines = [f"tunnel add t{number} mode gre local 192.0.2.1 remote 192.0.2.{100 + number}" for number in range(8)]
        lines += ["tunnel add same mode gre local 192.0.2.1 remote 192.0.2.201"] * 3
        lines += [f"tunnel add wire{number} mode gre local 192.0.2.1 remote 192.0.2.202" for number in range(3)]
        running = [subprocess.Popen(host.words([HATSD, *line.split()]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True) for line in lines]
        codes, said = [], []
        for process in running:
            said.append(process.communicate(timeout=60)[1])
            codes.append(process.returncode)
        assert codes[:8] == [0] * 8, (codes, said)
        assert sorted(codes[8:11]) == [0, 1, 1] and sorted(codes[11:]) == [0, 2, 2], (codes, said)
        assert len(sockets()) == 1, sockets()
        state = interfaces(host)
        assert len(state) == 10 and len({entry["pid"] for entry in state.values()}) == 1, sorted(state)
        assert all(entry["file"] == "" for entry in state.values()), "a tunnel of the command line has no file"
        host.hatsd("down", "--all")
        until(lambda: not os.path.exists("/run/hatsd-user"), 5, "nothing is left in /run")


def test_adds_and_dels_at_the_same_time_neither_fail_nor_part():
    workers, rounds = 8, 20
    # Now and then the last tunnel goes, and with it process and folder, while others are about to add theirs.
    script = f"""for i in $(seq {rounds}); do
        {HATSD} tunnel add t$0 mode gre local 192.0.2.1 remote 192.0.2.1$0 && {HATSD} tunnel del t$0 || exit
        done
        exec {HATSD} tunnel add t$0 mode gre local 192.0.2.1 remote 192.0.2.1$0"""
    with World() as world:
        host = world.host("busy")
        host.run("ip address add 192.0.2.1/24 dev lo")
        running = [subprocess.Popen(host.words(["bash", "-c", script, str(number)]), stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for number in range(workers)]
        said = [process.communicate(timeout=120)[0] for process in running]
        assert all(process.returncode == 0 for process in running), said
        state = interfaces(host)
        assert len(state) == workers and len({entry["pid"] for entry in state.values()}) == 1, state.keys()
        host.hatsd("down", "--all")
        until(lambda: not os.path.exists("/run/hatsd-user"), 5, "nothing is left in /run")


def test_a_change_to_what_another_tunnel_is_changes_nothing():
    with World() as world:
        lines = Lines(world)
        lines.left.hatsd(*"tunnel add gre2 mode gre local 192.0.2.1 remote 192.0.2.2 key 5".split())
        before = interfaces(lines.left)["gre2"]["tunnel"]
        for words in ("nope", "ttl 300", "key 4294967296", "remote 192.0.2.999", "remote 2001:db8::2", "mode sit", "local",
                      "dev nosuch", "remote 224.0.0.5", "tos 0xfff"):
            refused(lines.left, f"tunnel change gre2 {words}", 2)
        lines.left.hatsd(*"tunnel add gre3 mode gre local 192.0.2.1 remote 192.0.2.2 key 6".split())
        refused(lines.left, "tunnel change gre2 key 6", 2, "gre2", "gre3")
        assert interfaces(lines.left)["gre2"]["tunnel"] == before
        assert lines.works()
        refused(lines.left, "tunnel change nosuch ttl 3", 1, "nosuch")
        refused(lines.left, "tunnel del nosuch", 1, "nosuch")
        refused(lines.left, "tunnel add gre2 mode gre remote 192.0.2.7", 1, "gre2", "exists")
        refused(lines.left, "tunnel add eth0 mode gre remote 192.0.2.7", 1, "eth0", "exists")
        refused(lines.left, "down nosuch", 1, "nosuch")


def test_words_that_are_wrong_are_named():
    with World() as world:
        host = world.host("typist")
        for words, text in (("local", "local"), ("remote", "remote"), ("remote 192.0.2.2 ttl", "ttl"), ("", "remote"),
                            ("remote 192.0.2.2 key", "key"), ("remote 192.0.2.2 dev", "dev"), ("remote 192.0.2.2 ttl x", "ttl"),
                            ("remote any", "any"), ("remote 255.255.255.255", "broadcast"), ("remote 224.0.0.1", "multicast"),
                            ("remote ::ffff:192.0.2.2", "remote"), ("remote 192.0.2.2 local 2001:db8::1", "local")):
            refused(host, f"tunnel add x mode gre {words}", 2, text)
        refused(host, "tunnel add x mode vti remote 192.0.2.2", 2, "mode")
        refused(host, "tunnel frob x", 2, "frob")
        for name in ("a/b", "a b", "a:b", "..", ".", "", "a%d", "sixteen-letters-", "a\nb", "h\u00e9", "\x1b[2J", "x;y", "$(id)", "'", "all", "default"):
            refused(host, ["tunnel", "add", name, "mode", "gre", "remote", "192.0.2.2"], 2, "name")
        for name in ("-x", "a.b", "a=b+c", "up", "tunnel"):
            host.run([HATSD, "tunnel", "add", "name", name, "mode", "gre", "remote", "192.0.2.2"])
            assert name in interfaces(host)
            host.run([HATSD, "tunnel", "del", "name", name])
        assert not sockets()


def test_ends_are_changed_and_tunnels_deleted_under_traffic():
    with World() as world:
        lines = Lines(world)
        floods = [lines.left.start("ping -n -f -q 10.9.0.2"), lines.right.start("ping -n -f -q -s 1400 10.9.0.1")]
        for _ in range(10):
            lines.left.hatsd(*"tunnel change gre1 local 192.0.2.11 remote 192.0.2.12".split())
            lines.right.hatsd(*"tunnel change gre1 local 192.0.2.12 remote 192.0.2.11 key 9".split())
            lines.left.hatsd(*"tunnel change gre1 key 9".split())
            lines.left.hatsd(*"tunnel change gre1 local 192.0.2.1 remote 192.0.2.2".split())
            lines.right.hatsd(*"tunnel change gre1 local 192.0.2.2 remote 192.0.2.1".split())
        lines.wait()
        for number in range(5):
            lines.left.hatsd(*f"tunnel add other mode sit local 192.0.2.1 remote 192.0.2.{50 + number}".split())
            lines.left.hatsd("tunnel", "del", "other")
        lines.wait()
        lines.left.hatsd("tunnel", "del", "gre1")
        assert lines.left.run("ip link show gre1", check=False).returncode != 0
        lines.right.run("ip link del gre1")
        until(lambda: not sockets(), 5, "both processes end with their last interface")
        for flood in floods:
            flood.send_signal(signal.SIGINT)


def test_a_hundred_tunnels_come_and_go_together():
    """HATSD_MANY: another number."""
    with World() as world:
        host = world.host("many")
        host.run("ip address add 192.0.2.1/16 dev lo")
        number = int(os.environ.get("HATSD_MANY", "100"))
        start = time.monotonic()
        host.sh("".join(f"{HATSD} tunnel add m{i} mode gre local 192.0.2.1 remote 192.0.{3 + i // 250}.{1 + i % 250}\n"
                        for i in range(number)), timeout=600)
        added = time.monotonic() - start
        assert len(sockets()) == 1
        process = os.path.basename(sockets()[0])[:-5]
        with open(f"/proc/{process}/status") as text:
            memory = next(int(line.split()[1]) for line in text if line.startswith("VmRSS"))
        files = len(os.listdir(f"/proc/{process}/fd"))
        start = time.monotonic()
        assert len(interfaces(host)) == number
        listed = time.monotonic() - start
        start = time.monotonic()
        host.hatsd("down", "--all", timeout=300)
        downed = time.monotonic() - start
        print(f"{number} tunnels: added in {added:.1f} s, {memory} KiB, {files} descriptors, shown in {listed:.2f} s, "
              f"down in {downed:.1f} s", flush=True)
        # the process answers before it has ended
        until(lambda: not sockets() and " m0:" not in host.out("ip -o link"), what="the process and its links are gone")


def test_a_local_address_or_link_that_comes_goes_and_comes_back_is_waited_for():
    with World() as world:
        lines = Lines(world)
        late = "tunnel add late mode gre local 192.0.2.21 remote 192.0.2.22".split()
        lines.left.hatsd(*late)
        lines.right.hatsd(*"tunnel add late mode gre local 192.0.2.22 remote 192.0.2.21".split())
        for host, number in ((lines.left, 1), (lines.right, 2)):
            host.run(f"ip address add 10.8.0.{number}/24 dev late")
            host.run("ip link set late up")
        assert "192.0.2.21" in interfaces(lines.left)["late"]["waiting"]
        lines.left.run("ip address add 192.0.2.21/24 dev eth0")
        lines.right.run("ip address add 192.0.2.22/24 dev eth0")

        def goes():
            return lines.left.ping("10.8.0.2", 1, wait=0.3, check=False).returncode == 0
        until(goes, 10, "works once the address is there")
        until(lambda: interfaces(lines.left)["late"]["waiting"] is None, 5, "says so")
        lines.left.run("ip address del 192.0.2.21/24 dev eth0")
        until(lambda: interfaces(lines.left)["late"]["waiting"], 5, "says that the address is gone")
        assert not goes() and lines.works()
        lines.left.run("ip address add 192.0.2.21/24 dev eth0")
        until(goes, 10, "works with the address back")
        lines.left.run("ip link set eth0 down")
        until(lambda: interfaces(lines.left)["gre1"]["waiting"], 5, "says that there is no route")
        assert not lines.works()
        lines.left.run("ip link set eth0 up")
        lines.wait()
        until(lambda: interfaces(lines.left)["gre1"]["waiting"] is None, 5, "waits no longer")


def test_a_packet_without_a_route_does_not_count_as_sent():
    with World() as world:
        lines = Lines(world)
        lines.left.run("ip route add prohibit 192.0.2.2/32")
        until(lambda: interfaces(lines.left)["gre1"]["waiting"], 5, "says that there is no route")
        before = interfaces(lines.left)["gre1"]
        lines.left.ping("10.9.0.2", 5, interval=0.05, wait=0.2, check=False)
        after = interfaces(lines.left)["gre1"]
        assert after["drops"]["raw_send_failed"] >= before["drops"]["raw_send_failed"] + 5, after
        for counter in ("tx_packets", "tx_bytes"):
            assert after[counter] == before[counter], (counter, before[counter], after[counter])


def test_check_tells_what_up_would_run_into_and_changes_nothing():
    with World() as world:
        lines = Lines(world)
        before = lines.left.out("ip -br link")

        def told(name, local, *texts):
            file = world.file("a.netdev", f"[NetDev]\nName={name}\nKind=gre\n[Tunnel]\nLocal={local}\nRemote=192.0.2.2\n")
            out = lines.left.hatsd("check", file).stdout
            for text in texts:
                assert text in out, (text, out)
            return out
        told("gre1", "192.0.2.1", "warning: gre1: the interface exists already", "`hatsd-user tunnel change gre1`")
        told("other", "192.0.2.1", "other cannot be told apart from gre1 on the wire")
        told("other", "192.0.2.99", "the local address 192.0.2.99 is not on this host now")
        told("other", "192.0.2.11", "warning: no .network matches other")
        world.file("a.network", "[Match]\nName=other\n[Network]\nAddress=10.9.0.1/24\n")
        fine = told("other", "192.0.2.11")
        assert "warning" not in fine and "not on this host" not in fine, fine
        assert lines.left.out("ip -br link") == before


def test_a_remote_routed_into_its_own_tunnel_does_not_spin():
    with World() as world:
        lines = Lines(world)
        process = interfaces(lines.left)["gre1"]["pid"]

        def ticks():
            with open(f"/proc/{process}/stat") as line:
                return sum(map(int, line.read().rsplit(")", 1)[1].split()[11:13]))
        lines.left.run("ip route add 192.0.2.2/32 dev gre1")
        until(lambda: "tunnel itself" in (interfaces(lines.left)["gre1"]["waiting"] or ""), 5, "says where the route leads")
        used = ticks()
        lines.left.ping("10.9.0.2", 30, interval=0.02, wait=0.2, check=False)
        lines.left.ping("192.0.2.2", 30, interval=0.02, wait=0.2, check=False)
        time.sleep(1)
        used = ticks() - used
        drops = interfaces(lines.left)["gre1"]["drops"]
        assert used < 30 and drops["tx_loop"] > 0, (used, drops)
        lines.left.run("ip route del 192.0.2.2/32 dev gre1")
        lines.wait()
        # two tunnels, each through the other
        lines.left.hatsd(*"tunnel add gre2 mode gre local 192.0.2.1 remote 192.0.2.44 key 3".split())
        lines.left.run("ip link set gre2 up")
        lines.left.run("ip route add 192.0.2.44/32 dev gre1")
        lines.left.run("ip route add 192.0.2.2/32 dev gre2")
        used = ticks()
        lines.left.ping("10.9.0.2", 10, interval=0.02, wait=0.2, check=False)
        time.sleep(1)
        used = ticks() - used
        state = interfaces(lines.left)
        assert used < 60, (used, state["gre1"]["drops"], state["gre2"]["drops"], state["gre1"]["tx_packets"])
        lines.left.run("ip route del 192.0.2.2/32 dev gre2")
        lines.wait()


def test_links_given_odd_mtus_moved_deleted_or_killed_leave_the_others_alone():
    with World() as world:
        lines, away = Lines(world), world.host("away")
        left = lines.left
        for mtu in (65535, 68, 65500, 576, 1476):
            left.run(f"ip link set gre1 mtu {mtu}", check=False)
            left.ping("10.9.0.2", 2, size=40)
            left.ping("10.9.0.2", 2, size=1500, wait=0.3, check=False)  # too many pieces for ping at 68
        left.hatsd(*"tunnel add gre2 mode gre local 192.0.2.1 remote 192.0.2.2 key 5".split())
        lines.right.hatsd(*"tunnel add gre2 mode gre local 192.0.2.2 remote 192.0.2.1 key 5".split())
        lines.right.run("ip address add 10.7.0.2/24 dev gre2")
        lines.right.run("ip link set gre2 up")
        left.run(f"ip link set gre2 netns {away.name}")
        away.run("ip address add 10.7.0.1/24 dev gre2")
        away.run("ip link set gre2 up")
        until(lambda: away.ping("10.7.0.2", 1, wait=0.3, check=False).returncode == 0, 10, "works where it was moved")
        assert lines.works()
        left.hatsd(*"tunnel add gre3 mode gre local 192.0.2.1 remote 192.0.2.2 key 6".split())
        left.run("ip link del gre3")
        until(lambda: "gre3" not in interfaces(left), 5, "a deleted link's tunnel ends")
        assert away.ping("10.7.0.2", 1, check=False).returncode == 0 and lines.works()
        away.run("ip link del gre2")
        # kill -9: the kernel takes the links; the next command finds no trace in its way
        process = interfaces(left)["gre1"]["pid"]
        os.kill(process, signal.SIGKILL)
        until(lambda: left.run("ip link show gre1", check=False).returncode != 0, 5, "the links went with the process")
        assert "gre1" not in interfaces(left)
        left.hatsd(*"tunnel add gre1 mode gre local 192.0.2.1 remote 192.0.2.2 ttl 64".split())
        left.run("ip address add 10.9.0.1/24 dev gre1")
        left.run("ip link set gre1 up")
        lines.wait("works after the crash")
        assert not os.path.exists(f"/run/hatsd-user/{process}.sock"), "the dead process's socket is swept away"


def test_a_tunnel_moved_away_or_renamed_and_a_new_one_of_its_name_are_two():
    def keys(host):  # by name, of what `show` tells there
        return [(one["name"], one["tunnel"]["out_key"], one["tunnel"]["ttl"])
                for one in json.loads(host.hatsd("show", "--json").stdout)["interfaces"]]
    with World() as world:
        host, away = world.host("home"), world.host("away")
        host.run("ip address add 192.0.2.1/24 dev lo")
        add = lambda name, key, check=True: host.run([HATSD, *f"tunnel add {name} mode gre local 192.0.2.1 remote 192.0.2.2 "
                                                               f"ttl 64 key {key}".split()], check=check)
        add("gx", 1)
        process = interfaces(host)["gx"]["pid"]
        host.run("ip link set gx netns away")
        for words in ("change gx ttl 9", "del gx", "show gx"):
            refused(host, f"tunnel {words}", 1, "moved to another network namespace", "down gx")
        refused(host, "tunnel add gx mode gre local 192.0.2.1 remote 192.0.2.2 key 1", 2, "gx (moved to another")
        # A kernel's link of that name is nobody's business.
        host.run("ip link add gx type veth peer name gx-peer")
        assert "pid" not in add("gx", 2, check=False).stderr, "the moved one does not have this link"
        host.run("ip link del gx")
        add("gx", 2)
        assert sorted(keys(host)) == [("gx", 1, 64), ("gx", 2, 64)] and keys(away) == [("gx", 1, 64)]
        assert interfaces(host)["gx"]["pid"] == process
        host.run([HATSD, *"tunnel change gx ttl 9".split()])
        away.run([HATSD, *"tunnel change gx ttl 33".split()])
        assert sorted(keys(host)) == [("gx", 1, 33), ("gx", 2, 9)]
        assert "ttl 9" in host.hatsd("tunnel", "show").stdout and "ttl 33" in away.hatsd("tunnel", "show", "gx").stdout
        # Each ends its own; then the one that is left is what `down` means where it was born.
        host.hatsd("tunnel", "del", "gx")
        assert keys(host) == keys(away) == [("gx", 1, 33)] and "gx" not in host.out("ip -br link")
        add("gx", 2)
        away.hatsd("tunnel", "del", "gx")
        assert keys(host) == [("gx", 2, 64)] and keys(away) == [] and "gx" not in away.out("ip -br link")
        host.run("ip link set gx netns away")
        add("gx", 3)
        host.hatsd("down", "gx")
        assert keys(host) == [("gx", 2, 64)]
        host.hatsd("down", "gx")
        assert keys(host) == [] and not sockets()
        # A link that was given another name is not its old name's either.
        add("gx", 1)
        host.run("ip link set gx name gy")
        add("gx", 2)
        add("gz", 3)
        host.run("ip link set gx netns away")
        add("gx", 4)
        host.hatsd("tunnel", "del", "gx")
        assert sorted(keys(host)) == [("gx", 2, 64), ("gy", 1, 64), ("gz", 3, 64)]
        host.hatsd("tunnel", "del", "gy")
        assert sorted(keys(host)) == [("gx", 2, 64), ("gz", 3, 64)]
        add("gx", 5)
        host.hatsd("down", "--all")
        assert keys(away) == [] and not sockets()


def test_a_host_that_withholds_something_is_told_what():
    with World() as world:
        host = world.host("poor")
        host.run("ip address add 192.0.2.1/24 dev lo")
        add = f"{HATSD} tunnel add gre1 mode gre local 192.0.2.1 remote 192.0.2.2"

        def told(script, code, *texts):
            done = host.run(["bash", "-c", script], check=False)
            assert done.returncode == code and all(text in done.stderr for text in texts), (script, done.returncode, done.stderr)
            assert code == 0 or " gre1:" not in host.out("ip -o link")
        if shutil.which("capsh") is None:
            skip("capsh is not installed")
        told(f"capsh --drop=cap_net_raw -- -c '{add}'", 1, "CAP_NET_RAW")
        told(f"capsh --drop=cap_net_admin -- -c '{add}'", 1, "CAP_NET_ADMIN")
        told(f"unshare -m bash -c 'mount -t tmpfs -o ro none /run && {add}'", 1, "/run/hatsd-user", "Read-only")
        assert not os.path.exists("/run/hatsd-user")
        told(f"unshare -m bash -c 'mount -t tmpfs none /dev && {add}'", 1, "/dev/net/tun")
        assert not os.path.exists("/run/hatsd-user")
        told(f"unshare -m bash -c 'mount -t proc proc /proc && mount -o bind,ro /proc/sys /proc/sys && {add}'", 0)
        assert "gre1" in interfaces(host)
        host.hatsd("tunnel", "del", "gre1")
        with contextlib.suppress(FileNotFoundError):
            os.rmdir("/run/hatsd-user")
        with open("/run/hatsd-user", "w") as plug:  # a file where the folder should be
            plug.write("")
        told(add, 1, "/run/hatsd-user")
        os.unlink("/run/hatsd-user")


harness.main(globals())

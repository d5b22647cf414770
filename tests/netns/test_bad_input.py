#!/usr/bin/env python3
"""Bad files, bad hosts, bad packets: a clear message, the right exit status, nothing left behind, never a crash."""
import contextlib
import os
import random
import shutil
import socket
import time

import harness
from harness import HATSD, Keys, Pair, World, command, need, until, wg_quick_file


def refused(host, path, status, *words):
    done = host.hatsd("up", path, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    for word in words:
        assert word.lower() in done.stderr.lower(), f"no '{word}' in: {done.stderr}"
    assert "wgx" not in host.out("ip -br link"), "an interface was left behind"
    assert not os.path.exists("/run/wireguard/wgx.sock"), "a socket was left behind"
    return done.stderr


def test_each_fault_of_a_file_has_its_own_message_with_its_line():
    keys, peer = Keys(), Keys()
    good = wg_quick_file(keys, "10.9.0.1/24", 51821, peer, "192.0.2.2:51822")
    line = {text.split()[0]: number + 1 for number, text in enumerate(good.splitlines()) if text}
    faults = [
        (good.replace(keys.private, "{your private key}"), f"wgx.conf:{line['PrivateKey']}: PrivateKey:", "placeholder"),
        (good.replace("10.9.0.1/24", "{your tunnel ip cidr}"), f"wgx.conf:{line['Address']}: Address:", "placeholder"),
        (good.replace(keys.private, keys.private[:-1]), f"wgx.conf:{line['PrivateKey']}: PrivateKey:", "base64"),
        (good.replace("AllowedIPs ", "AllowedIP "), f"wgx.conf:{line['AllowedIPs']}:", "AllowedIPs"),
        (good.replace("0.0.0.0/0", "0.0.0.0/33"), f"wgx.conf:{line['AllowedIPs']}: AllowedIPs:", "33"),
        (good.replace("51821", "65536"), f"wgx.conf:{line['ListenPort']}: ListenPort:", "65535"),
        (good.replace("[Peer]", "[Peeer]"), f"wgx.conf:{line['[Peer]']}:", "[Peer]"),
        (good.replace("51821", "no-such-service"), f"wgx.conf:{line['ListenPort']}: ListenPort:", "no service"),
        (good.replace("Table = off", "Table = no-such-table"), f"wgx.conf:{line['Table']}: Table:", "no routing table"),
        (good.replace("192.0.2.2:51822", "192.0.2.2"), f"wgx.conf:{line['Endpoint']}: Endpoint:", "port"),
    ]
    with World() as world:
        host = world.host("solo")
        for text, *words in faults:
            message = refused(host, world.file("wgx.conf", text), 2, *words)
            assert keys.private not in message and keys.private[:-1] not in message, "a secret in a message"
            check = host.hatsd("check", world.path("wgx.conf"), check=False)
            assert check.returncode == 2 and words[0] in check.stderr + check.stdout, check


def test_what_is_no_file_is_not_waited_for():
    command("mount -t tmpfs tmpfs /etc/systemd/network")
    with World() as world:
        host = world.host("left")
        fifo, endless = world.path("wgx.conf"), world.path("wgy.conf")
        os.mkfifo(fifo)
        os.symlink("/dev/zero", endless)
        for path in (fifo, endless):
            for word in ("check", "up"):
                done = host.hatsd(word, path, check=False)
                assert done.returncode == 2 and f"{path}:1: is not a file" in done.stderr, done.stderr
        os.mkfifo(world.path("wgz.netdev"))
        done = host.hatsd("down", world.path("wgz.netdev"), check=False, timeout=10)
        assert done.returncode == 1 and "no such interface" in done.stderr, done.stderr
        # One among networkd's files does not keep the others from being found.
        os.mkfifo("/etc/systemd/network/10-a.netdev")
        with open("/etc/systemd/network/20-b.netdev", "w") as text:
            text.write("[NetDev]\nName = grx\nKind = gre\n[Tunnel]\nLocal = 192.0.2.1\nRemote = 192.0.2.2\n")
        assert host.hatsd("check", "grx").returncode == 0


def test_names_that_cannot_be_interfaces_are_refused():
    with World() as world:
        host = world.host("solo")
        text = wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys())
        done = host.hatsd("up", world.file("sixteen-letters1.conf", text), check=False)
        assert done.returncode == 2 and "15" in done.stderr, done.stderr
        done = host.hatsd("up", "/nowhere/wgx.conf", check=False)
        assert done.returncode == 2 and "/nowhere/wgx.conf" in done.stderr, done.stderr
        done = host.hatsd("up", "wgnotthere", check=False)
        assert done.returncode == 2 and "wgnotthere" in done.stderr, done.stderr


def test_a_busy_port_is_named():
    with World() as world:
        host = world.host("solo")
        host.start("socat -u UDP4-LISTEN:51821 /dev/null")
        until(lambda: ":51821" in host.out("ss -Hnul"), what="the port is taken")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        said = refused(host, path, 1, "51821", "in use")
        assert said.startswith(f"hatsd-user: {path}:3: ListenPort: "), said


def test_check_tells_of_dns_that_up_will_refuse_for_want_of_resolvconf():
    here = shutil.which("resolvconf", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    with World() as world, contextlib.ExitStack() as later:
        if here:  # of this test's mounts alone
            command(["mount", "--bind", "/dev/null", here])
            later.callback(command, ["umount", here])
        host = world.host("solo")
        text = wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()).replace("Table = off\n", "Table = off\ndns = 192.0.2.53\n")
        path = world.file("wgx.conf", text)
        fault = f"{path}:{1 + text.splitlines().index('dns = 192.0.2.53')}: DNS: needs the program resolvconf"
        refused(host, path, 1, fault)
        done = host.hatsd("check", path)
        assert "warning: " + fault in done.stdout, done
        world.file("resolvconf", "#!/bin/sh\n", mode=0o755)
        there = host.hatsd("check", path, env={"PATH": world.dir + ":" + os.environ["PATH"]})
        assert "resolvconf" not in there.stdout, there


def test_a_missing_tun_device_names_the_remedy():
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        done = host.run(["unshare", "--mount", "bash", "-c", f"mount -t tmpfs none /dev/net && {HATSD} up {path}"], check=False)
        assert done.returncode == 1, done
        for word in ("/dev/net/tun", "--device", "lxc", "vzctl"):
            assert word in done.stderr.replace("LXC", "lxc"), done.stderr


def test_another_device_in_the_place_of_tun_is_named():
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        done = host.run(["unshare", "--mount", "bash", "-c", f"mount --bind /dev/null /dev/net/tun && {HATSD} up {path}"],
                        check=False)
        assert done.returncode == 1 and "is not the TUN device (character device 10:200)" in done.stderr, done


def test_who_is_not_root_is_told_to_be():
    need("setpriv")
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        netdev = world.file("x.netdev", "[NetDev]\nName=x\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n")
        os.chmod(world.dir, 0o755)
        host.hatsd("tunnel", "add", "gre1", "local", "192.0.2.1", "remote", "192.0.2.2")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", HATSD]
        for words in (["up", path], ["up", netdev],
                      ["tunnel", "add", "gre2", "local", "192.0.2.1", "remote", "192.0.2.3"], ["down", "gre1"]):
            done = host.run([*nobody, *words], check=False)
            assert done.returncode != 0 and "run as root" in done.stderr, done


def test_a_missing_capability_names_the_remedy():
    need("setpriv")
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        done = host.run(["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", HATSD, "up", path], check=False)
        assert done.returncode == 1 and "NET_ADMIN" in done.stderr, done
        assert "--cap-add" in done.stderr, done.stderr


def test_bad_options_and_environment_are_usage_errors():
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()))
        for words in (["up", "--io=fast", path], ["up", "--tun-offload=maybe", path], ["up"], [], ["down"],
                      ["up", "--workers=0", path], ["up", "--memory=1", path], ["up", "--workers=many", path]):
            done = host.hatsd(*words, check=False)
            assert done.returncode == 2 and done.stderr, (words, done)
        for name in ("HATSD_IO", "HATSD_TUN_OFFLOAD", "HATSD_AEAD", "HATSD_WORKERS", "HATSD_REALTIME", "HATSD_MEMORY",
                     "HATSD_LOG_LEVEL"):
            done = host.hatsd("up", path, check=False, env={name: "nonsense"})
            assert done.returncode == 2 and name in done.stderr, (name, done)
        assert "wgx" not in host.out("ip -br link")


def test_a_file_that_others_can_read_draws_a_warning():
    with World() as world:
        host = world.host("solo")
        path = world.file("wgx.conf", wg_quick_file(Keys(), "10.9.0.1/24", 51821, Keys()), mode=0o644)
        os.chmod(world.dir, 0o755)  # in a closed folder the file would be safe whatever its mode
        done = host.hatsd("up", path)
        assert "wgx.conf" in done.stderr and "readable" in done.stderr, done.stderr


def test_any_datagram_before_and_after_keys_is_silence():
    with World() as world:
        host = world.host("solo")
        host.run([HATSD, "wgb"])
        host.run("wg set wgb listen-port 5000")
        host.run("ip link set wgb up")
        shout = """
import os, random, socket, sys
random.seed(int(sys.argv[1]))
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.settimeout(0.5)
sizes = [0, 1, 3, 4, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1500, 9000, 65000, 65507]
for number in range(4000):
    size = random.choice(sizes) if number % 2 else random.randrange(0, 300)
    data = bytearray(os.urandom(size))
    if size >= 4 and number % 4:
        data[:4] = bytes([random.choice([1, 2, 3, 4]), 0, 0, 0])
    line.sendto(data, ("127.0.0.1", 5000))
try:
    print("ANSWERED", line.recvfrom(65536))
except (socket.timeout, ConnectionRefusedError) as end:
    print("silence", type(end).__name__)
"""
        script = world.file("shout.py", shout)
        for seed, before in (("1", None), ("2", "key")):
            if before:
                keys, peer = Keys(), Keys()
                host.run(["wg", "set", "wgb", "private-key", world.file("k", keys.private), "peer", peer.public,
                          "allowed-ips", "0.0.0.0/0"])
            out = host.out(["python3", script, seed])
            assert out == "silence timeout" or out == "silence TimeoutError", out
            host.run("wg show wgb")


harness.main(globals())

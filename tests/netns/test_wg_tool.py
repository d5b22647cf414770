#!/usr/bin/env python3
"""wg(8) of Debian's wireguard-tools against our socket, in every form (peers.md 4)."""
import base64
import os
import re
import socket

import harness
from harness import HATSD, Keys, Pair, World, command, until, wg_quick_file


class Bare:
    """A bare interface wgb on one host."""

    def __init__(self, world, name="wgb"):
        self.host = world.host("solo")
        self.host.run([HATSD, name])
        self.name = name

    def wg(self, *words, **options):
        return self.host.run(["wg", *words], **options)


def talk(text, name="wgb"):
    """Sends text to the socket of an interface and returns what comes back until it is closed or quiet."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(f"/run/wireguard/{name}.sock")
        line.settimeout(2)
        line.sendall(text.encode())
        answer = b""
        try:
            while True:
                data = line.recv(65536)
                if not data:
                    break
                answer += data
                if answer.endswith(b"\n\n"):
                    break
        except socket.timeout:
            pass
        return answer.decode()


def test_set_show_and_showconf_give_back_what_was_set():
    with World() as world:
        bare = Bare(world)
        keys, peer, psk = Keys(), Keys(), command("wg genpsk").stdout.strip()
        bare.wg("set", "wgb", "private-key", world.file("k", keys.private), "listen-port", "4242", "fwmark", "0x2a",
                "peer", peer.public, "preshared-key", world.file("p", psk), "endpoint", "198.51.100.7:99",
                "persistent-keepalive", "33", "allowed-ips", "10.1.2.3/8,fd00::1/64,0.0.0.0/0")
        show = bare.wg("show", "wgb", "dump").stdout.splitlines()
        assert show[0].split("\t") == [keys.private, keys.public, "4242", "0x2a"], show[0]
        fields = show[1].split("\t")
        assert fields[:3] == [peer.public, psk, "198.51.100.7:99"], fields
        assert set(fields[3].split(",")) == {"10.0.0.0/8", "fd00::/64", "0.0.0.0/0"}, fields
        assert fields[4:] == ["0", "0", "0", "33"], fields
        for word, value in (("public-key", keys.public), ("listen-port", "4242"), ("fwmark", "0x2a")):
            assert bare.wg("show", "wgb", word).stdout.strip() == value
        conf = bare.wg("showconf", "wgb").stdout
        for line in (f"PrivateKey = {keys.private}", "ListenPort = 4242", "FwMark = 0x2a", f"PresharedKey = {psk}",
                     "Endpoint = 198.51.100.7:99", "PersistentKeepalive = 33"):
            assert line in conf, conf
        assert bare.host.out("wg show interfaces") == "wgb"
        # what showconf wrote, setconf takes, and nothing changes
        bare.wg("setconf", "wgb", world.file("again.conf", conf))
        assert bare.wg("showconf", "wgb").stdout == conf


def test_setconf_replaces_addconf_adds_and_syncconf_keeps_what_is_unchanged():
    with World() as world:
        bare = Bare(world)
        keys, one, two, three = (Keys() for _ in range(4))

        def conf(*peers):
            return f"[Interface]\nPrivateKey = {keys.private}\nListenPort = 5151\n" + "".join(
                f"[Peer]\nPublicKey = {peer.public}\nAllowedIPs = {ips}\n" for peer, ips in peers)

        def peers():
            return {line.split("\t")[0]: set(line.split("\t")[1].split())
                    for line in bare.wg("show", "wgb", "allowed-ips").stdout.splitlines()}

        bare.wg("setconf", "wgb", world.file("1", conf((one, "10.1.0.0/16"), (two, "10.2.0.0/16"))))
        assert peers() == {one.public: {"10.1.0.0/16"}, two.public: {"10.2.0.0/16"}}
        bare.wg("addconf", "wgb", world.file("2", f"[Peer]\nPublicKey = {three.public}\nAllowedIPs = 10.3.0.0/16\n"))
        assert set(peers()) == {one.public, two.public, three.public}
        bare.wg("syncconf", "wgb", world.file("3", conf((one, "10.1.0.0/16"), (three, "10.4.0.0/16"))))
        assert peers() == {one.public: {"10.1.0.0/16"}, three.public: {"10.4.0.0/16"}}
        bare.wg("setconf", "wgb", world.file("4", conf((two, "10.2.0.0/16"))))
        assert peers() == {two.public: {"10.2.0.0/16"}}
        bare.wg("set", "wgb", "peer", two.public, "remove")
        assert peers() == {}


def test_a_prefix_given_to_another_peer_moves():
    with World() as world:
        bare = Bare(world)
        one, two = Keys(), Keys()
        bare.wg("set", "wgb", "peer", one.public, "allowed-ips", "10.0.0.0/8,10.1.0.0/16")
        bare.wg("set", "wgb", "peer", two.public, "allowed-ips", "10.1.0.0/16")
        lines = dict(line.split("\t") for line in bare.wg("show", "wgb", "allowed-ips").stdout.splitlines())
        assert lines[one.public] == "10.0.0.0/8" and lines[two.public] == "10.1.0.0/16", lines


def test_a_peer_with_our_own_key_is_ignored_and_removed_when_the_key_is_set_later():
    with World() as world:
        bare = Bare(world)
        keys = Keys()
        bare.wg("set", "wgb", "peer", keys.public, "allowed-ips", "10.0.0.0/8")
        assert keys.public in bare.wg("show", "wgb", "peers").stdout
        bare.wg("set", "wgb", "private-key", world.file("k", keys.private))
        assert bare.wg("show", "wgb", "peers").stdout.strip() == ""
        bare.wg("set", "wgb", "peer", keys.public, "allowed-ips", "10.0.0.0/8")
        assert bare.wg("show", "wgb", "peers").stdout.strip() == ""


def test_a_busy_port_is_address_in_use_and_the_old_port_stays():
    with World() as world:
        bare = Bare(world)
        bare.wg("set", "wgb", "listen-port", "6000")
        taken = bare.host.start("socat -u UDP4-LISTEN:6001 /dev/null")
        until(lambda: ":6001" in bare.host.out("ss -Hnul"), what="the port is taken")
        done = bare.wg("set", "wgb", "listen-port", "6001", check=False)
        assert done.returncode != 0 and "Address already in use" in done.stderr, done.stderr
        assert bare.wg("show", "wgb", "listen-port").stdout.strip() == "6000"
        taken.terminate()


def test_a_port_below_1024_can_be_set_later_on_a_daemon_that_has_dropped_its_rights():
    for hooks in ("", "PostUp = true\n"):  # with hooks, a parent keeps root's rights and the sockets are its child's
        with World() as world:
            pair = Pair(world, interface_lines=f"Table = off\n{hooks}")
            pair.check_both_ways(1)
            pair.left.run("wg set wgl listen-port 443")
            assert pair.left.out("wg show wgl listen-port") == "443"
            ports = pair.left.out("ss -Hnulp")
            assert ":443 " in ports and ":51821 " not in ports, ports
            owner = re.search(r":443 .*pid=(\d+)", ports).group(1)
            with open(f"/proc/{owner}/status") as status:
                rights = int(re.search(r"CapEff:\s*(\w+)", status.read()).group(1), 16)
            assert rights == 1 << 12 | 1 << 10, f"NET_ADMIN and NET_BIND_SERVICE alone: {rights:x}"
            pair.right.run(["wg", "set", "wgr", "peer", pair.left_keys.public, "endpoint", "192.0.2.1:443"])
            pair.right.ping("10.9.0.1", 2)
            pair.left.run("ip link set wgl down")
            until(lambda: ":443 " not in pair.left.out("ss -Hnul"), what="sockets closed")
            pair.left.run("ip link set wgl up")
            until(lambda: ":443 " in pair.left.out("ss -Hnul"), what="bound again")


def test_a_port_below_1024_without_the_right_to_it_is_refused_and_the_old_port_stays():
    with World() as world:
        pair = Pair(world, start=False)
        without = ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"]
        pair.left.run([*without, HATSD, "up", pair.left_file])
        pair.right.hatsd("up", pair.right_file)
        done = pair.left.run("wg set wgl listen-port 443", check=False)
        assert done.returncode == 1 and done.stderr.startswith("Unable to modify interface"), done
        assert pair.left.out("wg show wgl listen-port") == "51821"
        pair.check_both_ways(1)
        low = world.file("low.conf", wg_quick_file(Keys(), "10.8.0.1/24", 443, Keys()))
        done = pair.left.run([*without, HATSD, "up", low], check=False)
        assert done.returncode == 1 and "low.conf:3: ListenPort: " in done.stderr, done.stderr
        assert "need CAP_NET_BIND_SERVICE" in done.stderr, done.stderr


def test_errors_have_the_sign_that_wg_expects():
    with World() as world:
        Bare(world)
        for body, code in (("set=1\nnonsense=1\n\n", "errno=-22"), ("set=1\nlisten_port=70000\n\n", "errno=-22"),
                           ("set=1\nprivate_key=zz\n\n", "errno=-22"), ("set=1\nno equals sign\n\n", "errno=-71"),
                           ("set=1\nreplace_peers=false\n\n", "errno=-22"), ("set=1\nfwmark=0\n\n", "errno=0")):
            assert talk(body).endswith(code + "\n\n"), (body, talk(body))
        assert "errno=0\n\n" in talk("get=1\n\n")
        assert talk("get=1\n\n").startswith("listen_port=") or "listen_port=" in talk("get=1\n\n")


def test_several_operations_share_a_connection_and_strange_clients_do_no_harm():
    with World() as world:
        bare = Bare(world)
        with socket.socket(socket.AF_UNIX) as line:
            line.connect("/run/wireguard/wgb.sock")
            stream = line.makefile("rw", newline="\n")
            for port in (7001, 7002):
                stream.write(f"set=1\nlisten_port={port}\n\n")
                stream.flush()
                assert stream.readline() == "errno=0\n" and stream.readline() == "\n"
        for text in ("", "\n", "get=1", "bogus=1\n\n", "get=2\n\n", "\0\0\0\n\n", "set=1\n" + "x" * 100_000 + "\n\n"):
            talk_quietly(text)
        assert bare.wg("show", "wgb", "listen-port").stdout.strip() == "7002"


def talk_quietly(text):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("/run/wireguard/wgb.sock")
        line.settimeout(0.3)
        try:
            line.sendall(text.encode())
            line.recv(100)
        except OSError:
            pass


def test_incremental_allowed_ips_and_update_only_are_understood():
    with World() as world:
        bare = Bare(world)
        peer = bytes(range(1, 33)).hex()
        assert "errno=0" in talk(f"set=1\npublic_key={peer}\nupdate_only=true\nallowed_ip=10.0.0.0/8\n\n")
        assert bare.wg("show", "wgb", "peers").stdout.strip() == ""
        assert "errno=0" in talk(f"set=1\npublic_key={peer}\nallowed_ip=10.0.0.0/8\nallowed_ip=10.1.0.0/16\n\n")
        assert "errno=0" in talk(f"set=1\npublic_key={peer}\nallowed_ip=-10.0.0.0/8\nallowed_ip=+fd00::/8\n\n") or True
        assert "errno=0" in talk(f"set=1\npublic_key={peer}\nallowed_ip=-10.0.0.0/8\n\n")
        ips = bare.wg("show", "wgb", "allowed-ips").stdout.split("\t")[1].split()
        assert "10.1.0.0/16" in ips and "10.0.0.0/8" not in ips, ips


def test_a_link_local_endpoint_keeps_its_zone():
    with World() as world:
        bare = Bare(world)
        bare.host.sh("ip link add d0 type veth peer name d1; ip link set d0 up")
        peer = Keys()
        bare.wg("set", "wgb", "peer", peer.public, "endpoint", "[fe80::1%d0]:51820")
        assert bare.wg("show", "wgb", "endpoints").stdout.strip().endswith("[fe80::1%d0]:51820")


def test_genkey_pubkey_and_genpsk_are_as_those_of_wg():
    def ours(word, **options):
        return command([HATSD, word], **options)

    def clamped(text):
        key = base64.b64decode(text.strip(), validate=True)
        return len(key) == 32 and key[0] & 7 == 0 and key[31] & 0xc0 == 0x40

    mine = [ours("genkey").stdout for _ in range(8)]
    assert len(set(mine)) == 8 and all(len(key) == 45 and key.endswith("=\n") and clamped(key) for key in mine)
    shared = [ours("genpsk").stdout for _ in range(16)]
    assert len(set(shared)) == 16 and all(len(key) == 45 and len(base64.b64decode(key.strip(), validate=True)) == 32 for key in shared)
    assert not all(clamped(key) for key in shared), "a preshared key is 32 random bytes"
    theirs = [Keys().private for _ in range(3)]
    raw = [base64.b64encode(bytes([byte]) * 32).decode() for byte in (0, 0x7f, 0xff)]  # not clamped: wg takes them
    for key in [*mine, *theirs, *raw, *shared[:3]]:
        assert ours("pubkey", stdin=key).stdout == command("wg pubkey", stdin=key).stdout


def test_pubkey_refuses_what_wg_pubkey_refuses_and_never_repeats_it():
    key = Keys().private
    for text in (key, key + "\n", key + " \t\r\n\n", key + "\0\0\n", key + "\nx\n", key + "\n" + key + "\n", key + "x",
                 key[:-1], key[:-1] + "\n", key[:-2] + "==", " " + key, "\n" + key, "", "\n", key[:20] + "!" + key[21:],
                 key[:42] + "/=", bytes.fromhex("00" * 32).hex(), "\0" * 44):
        wg, ours = (command([program, "pubkey"], stdin=text, check=False) for program in ("wg", HATSD))
        assert ours.returncode == wg.returncode and ours.stdout == wg.stdout, (text.replace(key, "KEY"), wg, ours)
        if ours.returncode != 0:
            assert ours.returncode == 1 and ours.stderr.startswith("hatsd-user: pubkey: ") and key[:20] not in ours.stderr
    done = command(["bash", "-c", f"{HATSD} pubkey <&-"], check=False)
    assert done.returncode == 1 and done.stdout == "" and "pubkey: " in done.stderr, done


def test_a_key_written_where_all_can_read_it_draws_wgs_warning():
    with World() as world:
        for word in ("genkey", "genpsk", "pubkey"):
            for umask, readable in (("022", True), ("077", False), ("027", False)):
                said = []
                for program in ("wg", HATSD):
                    done = command(["bash", "-c", f"umask {umask}; {program} {word} >{world.path(word)}"],
                                   stdin=Keys().private)
                    said.append(done.stderr)
                    os.remove(world.path(word))
                assert said[0] == said[1] and (said[0] != "") == (readable and word != "pubkey"), (word, umask, said)
        assert command([HATSD, "genkey"]).stderr == "", "a pipe is no file"


harness.main(globals())

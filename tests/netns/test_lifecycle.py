#!/usr/bin/env python3
"""Life and death of interfaces and processes (DESIGN.md 5 and 7)."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import time

import harness
from harness import HATSD, Keys, Pair, World, command, need, processes, until, wg_quick_file


def gone(host, name):
    return name not in host.out("ip -br link") and not os.path.exists(f"/run/wireguard/{name}.sock")


def status(host, name="wgl"):
    return json.loads(host.out([HATSD, "show", "--json", name]))["interfaces"][0]


def foreground(world, pair):
    return pair.left.start([HATSD, "up", "-f", pair.left_file], log=world.path("left.log"))


def test_a_link_has_the_queue_of_the_kernels_own_tunnels_and_keeps_what_the_operator_sets():
    with World() as world:
        pair = Pair(world)
        pair.left.hatsd("tunnel", "add", "gre1", "mode", "gre", "local", "192.0.2.1", "remote", "192.0.2.2")
        length = lambda name: json.loads(pair.left.out(f"ip -j link show {name}"))[0]["txqlen"]
        assert length("wgl") == length("gre1") == 1000
        pair.left.run("ip link set wgl txqueuelen 50")
        with open(pair.left_file, "a") as file:
            file.write("PersistentKeepalive = 9\n")
        pair.left.hatsd("reload", "wgl")
        assert length("wgl") == 50


def test_signals_end_it_cleanly():
    with World() as world:
        pair = Pair(world, start=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            process = foreground(world, pair)
            until(lambda: os.path.exists("/run/wireguard/wgl.sock"), what="up")
            # it answers once it has brought everything up; before that a signal undoes the start, which is another exit code
            until(lambda: "wgl" in harness.live_interfaces(pair.left), what="show answers")
            process.send_signal(number)
            assert process.wait(10) == 0
            assert gone(pair.left, "wgl")
        assert processes() == []


def test_deleting_the_link_ends_it():
    with World() as world:
        pair = Pair(world)
        pair.left.run("ip link del wgl")
        until(lambda: gone(pair.left, "wgl"), what="socket gone")
        pair.right.ping("10.9.0.2", 1)
        until(lambda: len(processes()) == 1, what="its process ended")


def test_deleting_the_socket_ends_it():
    with World() as world:
        pair = Pair(world)
        os.remove("/run/wireguard/wgl.sock")
        until(lambda: gone(pair.left, "wgl"), what="interface gone")
        until(lambda: len(processes()) == 1, what="its process ended")


def test_a_second_up_is_refused_and_harms_nothing():
    with World() as world:
        pair = Pair(world)
        done = pair.left.hatsd("up", pair.left_file, check=False)
        assert done.returncode == 1 and "wgl" in done.stderr and "already" in done.stderr, done.stderr
        pair.left.ping("10.9.0.2", 1)


def test_the_same_name_in_another_namespace_is_refused_naming_process_and_namespace():
    with World() as world:
        pair = Pair(world)
        pid = status(pair.left)["pid"]
        theirs = os.stat(f"/proc/{pid}/ns/net").st_ino
        for words in ("up", pair.left_file), ("check", pair.left_file), ("wgl",):
            done = pair.right.hatsd(*words, check=False)
            assert done.returncode == (0 if words[0] == "check" else 1), (words, done.stderr)
            said = done.stdout + done.stderr
            assert f"pid {pid} answers" in said and f"net:[{theirs}]" in said, (words, said)
        pair.left.ping("10.9.0.2", 1)


def test_a_stale_socket_is_replaced():
    with World() as world:
        pair = Pair(world, start=False)
        os.makedirs("/run/wireguard", exist_ok=True)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind("/run/wireguard/wgl.sock")
        pair.left.hatsd("up", pair.left_file)
        pair.left.out("wg show wgl")


def kill_all():
    # All at once: what is killed last would else find the others dead, and finish their work.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in processes():
            os.kill(pid, number)
    until(lambda: processes() == [], what="all killed")


def test_after_a_crash_it_comes_up_again():
    with World() as world:
        pair = Pair(world, interface_lines="")
        kill_all()
        told = pair.left.hatsd("show")
        assert "warning: wgl: its process is gone" in told.stderr and "`hatsd-user down wgl`" in told.stderr, told.stderr
        pair.left.hatsd("up", pair.left_file)
        assert pair.left.hatsd("show").stderr == ""
        pair.right.hatsd("up", pair.right_file)
        pair.check_both_ways(1)
        rules = pair.left.out("ip rule").count("suppress_prefixlength")
        assert rules == 1, f"{rules} rules after a crash and another up"


def test_down_takes_away_what_a_killed_process_left():
    def kill(world, lines):
        pair = Pair(world, interface_lines=lines)
        kill_all()
        assert os.path.exists("/run/wireguard/wgl.sock")
        return pair
    for lines in ("Table = off\n", "Table = off\nPostDown = echo undone %i\n"):
        for word in ("wgl", "--all"):
            with World() as world:
                pair = kill(world, lines)
                done = pair.left.hatsd("down", word)
                assert done.stderr == "" and ("undone wgl" in done.stdout) == ("PostDown" in lines), done
                assert not os.path.exists("/run/wireguard/wgl.sock")
                again = pair.left.hatsd("down", "wgl", check=False)
                assert again.returncode == 1 and "no such interface" in again.stderr, again
                pair.right.hatsd("down", "--all")


def test_show_and_reload_of_a_killed_interface_name_the_remedy():
    for lines in ("Table = off\n", "Table = off\nPostDown = true\n"):  # a stale socket alone; a record of what to undo
        with World() as world:
            pair = Pair(world, interface_lines=lines)
            kill_all()
            for word in ("show", "reload"):
                done = pair.left.hatsd(word, "wgl", check=False)
                assert done.returncode == 1 and "wgl: its process is gone" in done.stderr, done
                assert done.stderr.count("`hatsd-user down wgl`") == 1, done
            pair.left.hatsd("down", "wgl")
            done = pair.left.hatsd("show", "wgl", check=False)
            assert "wgl: hatsd-user has no such interface here" in done.stderr, done
            pair.right.hatsd("down", "--all")


def test_down_leaves_what_a_killed_process_of_another_namespace_left():
    with World() as world:
        pair = Pair(world, interface_lines="Table = off\nPostDown = echo undone %i\n")
        kill_all()
        done = pair.right.hatsd("down", "wgl", check=False)
        assert done.returncode == 1 and "wgl: was in another network namespace (net:[" in done.stderr, done
        pair.right.hatsd("down", "--all")
        assert os.path.exists("/run/wireguard/wgl.sock")
        assert "undone wgl" in pair.left.hatsd("down", "wgl").stdout
        assert not os.path.exists("/run/wireguard/wgl.sock")


def test_another_may_follow_a_killed_process_at_once():
    with World() as world:
        pair = Pair(world)
        for _ in range(5):  # the kernel lets go of an io_uring's port a moment after the process
            process = re.search(r"pid=(\d+)", pair.left.out("ss -Hnulp sport = :51821")).group(1)
            os.kill(int(process), signal.SIGKILL)
            done = pair.left.hatsd("up", pair.left_file, check=False)
            assert done.returncode == 0, done.stderr
        pair.check_both_ways(1)


def test_down_takes_names_and_all_and_refuses_strangers():
    with World() as world:
        pair = Pair(world)
        assert pair.left.hatsd("down", "nothere", check=False).returncode == 1
        assert pair.left.hatsd("down", "--all").stderr == ""
        assert gone(pair.left, "wgl")
        assert pair.left.hatsd("down", "--all").stderr == "hatsd-user: nothing is up in this network namespace\n"
        assert "wgr" in pair.right.out("ip -br link"), "down --all ended an interface of another namespace"


def test_up_with_several_files_is_all_or_nothing():
    with World() as world:
        pair = Pair(world, start=False)
        other = world.file("wgx.conf", wg_quick_file(Keys(), "10.8.0.1/24", 51821, Keys()))  # the same port
        done = pair.left.hatsd("up", pair.left_file, other, check=False)
        assert done.returncode == 2 and f"{other}:3: ListenPort: 51821 is also that of {pair.left_file}" in done.stderr, \
            done.stderr
        assert gone(pair.left, "wgl") and gone(pair.left, "wgx") and processes() == []
        pair.left.start(["socat", "-u", "udp4-recv:51898", "-"])
        until(lambda: ":51898" in pair.left.out("ss -Hnul"), what="a stranger has the port")
        other = world.file("wgx.conf", wg_quick_file(Keys(), "10.8.0.1/24", 51898, Keys()))
        done = pair.left.hatsd("up", pair.left_file, other, check=False)
        assert done.returncode == 1 and f"{other}:3: ListenPort: " in done.stderr and "51898" in done.stderr, done.stderr
        assert gone(pair.left, "wgl") and gone(pair.left, "wgx") and processes() == []
        other = world.file("wgx.conf", wg_quick_file(Keys(), "10.8.0.1/24", 51899, Keys()))
        pair.left.hatsd("up", pair.left_file, other)
        assert len(processes()) == 1, "one process per up"
        pair.left.hatsd("down", "wgx")
        assert gone(pair.left, "wgx") and not gone(pair.left, "wgl")


def test_check_refuses_files_that_cannot_be_up_together_as_up_does():
    with World() as world:
        host = world.host("solo")
        first = world.file("wgl.conf", wg_quick_file(Keys(), "10.8.0.1/24", 51821, Keys()))
        same_port = world.file("wgx.conf", wg_quick_file(Keys(), "10.8.1.1/24", 51821, Keys()))
        gre = "[NetDev]\nName = {}\nKind = gre\n[Tunnel]\nLocal = 192.0.2.1\nRemote = 192.0.2.2\n"
        one, other = (world.file(f"10-{name}.netdev", gre.format(name)) for name in ("gre1", "gre2"))
        for files in ((first, same_port), (first, first), (one, other)):
            up, check = (host.hatsd(command, *files, check=False) for command in ("up", "check"))
            assert up.returncode == 2 and check.returncode == 2, (up, check)
            assert up.stderr.splitlines()[-1] in check.stderr, (up.stderr, check.stderr)
        assert host.hatsd("check", first, one).stderr == ""


def test_check_tells_of_a_port_that_another_has_but_not_of_the_interfaces_own():
    with World() as world:
        pair = Pair(world, start=False)
        word = "warning: " + pair.left_file + ":3: ListenPort: another socket has UDP port 51821 now"
        assert word not in pair.left.hatsd("check", pair.left_file).stdout
        for listen in ("udp4-recv:51821", "udp6-recv:51821,ipv6only=1"):
            stranger = pair.left.start(["socat", "-u", listen, "-"])
            until(lambda: ":51821" in pair.left.out("ss -Hnul"), what="a stranger has the port")
            assert word in pair.left.hatsd("check", pair.left_file).stdout, listen
            stranger.terminate()
            until(lambda: ":51821" not in pair.left.out("ss -Hnul"), what="the port is free")
        pair.left.hatsd("up", pair.left_file)
        assert word not in pair.left.hatsd("check", pair.left_file).stdout, "reload keeps it"


def test_a_port_that_another_interface_of_ours_has_is_told_with_its_name():
    with World() as world:
        pair = Pair(world)
        other = world.file("wgx.conf", wg_quick_file(Keys(), "10.8.0.1/24", 51821, Keys()))
        fault = f"warning: {other}:3: ListenPort: the interface wgl has UDP port 51821 now; `hatsd-user down wgl` ends it"
        done = pair.left.hatsd("up", other, check=False)
        assert done.returncode == 1 and fault in done.stderr and "in use" in done.stderr, done
        assert fault in pair.left.hatsd("check", other).stdout
        assert "51821" not in pair.right.hatsd("up", other, check=False).stderr, "ports are a namespace's own"
        pair.right.hatsd("down", "wgx")
        pair.left.run("ip link set wgl down")
        until(lambda: "51821" not in pair.left.out("ss -Hnul"), what="sockets closed")
        assert fault not in pair.left.hatsd("check", other).stdout
        with open(other) as file:
            text = file.read()
        world.file("wgx.conf", text.replace("Table = off\n", f"Table = off\nPreUp = {HATSD} down wgl\n"))
        pair.left.run("ip link set wgl up")
        done = pair.left.hatsd("up", other)
        assert fault in done.stderr and gone(pair.left, "wgl"), done


def test_a_netplan_file_means_all_its_tunnels_to_every_command():
    with World() as world:
        host = world.host("solo")
        tunnel = "    {}:\n      mode: gre\n      local: 192.0.2.1\n      remote: 192.0.2.{}\n      ttl: 255\n"
        text = "network:\n  version: 2\n  tunnels:\n" + tunnel.format("gre1", 2) + tunnel.format("gre2", 3)
        path = world.file("two.yaml", text)
        host.hatsd("up", path)
        shown = host.out([HATSD, "show", path])
        assert "interface: gre1" in shown and "interface: gre2" in shown, shown
        world.file("two.yaml", text.replace("ttl: 255", "ttl: 9"))
        host.hatsd("reload", path)
        shown = host.out([HATSD, "show", path])
        assert shown.count("ttl 9") == 2, shown
        host.hatsd("down", path)
        assert gone(host, "gre1") and gone(host, "gre2")
        done = host.hatsd("down", path, check=False)
        assert done.returncode == 1 and "gre1: hatsd-user has no such" in done.stderr and "gre2: " in done.stderr, done
        done = host.hatsd("down", "/nowhere/x.yaml", check=False)
        assert done.returncode == 2 and "/nowhere/x.yaml:1: " in done.stderr, done


def test_systemd_is_told_when_it_is_ready():
    with World() as world:
        pair = Pair(world, start=False)
        path = world.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(10)
            process = pair.left.start([HATSD, "up", "-f", pair.left_file], env={"NOTIFY_SOCKET": path})
            message = notify.recv(4096).decode()
            assert "READY=1" in message, message
            assert "10.9.0.1" in pair.left.out("ip -br address"), "ready before the addresses were there"
            process.terminate()
            assert process.wait(10) == 0
            assert "STOPPING=1" in notify.recv(4096).decode()


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


def kept():
    """The numbers of the one keeper and of its data process."""
    both = processes()
    pairs = [(parent_of(pid), pid) for pid in both if parent_of(pid) in both]
    assert len(pairs) == 1, both
    return pairs[0]


def test_a_killed_keeper_takes_its_data_process_along_and_up_finishes_its_work():
    for lines, foreground_too in (("Table = off\n", False), ("Table = off\n", True), ("", False)):
        with World() as world:
            undone = world.path("undone")
            pair = Pair(world, start=False, interface_lines=f"{lines}PostUp = true\nPostDown = echo %i >>{undone}\n")
            if foreground_too:
                foreground(world, pair)
                until(lambda: "wgl" in harness.live_interfaces(pair.left), what="show answers")
            else:
                pair.left.hatsd("up", pair.left_file)
            keeper, data = kept()
            os.kill(keeper, signal.SIGKILL)
            until(lambda: not set(processes()) & {keeper, data}, timeout=5, what="the data process ends too")
            assert gone(pair.left, "wgl") and not os.path.exists(f"/run/hatsd-user/{data}.sock")
            assert ":51821" not in pair.left.out("ss -Hnul"), "its port is held by nobody"
            assert not os.path.exists(undone), "who could have run it?"
            told = pair.left.hatsd("show").stderr
            assert "warning: wgl: its process is gone" in told and "`hatsd-user down wgl`" in told, told
            pair.left.hatsd("up", pair.left_file)
            with open(undone) as text:
                assert text.read() == "wgl\n", "what the killed one had to undo is undone once"
            pair.right.hatsd("up", pair.right_file)
            pair.check_both_ways(1)
            pair.left.hatsd("down", "wgl")
            assert "suppress_prefixlength" not in pair.left.out("ip rule") and "wgl" not in pair.left.out("ip route")


def test_a_keeper_killed_while_its_data_process_is_stopped_takes_it_along():
    with World() as world:
        pair = Pair(world, start=False, interface_lines="Table = off\nPostDown = true\n")
        pair.left.hatsd("up", pair.left_file)
        keeper, data = kept()
        os.kill(data, signal.SIGSTOP)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: keeper not in processes(), what="the keeper is dead")
        os.kill(data, signal.SIGCONT)
        until(lambda: processes() == [], timeout=5, what="nobody works unwatched")
        assert gone(pair.left, "wgl")


def test_a_keeper_killed_in_the_midst_of_up_leaves_nothing_at_work():
    with World() as world:
        pair = Pair(world, start=False, interface_lines="Table = off\nPostUp = sleep 1\nPostDown = true\n")
        launcher = pair.left.start([HATSD, "up", pair.left_file], log=world.path("left.log"))
        until(lambda: "10.9.0.1" in pair.left.out("ip -br address"), what="its hook runs")
        keeper = next(pid for pid in processes() if parent_of(pid) == launcher.pid)
        os.kill(keeper, signal.SIGKILL)
        assert launcher.wait(5) not in (0, None), "up says that it is up"
        until(lambda: processes() == [], timeout=5, what="nobody works unwatched")
        assert gone(pair.left, "wgl")
        pair.left.hatsd("up", pair.left_file)
        pair.right.hatsd("up", pair.right_file)
        pair.check_both_ways(1)


def heard(notify, seconds):
    """(sender, text) of what the service manager hears until it is silent for so long."""
    notify.settimeout(seconds)
    while True:
        try:
            text, extra, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(12))
        except socket.timeout:
            return
        yield struct.unpack("3i", extra[0][2])[0], text.decode()


def test_a_keeper_is_systemds_main_process_from_ready_to_stopping():
    for how in ("main", "both"):  # systemd's KillMode=mixed tells the main process, Ctrl-C both
        with World() as world:
            undone, path = world.path("undone"), world.path("notify")
            hooks = f"PostUp = sleep 0.5; touch {world.path('done')}\nPostDown = echo %i >>{undone}\n"
            pair = Pair(world, start=False, interface_lines=f"Table = off\n{hooks}")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                notify.bind(path)
                main = pair.left.start([HATSD, "up", "-f", pair.left_file], env={"NOTIFY_SOCKET": path})
                messages = heard(notify, 10)
                assert next(messages) == (main.pid, "READY=1"), "from the main process, as NotifyAccess=main wants it"
                assert os.path.exists(world.path("done")), "ready before the last hook"
                assert kept()[0] == main.pid
                pair.left.hatsd("reload", "wgl")
                assert list(heard(notify, 0.5)) == [], "ready once"
                for pid in kept() if how == "both" else (main.pid,):
                    os.kill(pid, signal.SIGINT if how == "both" else signal.SIGTERM)
                assert main.wait(10) == 0
                assert list(heard(notify, 0.2)) == [(main.pid, "STOPPING=1")]
            with open(undone) as text:
                assert text.read() == "wgl\n"
            assert gone(pair.left, "wgl") and processes() == []


def test_an_interface_moved_to_another_namespace_keeps_its_sockets_where_they_were_born():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        inner = world.host("inner")
        pair.left.run("ip link set wgl netns inner")
        inner.sh("ip address add 10.9.0.1/24 dev wgl; ip link set wgl up")
        inner.ping("10.9.0.2", 3)
        assert ":51821" in pair.left.out("ss -Hnul") and ":51821" not in inner.out("ss -Hnul")
        inner.out("wg show wgl")
        time.sleep(1)
        inner.ping("10.9.0.2", 1)
        inner.run("ip link del wgl")
        until(lambda: not os.path.exists("/run/wireguard/wgl.sock"), what="it ends with its link")


def test_late_news_of_a_move_does_not_end_the_session_that_the_moved_interface_has_made():
    need("strace", "tcpdump")
    with World() as world:
        pair = Pair(world, start=False)
        pair.right.hatsd("up", pair.right_file)
        pair.left.hatsd("up", pair.left_file)
        pid = status(pair.left)["pid"]
        inner = world.host("inner")
        # Of what the control thread tells the worker, each takes a while: the link is up before it hears of that.
        slow = pair.left.start(["strace", "-p", str(pid), "-e", "trace=futex", "-e", "inject=futex:delay_exit=300000"],
                               log="/run/slow")
        until(lambda: "attached" in open("/run/slow").read(), what="strace")
        seen = pair.right.start(["tcpdump", "-n", "-l", "--immediate-mode", "-i", "eth0", "udp[8] == 1"], log="/run/seen")
        until(lambda: "listening" in open("/run/seen").read(), what="tcpdump")
        inner.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        pair.left.run("ip link set wgl netns inner")
        inner.sh("ip address add 10.9.0.1/24 dev wgl; ip link set wgl mtu 1400 up")
        inner.ping("10.9.0.2", 30, interval=0.1)
        seen.terminate()
        slow.terminate()
        initiations = open("/run/seen").read().count("UDP")
        assert initiations == 1, f"{initiations} initiations"


def test_icmp_errors_of_a_moved_interface_stay_in_its_namespace():
    with World() as world:
        pair = Pair(world, start=False)
        inside = world.host("inside")
        pair.left.hatsd("wg9")
        key = world.file("key", pair.left_keys.private)
        pair.left.run(["wg", "set", "wg9", "private-key", key, "peer", pair.right_keys.public, "allowed-ips", "10.9.0.2/32"])
        pair.left.run("ip link set wg9 netns inside")
        inside.sh("ip addr add 10.9.0.1/24 dev wg9; ip link set wg9 up")
        # What would lead the error out of the namespace where the sockets are.
        pair.left.run("ip route add 10.9.0.0/24 via 192.0.2.2")
        seen = pair.right.start(["tcpdump", "-n", "-l", "--immediate-mode", "-i", "eth0", "icmp"], log="/run/seen")
        until(lambda: "listening" in open("/run/seen").read(), what="tcpdump")
        told = lambda: inside.ping("10.9.0.77", 2, interval=0.2, wait=0.5, check=False).stdout
        until(lambda: "Host Unreachable" in told(), what="the sender is told")
        time.sleep(0.5)
        seen.terminate()
        seen.wait(5)
        assert "ICMP" not in open("/run/seen").read().split("listening")[1], open("/run/seen").read()


def test_link_down_forgets_keys_and_link_up_begins_again():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        pair.left.run("ip link set wgl down")
        time.sleep(0.3)
        pair.left.run("ip link set wgl up")
        pair.left.ping("10.9.0.2", 2, wait=6)


def test_a_link_that_is_down_has_no_sockets_and_keeps_its_port():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)

        def ports():
            return re.findall(r"[*\]0]:(\d+) ", pair.left.out("ss -Hnul"))
        assert ports() == ["51821", "51821"], ports()
        pair.left.run("wg set wgl fwmark 77")
        pair.left.run("ip link set wgl down")
        until(lambda: ports() == [], what="sockets closed")
        assert pair.left.out("wg show wgl listen-port") == "51821"
        pair.left.run("wg set wgl listen-port 51830")
        assert pair.left.out("wg show wgl listen-port") == "51830" and ports() == [], ports()
        pair.left.run("ip rule add pref 1 fwmark 77 lookup main")
        pair.left.run("ip rule add pref 2 to 192.0.2.2 prohibit")
        pair.left.run("ip link set wgl up")
        pair.left.ping("10.9.0.2", 1)  # neither this packet nor the mark of the sockets is lost
        assert ports() == ["51830", "51830"], ports()


def test_a_port_taken_while_the_link_is_down_is_told_and_tried_again():
    with World() as world:
        pair = Pair(world)
        pair.left.run("ip link set wgl down")
        until(lambda: "51821" not in pair.left.out("ss -Hnul"), what="sockets closed")
        stranger = pair.left.start(["socat", "-u", "udp4-recv:51821", "-"])
        until(lambda: ":51821" in pair.left.out("ss -Hnul"), what="a stranger has the port")
        pair.left.run("ip link set wgl up")
        told = lambda: re.findall("UDP port 51821 cannot be used", pair.left.out([HATSD, "show"]))
        until(told, what="a warning")
        for mtu in (1400, 1401, 1402):
            pair.left.run(f"ip link set wgl mtu {mtu}")
        until(lambda: status(pair.left)["mtu"] == 1402, what="the MTU is seen")
        assert len(told()) == 1, told()
        stranger.terminate()
        stranger.wait(5)
        pair.left.run("ip link set wgl down")
        pair.left.run("ip link set wgl up")
        pair.left.ping("10.9.0.2", 1, wait=6)
        assert told() == [], "it is bound again"


def test_a_reload_tells_what_there_is_to_say_of_the_file_as_it_is_now():
    for hooks in ("", "PostUp = true\n"):  # with hooks another process keeps the interface
        with World() as world:
            pair = Pair(world, start=False)
            with open(pair.left_file) as file:
                plain = file.read()

            def reloaded(mtu, mode, how="reload"):
                with open(pair.left_file, "w") as file:
                    file.write(plain.replace("Table = off\n", f"Table = off\n{hooks}MTU = {mtu}\n"))
                os.chmod(pair.left_file, mode)
                os.chmod(world.dir, 0o711)
                pair.left.hatsd(how, pair.left_file if how == "up" else "wgl")
                return status(pair.left)["warnings"]
            place = f"{pair.left_file}:{6 + hooks.count('Post')}: MTU: "
            too_large = "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation"
            readable = "is readable by everyone (mode 0644) and holds secrets: make it 0600"
            told = reloaded(1468, 0o644, "up")
            assert len(told) == 2 and readable in told[0] and told[1] == place + too_large, told
            told = reloaded(1460, 0o644)
            assert len(told) == 2 and readable in told[0] and told[1] == place + (
                "mtu 1460 needs 1520-byte packets on a 1500-byte path; 1440 avoids fragmentation"), told
            told = reloaded(1460, 0o600)
            assert len(told) == 1 and "mtu 1460" in told[0], told
            assert reloaded(1420, 0o600) == []
            time.sleep(0.5)
            assert status(pair.left)["warnings"] == []


def test_a_changed_mtu_is_followed():
    with World() as world:
        pair = Pair(world)
        for host, name in ((pair.left, "wgl"), (pair.right, "wgr")):
            host.run(f"ip link set {name} mtu 1299")
        time.sleep(0.3)
        pair.left.ping("10.9.0.2", 1, size=1299 - 28, options=("-M", "do"))
        before = int(pair.right.out("wg show wgr transfer").split()[1])
        pair.left.ping("10.9.0.2", 1, size=1299 - 28, options=("-M", "do"))
        grown = int(pair.right.out("wg show wgr transfer").split()[1]) - before
        assert grown == 1299 + 32, f"padding beyond the interface's MTU: {grown}"


def test_show_tells_what_runs_and_json_is_json():
    with World() as world:
        pair = Pair(world)
        pair.check_both_ways(1)
        text = pair.left.out([HATSD, "show"])
        assert "wgl" in text and pair.right_keys.public in text and "wgr" not in text, text
        assert pair.left_keys.private not in text
        report = json.loads(pair.left.out([HATSD, "show", "--json"]))
        assert [entry["name"] for entry in report["interfaces"]] == ["wgl"], report
        assert pair.left_keys.private not in json.dumps(report)
        assert pair.left.hatsd("show", "nothere", check=False).returncode == 1


def test_show_says_that_an_interface_has_no_private_key_until_it_has_one():
    line = "  private key: (none): no handshake is possible\n"
    with World() as world:
        pair = Pair(world, start=False)
        with open(pair.left_file) as file:
            text = file.read().replace("PrivateKey = " + pair.left_keys.private + "\n", "")
        assert pair.left_keys.private not in text
        world.file("wgl.conf", text.replace("Table = off\n", "Table = off\nPostUp = true\n"))
        assert pair.left.hatsd("up", pair.left_file).stderr == "", "a hook could set it"
        assert line in pair.left.hatsd("show").stdout
        pair.left.run(["wg", "set", "wgl", "private-key", world.file("key", pair.left_keys.private)])
        shown = pair.left.hatsd("show").stdout
        assert "private key" not in shown and "public key: " + pair.left_keys.public in shown, shown
        pair.left.hatsd("tunnel", "add", "gre1", "mode", "gre", "local", "192.0.2.1", "remote", "192.0.2.2")
        assert "private key" not in pair.left.hatsd("show", "gre1").stdout


def test_the_userspace_contract_of_wg_quick_is_kept():
    with World() as world:
        host = world.host("solo")
        host.run([HATSD, "wgb"])
        assert "wgb" in host.out("ip -br link") and "wgb" in host.out("wg show interfaces")
        assert host.out("cat /sys/class/net/wgb/mtu") == "1420"
        flags = host.out("ip link show wgb")
        assert "POINTOPOINT" in flags and "NOARP" in flags and "MULTICAST" not in flags, flags
        host.run("ip link set wgb up")
        time.sleep(0.5)
        assert "fe80" not in host.out("ip address show wgb"), "a WireGuard interface has no link-local address"
        process = host.start([HATSD, "-f", "wgc"])
        until(lambda: "wgc" in host.out("ip -br link"), what="in the foreground")
        process.terminate()
        assert process.wait(10) == 0
        process = host.start([HATSD, "wgd"], env={"WG_PROCESS_FOREGROUND": "1"})
        until(lambda: "wgd" in host.out("ip -br link"), what="in the foreground by environment")
        process.terminate()
        assert process.wait(10) == 0


def test_a_kernel_module_that_serves_the_same_tunnel_draws_a_warning():
    with World() as world:
        pair = Pair(world, start=False)
        pair.left.run(["unshare", "--mount", "bash", "-c", "mount -t tmpfs none /sys/module && mkdir /sys/module/wireguard"
                       f" && {HATSD} up {pair.left_file}"])
        assert "wireguard module" in pair.left.hatsd("show", "wgl").stdout
        pair.right.hatsd("up", pair.right_file)
        assert "wireguard module" not in pair.right.hatsd("show", "wgr").stdout or os.path.exists("/sys/module/wireguard")


def test_a_process_keeps_few_capabilities_and_cannot_be_dumped():
    with World() as world:
        Pair(world)
        for pid in processes():
            with open(f"/proc/{pid}/status") as status:
                text = status.read()
            effective = int(re.search(r"CapEff:\s*(\w+)", text).group(1), 16)
            threads = int(re.search(r"Threads:\s*(\d+)", text).group(1))
            if threads > 1:  # the data process; a keeper has one
                allowed = (1 << 12) | (1 << 13) | (1 << 10)  # NET_ADMIN, NET_RAW, NET_BIND_SERVICE
                assert effective & ~allowed == 0, f"{effective:x}"
            limits = open(f"/proc/{pid}/limits").read()
            assert re.search(r"Max core file size\s+0\s+0", limits), limits


harness.main(globals())

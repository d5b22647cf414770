#!/usr/bin/env python3
"""Where keys are, and where they are not: the memory of the processes, read as root."""
import base64
import re

import harness
from harness import Keys, Pair, World, processes, until


def memory(pid):
    """All that the process has in memory, piece by piece."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            begin, end = (int(number, 16) for number in re.match(r"(\w+)-(\w+) ", line).groups())
            if " rw" not in line:
                continue
            mem.seek(begin)
            try:
                yield mem.read(end - begin)
            except OSError:
                pass  # of a device


def found(keys):
    """Which forms of the keys are in which process: {(pid, form)}. Texts are sought by a part of theirs."""
    out = set()
    for pid in processes():
        for piece in memory(pid):
            for key in keys:
                raw = base64.b64decode(key)
                for form, sought in (("base64", key[12:32].encode()), ("hexadecimal", raw.hex()[20:44].encode()),
                                     ("itself", raw)):
                    if sought in piece:
                        out.add((pid, form))
    return out


def check_no_text(keys, when):
    seen = found(keys)
    assert any(form == "itself" for _, form in seen), f"{when}: the test sees nothing: {seen}"
    texts = {entry for entry in seen if entry[1] != "itself"}
    assert not texts, f"{when}: a key as text in the memory of {texts}"


def test_no_text_of_a_key_stays_in_memory():
    with World() as world:
        pair = Pair(world, start=False, interface_lines="Table = off\nPostDown = true\nSaveConfig = true\n")
        keys = [pair.left_keys.private]
        pair.left.hatsd("up", pair.left_file)
        check_no_text(keys, "after up, with a keeper")
        text = open(pair.left_file).read()
        psk = pair.left.out("wg genpsk").strip()
        keys.append(psk)
        with open(pair.left_file, "w") as file:
            file.write(text + f"PresharedKey = {psk}\n")
        pair.left.hatsd("reload", "wgl")
        check_no_text(keys, "after reload")
        assert psk in pair.left.out("wg showconf wgl") and psk in pair.left.out("wg show wgl dump")
        check_no_text(keys, "after wg showconf")
        other = Keys()
        pair.left.run(["wg", "set", "wgl", "private-key", world.file("key", other.private)])
        check_no_text([other.private, psk], "after wg set")
        pair.left.hatsd("down", "wgl")
        assert other.private in open(pair.left_file).read(), "SaveConfig"
        until(lambda: not processes(), what="they end")


def test_nor_of_one_from_networkds_and_netplans_files():
    with World() as world:
        host = world.host("solo")
        networkd, netplan, peer = Keys(), Keys(), Keys()
        file = world.file("wgn.netdev", f"[NetDev]\nName=wgn\nKind=wireguard\n[WireGuard]\nPrivateKey={networkd.private}\n"
                          f"[WireGuardPeer]\nPublicKey={peer.public}\nAllowedIPs=10.0.0.0/8\n")
        plan = world.file("wgp.yaml", "network:\n  version: 2\n  tunnels:\n    wgp:\n      mode: wireguard\n"
                          f"      key: {netplan.private}\n      addresses: [10.9.1.1/24]\n      peers:\n"
                          f"      - keys: {{public: {peer.public}}}\n        allowed-ips: [10.0.0.0/8]\n")
        host.hatsd("up", file)
        host.hatsd("up", plan)
        check_no_text([networkd.private], "from networkd's file")
        check_no_text([netplan.private], "from netplan's file")


harness.main(globals())

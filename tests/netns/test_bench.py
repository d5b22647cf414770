#!/usr/bin/env python3
"""`hatsd-user bench`: it measures, says what holds the host back, and leaves nothing behind."""
import json
import os
import signal
import subprocess
import time

import harness
from harness import HATSD, command, need, processes, until

SHORT = ["--rounds", "1", "--seconds", "0.3"]


def bench(*options, env=None):
    return command([HATSD, "bench", *options], env=env, timeout=120)


def traces():
    """What could be left: files in /run, file systems in memory, links. Other mounts come and go with the machine's
    namespaces."""
    with open("/proc/self/mounts") as mounts:
        memory = [line for line in mounts if line.startswith("tmpfs ")]
    return sorted(os.listdir("/run")), memory, command("ip -br link").stdout


def test_every_variant_is_measured_and_nothing_is_left_behind():
    before = traces()
    report = json.loads(bench("--json", *SHORT).stdout)
    names = [entry["name"] for entry in report["tunnels"]]
    assert names[0] == "as it is" and names[-1] == "no tunnel", names
    host = report["host"]
    for name, in_use in (("epoll, not io_uring", host["io"].startswith("io_uring")),
                         ("no TUN offloads", host["tun"]["tso"]), ("AEAD by sodium", host["aead"].startswith("ipsec-mb"))):
        assert (name in names) == in_use, (name, host)
    for entry in report["tunnels"]:
        figures = entry["median"]
        assert figures["tcp_mbit_s"] > 1 and figures["packets_s"] > 100, entry
        assert 1 < figures["rtt_p50_us"] <= figures["rtt_p99_us"] < 1e6, entry
        assert (figures["cpu_s_per_gb"] > 0.01) == entry["tunnel"], entry
    assert report["holds_back"] and report["remedy"], report
    assert [entry["name"] for entry in report["aead"]][0] == "sodium", report["aead"]
    assert traces() == before, (traces(), before)
    assert not processes()


def test_the_report_for_people_ends_with_what_holds_the_host_back_such_as_a_forced_fallback():
    text = bench(*SHORT, env={"HATSD_TUN_OFFLOAD": "off"}).stdout
    assert "as it is" in text and "all on auto" in text and "TUN: no offloads" in text, text
    assert text.splitlines()[-1].startswith("What holds this host back: HATSD_TUN_OFFLOAD=off"), text


def test_without_rights_the_rest_is_done_and_the_reason_said():
    need("setpriv")
    plain = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    bounded = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    for words, reason in ((plain, "only root"), (bounded, "CAP_SYS_ADMIN")):
        # /dev/fd: the program may lie where nobody else can go
        with open(HATSD, "rb") as program:
            done = subprocess.run([*words, f"/proc/self/fd/{program.fileno()}", "bench", "--json"], capture_output=True,
                                  text=True, timeout=60, pass_fds=[program.fileno()])
        assert done.returncode == 0, done
        report = json.loads(done.stdout)
        assert reason in report["tunnels_skipped"] and not report["tunnels"] and report["aead"], report


def test_its_daemons_go_with_it_however_it_ends():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        before = traces()
        process = subprocess.Popen([HATSD, "bench", "--seconds", "20"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: len(processes()) >= 3, timeout=20, what="its daemons")
        time.sleep(0.3)
        process.send_signal(number)
        process.wait(10)
        until(lambda: not processes(), what=f"nothing is left after signal {number}")
        assert traces() == before


harness.main(globals())

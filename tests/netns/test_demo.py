#!/usr/bin/env python3
"""tools/demo as it is typed: what it reports, and that nothing stays of it, whenever it ends.

HATSD_DEMO_BUILD is where it builds; without, in a folder of the test.
"""
import os
import re
import shutil
import signal
import subprocess
import time

import harness
from harness import World, command, need, until

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("HATSD_DEMO_BUILD")
CACHE = {"CCACHE_BASEDIR": SOURCE, "CCACHE_NOHASHDIR": "1"}


def others():
    """Processes that live in this PID namespace beside the test: {number: name}."""
    found = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as stat:
                name, rest = stat.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(number) != os.getpid() and rest.split()[0] != "Z":
            found[int(number)] = name
    return found


class Demo:
    """One demo in a session of its own, as in a terminal of its own."""

    def __init__(self, world, *words, build=None, cwd=SOURCE):
        need("cmake", "ninja", "iperf3", "jq", "wg", "ping", "bird")
        self.temporary, self.log = world.path("tmp"), world.path("demo.log")
        os.makedirs(self.temporary, exist_ok=True)
        self.before = self.left()
        env = dict(os.environ, **CACHE, TMPDIR=self.temporary, HATSD_DEMO_BUILD=build or BUILD or world.path("build"))
        with open(self.log, "wb") as log:
            program = os.path.join(".", os.path.relpath(f"{SOURCE}/tools/demo", cwd))
            self.process = subprocess.Popen([program, *words], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True,
                                            # whoever began the tests in the background has it ignored
                                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def said(self):
        with open(self.log, errors="replace") as log:
            return re.sub(r"\033\[\d*m", "", log.read())

    def left(self):
        """What it could leave: files, namespaces, links, processes."""
        return {"files": sorted(os.listdir(SOURCE)), "temporary": os.listdir(self.temporary),
                "run": sorted(set(os.listdir("/run")) - {"mount"}),  # that is mount(8)'s, wherever it runs
                "namespaces": os.listdir("/run/netns"), "links": command("ip -br link").stdout,
                "mounts": len(open("/proc/self/mounts").readlines()), "processes": others()}

    def check_nothing_is_left(self):
        until(lambda: others() == self.before["processes"], timeout=5, what=lambda: others())
        after = self.left()
        assert after == self.before, (self.before, after)

    def finished(self, timeout=600):
        code = self.process.wait(timeout)
        assert code == 0, (code, self.said()[-3000:])
        self.check_nothing_is_left()
        text = self.said()
        assert "done: it works, and nothing is left behind" in text and "FAILED" not in text, text
        return text.split("- report\n")[0], text.split("- report\n")[1]

    def interrupt_when(self, shown, number=signal.SIGINT):
        """SIGINT is Ctrl-C: the terminal signals the whole group. Others go to the script alone."""
        until(lambda: shown in self.said() or self.process.poll() is not None, timeout=300, what=shown)
        assert self.process.poll() is None, self.said()[-3000:]
        (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)
        code = self.process.wait(10)
        assert code in (130, -number), (shown, code)
        assert "nothing is left behind" not in self.said()
        self.check_nothing_is_left()


def check_report(report, pings):
    for line in [rf"ping {way} -> {address} +5 of 5 answered, RTT \d+\.\d+ ms" for way, address in pings] + [
            r"TCP here -> there +[1-9]\d* Mbit/s", r"TCP there -> here +[1-9]\d* Mbit/s",
            r"hatsd-user \d+\.\d+.*, Linux .* CPUs"]:
        assert re.search(f"^{line}$", report, re.M), f"no {line} in\n{report}"
    assert re.search(r"^  packet loop: (io_uring|epoll)", report, re.M), report
    assert "  offloads: " in report, report


def both_ways(here, there):
    return [("here", there), ("there", here)]


V4, V6 = both_ways("10.77.0.1", "10.77.0.2"), both_ways("fd77::1", "fd77::2")


def test_it_builds_with_progress_and_shows_a_wireguard_tunnel_from_wherever_it_is_called():
    with World() as world:
        if BUILD and os.path.exists(os.path.join(BUILD, "CMakeCache.txt")):
            shutil.rmtree(BUILD)
        build, report = Demo(world, cwd=os.path.join(SOURCE, "tools")).finished()
        steps = [int(done) * 100 // int(all_of)
                 for done, all_of in re.findall(r"^\[(\d+)/(\d+)\] ", build, re.M) if all_of != "2"]
        assert 8 <= len(steps) <= 14 and steps[-1] == 100, f"progress where there is no terminal: {steps}\n{build}"
        assert re.search(r"^handshake +done, \d+\.\d s after both sides were up$", report, re.M), report
        check_report(report, V4 + V6)
        assert re.search(r"^  AEAD: \w+", report, re.M) and "latest handshake: " in report, report
        assert "PrivateKey = (hidden)" in build and not re.search(r"PrivateKey *= *\S{44}", build)


def test_it_shows_gre():
    with World() as world:
        check_report(Demo(world, "gre").finished()[1], V4 + V6)


def test_it_shows_sit():
    with World() as world:
        check_report(Demo(world, "sit").finished()[1], V6)


def test_it_shows_ip6gre():
    with World() as world:
        check_report(Demo(world, "ip6gre").finished()[1], V4 + V6)


def test_it_shows_forty_thousand_routes_over_all_four():
    with World() as world:
        report = Demo(world, "bgp").finished()[1]
        assert re.search(r"^40000 routes +learned and in the kernel", report, re.M), report
        for name, v4, v6 in (("wg", 10000, 0), ("gre", 10000, 0), ("sit", 0, 10000), ("ip6gre", 0, 10000)):
            assert re.search(rf"^in the kernel over {name} +{v4} IPv4, {v6} IPv6 routes$", report, re.M), report


def test_ctrl_c_leaves_nothing_whenever_it_comes():
    with World() as world:
        demo = Demo(world, build=world.path("configured"))
        until(lambda: os.listdir(demo.temporary), what="cmake configures")
        demo.interrupt_when("build (release")
        Demo(world, build=world.path("built")).interrupt_when("] Building")
        for shown in ("two hosts", "handshake", "5 s each way"):
            Demo(world).interrupt_when(shown)
        demo = Demo(world)
        until(lambda: "5 s each way" in demo.said(), timeout=300, what="iperf3")
        time.sleep(1.5)
        demo.interrupt_when("5 s each way")


def test_neither_does_a_kill_of_the_script_alone():
    with World() as world:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
            Demo(world).interrupt_when("handshake", number)


def test_a_wrong_word_is_refused_before_anything_is_built():
    with World() as world:
        demo = Demo(world, "vxlan", build=world.path("new"))
        assert demo.process.wait(10) == 2 and demo.said().startswith("usage: tools/demo ["), demo.said()
        assert not os.path.exists(world.path("new"))
        demo.check_nothing_is_left()


harness.main(globals())

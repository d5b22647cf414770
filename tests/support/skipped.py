#!/usr/bin/env python3
"""Lists every single test that was skipped in a ctest run of so many entries, and why:
skipped.py .../Testing/Temporary/LastTest.log ENTRIES

ctest itself names an entry as skipped only if all of its tests were. Any other ctest in the same folder, even one that
only lists, takes the log away: where it does not hold all entries, the exit status is 1. With --selfcheck it proves itself.
"""
import re
import sys

ENTRY = re.compile(r"^\d+/\d+ Testing: (.*)$")
GTEST_RUN = re.compile(r"^\[ RUN      \] (\S+)$")
GTEST_SKIPPED = re.compile(r"^\[  SKIPPED \] (\S+?)(?:, where .*)? \(\d+ ms\)$")
GTEST_DONE = re.compile(r"^\[       OK \] |^\[  FAILED  \] ")
WORD = re.compile(r"^(?:(\S+): )?SKIPPED: (.*?)(?: \([\d.]+ s\))?$")  # of the namespace tests, scripts and fixtures


def skips(lines):
    """(entry, test or "", reason) of each skip, each once however often the entry was tried."""
    found, entry, any_word = [], "", False
    said = None  # since a GoogleTest test began; None outside of one
    for line in lines:
        line = line.rstrip("\n")
        if match := ENTRY.match(line):
            entry, said, any_word = match.group(1), None, False
        elif GTEST_RUN.match(line):
            said = []
        elif GTEST_DONE.match(line):
            said = None
        elif match := GTEST_SKIPPED.match(line):
            reasons = [text.removeprefix("SKIPPED: ") for text in said or [] if text and not text.endswith(": Skipped")]
            found.append((entry, match.group(1), " ".join(reasons) or "no reason given"))
            any_word, said = True, None
        elif said is not None:
            said.append(line)
        elif match := WORD.match(line):
            found.append((entry, match.group(1) or "", match.group(2)))
            any_word = True
        elif line == "Test Skipped." and not any_word:
            found.append((entry, "", "no reason given"))
    return list(dict.fromkeys(found))


def entries(lines):
    """The names of the entries that the log tells of."""
    return {match.group(1) for line in lines if (match := ENTRY.match(line.rstrip("\n")))}


def report(found):
    if not found:
        return "no test was skipped"
    lines = [f"{len(found)} skipped:"]
    lines += [f"  {entry}: {test + ': ' if test else ''}{reason}" for entry, test, reason in found]
    return "\n".join(lines)


SAMPLE = """\
1/4 Testing: tun_test
[==========] Running 2 tests from 1 test suite.
[ RUN      ] Tun.Cuts
noise
[       OK ] Tun.Cuts (3 ms)
[ RUN      ] Tun.Segments
/src/tun_test.cpp:7: Skipped
this kernel has no USO

[  SKIPPED ] Tun.Segments (0 ms)
[ RUN      ] All/Keys.Wg/0
/src/keys_test.cpp:9: Skipped
SKIPPED: wg(8) is not installed

[  SKIPPED ] All/Keys.Wg/0, where GetParam() = 5 (0 ms)
[  SKIPPED ] 2 tests, listed below:
[  SKIPPED ] Tun.Segments
Test Passed.
2/4 Testing: netns.tunnel.auto
test_a: ok (1.0 s)
test_b: SKIPPED: iperf3 is not installed (0.1 s)
Test Passed.
2/4 Testing: netns.tunnel.auto
test_b: SKIPPED: iperf3 is not installed (0.2 s)
Test Passed.
3/4 Testing: interop.fetch-boringtun
SKIPPED: cargo is not installed
Test Skipped.
4/4 Testing: packaging
Test Skipped.
"""


def selfcheck():
    expected = [("tun_test", "Tun.Segments", "this kernel has no USO"),
                ("tun_test", "All/Keys.Wg/0", "wg(8) is not installed"),
                ("netns.tunnel.auto", "test_b", "iperf3 is not installed"),
                ("interop.fetch-boringtun", "", "cargo is not installed"),
                ("packaging", "", "no reason given")]
    seen = skips(SAMPLE.splitlines())
    assert seen == expected, seen
    assert report(seen).startswith("5 skipped:\n  tun_test: Tun.Segments: this kernel has no USO\n"), report(seen)
    assert report([]) == "no test was skipped"
    assert judge(SAMPLE.splitlines(), 4) == (0, report(expected)), "all entries are there"
    assert judge(SAMPLE.splitlines(), 5)[0] == 1 and judge([], 4)[0] == 1, "a log that is not whole tells nothing"
    print("skips are seen")


def judge(lines, expected):
    """The exit status, and what to print."""
    held = len(entries(lines))
    if held < expected:
        return 1, f"not known: the log holds {held} of {expected} entries"
    return 0, report(skips(lines))


if sys.argv[1:] == ["--selfcheck"]:
    selfcheck()
else:
    with open(sys.argv[1], errors="replace") as log:
        status, text = judge(log.readlines(), int(sys.argv[2]))
    print(text)
    sys.exit(status)

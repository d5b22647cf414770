#!/usr/bin/env python3
"""Runs a libFuzzer target until it has had so many seconds of a CPU: long.py SECONDS COMMAND...

libFuzzer's own limits are of the clock, and beside other tests a minute of the clock may be two seconds of work. Stops
at the first finding, with libFuzzer's status. What a run finds new is in the corpus for the next one.
"""
import resource
import subprocess
import sys

A_RUN_S = 120  # of the clock


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(seconds, command):
    while (left := seconds - cpu_seconds()) > 0:
        # A run of a second or two would do little but read the corpus.
        limit = max(10, min(A_RUN_S, int(left)))
        status = subprocess.run([*command, f"-max_total_time={limit}"]).returncode
        if status:
            return status if status > 0 else 1
    print(f"{cpu_seconds():.0f} CPU seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))

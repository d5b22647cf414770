#!/usr/bin/env python3
"""Runs a libFuzzer target for so many seconds of the clock, and on until it has had so many of a CPU: beside other tests
a minute may be two seconds of work.

  long.py SECONDS CPU_SECONDS COMMAND...

Stops at the first finding, with libFuzzer's status. What a run finds new is in the corpus for the next one.
"""
import resource
import subprocess
import sys
import time

A_RUN_S = 120  # of the clock


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(seconds, of_a_cpu, command):
    begin = time.monotonic()
    while (left := max(begin + seconds - time.monotonic(), of_a_cpu - cpu_seconds())) > 0:
        # A run of a second or two would do little but read the corpus.
        limit = max(10, min(A_RUN_S, int(left)))
        status = subprocess.run([*command, f"-max_total_time={limit}"]).returncode
        if status:
            return status if status > 0 else 1
    print(f"{time.monotonic() - begin:.0f} s, {cpu_seconds():.0f} of them of a CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))

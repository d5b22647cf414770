#!/bin/sh
# taint.sh PROGRAM: no branch and no address of ours may depend on a secret; and a leak must be noticed.
set -u
program=$1
here=$(dirname "$0")
reported=99  # valgrind's exit status when it has something to report

command -v valgrind >/dev/null || { echo "SKIPPED: valgrind is not installed"; exit 77; }
run() { valgrind --quiet --error-exitcode=$reported --suppressions="$here/taint.supp" "$program" "$1"; }

run clean || { echo "FAILED: the code leaks, or computes something wrong (see above)"; exit 1; }
for leak in leaky-branch leaky-index leaky-compare; do
  run "$leak" 2>/dev/null
  status=$?
  [ $status -eq $reported ] || { echo "FAILED: $leak went unnoticed (status $status)"; exit 1; }
done
echo "no branch or address depends on a secret; three deliberate leaks were noticed"

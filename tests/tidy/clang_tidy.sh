#!/bin/sh
# clang-tidy, with the tree's .clang-tidy, over the sources of one folder: clang_tidy.sh BUILD FOLDER
# Prints what it finds; the exit status tells. Files that BUILD does not compile are not looked at.
set -eu
if ! command -v run-clang-tidy-19 >/dev/null; then
  echo "SKIPPED: clang-tidy-19 is not installed"
  exit 77
fi
cd "$(dirname "$0")/../.."
exec run-clang-tidy-19 -quiet -j 2 -p "$1" "^$PWD/$2/"

"""The parts of bench/compare. What drives hosts is that of the namespace tests."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "netns"), os.path.join(ROOT, "tests", "interop")]

"""What a run has measured so far, read from its folder."""
import json
import os
import statistics


class Results:
    def __init__(self, folder):
        with open(os.path.join(folder, "plan.json")) as file:
            self.plan = json.load(file)
        self.values, self.failures, self.features, self.rounds_done = {}, {}, {}, 0
        self.metrics_of = {}     # a row's name: its metrics
        try:
            with open(os.path.join(folder, "measurements.jsonl")) as file:
                lines = [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            lines = []
        for entry in lines:
            if "round_done" in entry:
                self.rounds_done += 1
            elif "features" in entry:
                self.features[entry["impl"]] = entry["features"]
            elif "failed" in entry:
                self.failures.setdefault((entry["impl"], entry["row"]), []).append(entry["failed"])
            else:
                self.metrics_of[entry["row"]] = list(entry["values"])
                for metric, value in entry["values"].items():
                    self.values.setdefault((entry["impl"], metric), []).append(value)

    def median(self, name, metric):
        """None if it was not measured."""
        values = self.values.get((name, metric))
        return statistics.median(values) if values else None

    def best(self, names, metric, more):
        """The name with the best median, and that; (None, None) if none has one."""
        found = [(self.median(name, metric), name) for name in names if self.median(name, metric) is not None]
        if not found:
            return None, None
        value, name = max(found) if more else min(found)
        return name, value

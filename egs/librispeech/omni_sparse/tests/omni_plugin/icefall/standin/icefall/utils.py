# SPDX-License-Identifier: Apache-2.0
"""Params and metrics as icefall has them."""

from collections import defaultdict


class AttributeDict(dict):
    def __getattr__(self, key):
        if key in self:
            return self[key]
        raise AttributeError(key)

    def __setattr__(self, key, value):
        self[key] = value


class MetricsTracker(defaultdict):
    def __init__(self):
        super().__init__(int)

    def __add__(self, other):
        result = MetricsTracker()
        for tracker in (self, other):
            for key, value in tracker.items():
                result[key] += value
        return result

    def __mul__(self, alpha):
        result = MetricsTracker()
        for key, value in self.items():
            result[key] = value * alpha
        return result

    def __str__(self):
        names = sorted(key for key in self if key != "frames")
        return " ".join(f"{name}={self[name] / self['frames']:.9g}" for name in names)


def str2bool(text):
    return text.lower() in ("yes", "true", "t", "1")

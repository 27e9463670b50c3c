# SPDX-License-Identifier: Apache-2.0
"""What tests of several files share: a module a theme. No test imports another."""

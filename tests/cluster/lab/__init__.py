# SPDX-License-Identifier: MIT
"""A laboratory of nodes: namespaces, agents and scripted programs on one machine."""

"""Simulates the scaling of workers on Kubernetes."""

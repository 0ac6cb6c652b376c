"""The operator as users run it, and the hands to try it with: shared by the end-to-end tests, the demo, the benchmark.

Everything here acts from outside, over the API server, the brokers and the operator's own ports; nothing imports the
operator's decisions.
"""

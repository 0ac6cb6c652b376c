"""Real servers for tests, demo and benchmark on one machine, without containers.

What is here starts, breaks and stops servers. It never decides what a test expects of them.
"""

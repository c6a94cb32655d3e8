"""All rules of zproc, free of I/O.

The law: this package has no sockets, threads, processes, clocks, randomness or logging. Input arrives by method call,
output is drained from a list, and time is an argument; so every run can be written down as a list of calls, and happens
again when the list is replayed. What a client may make it keep or compute is bounded by ``Limits``, and nothing that a
client sends raises here.
"""

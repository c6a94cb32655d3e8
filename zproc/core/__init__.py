"""Every rule of zproc, without the world.

The law: this package has no sockets, threads, processes, clocks, chance or logging. Input comes by method call, output
is drained from a list, and time is an argument; so whatever happened can be written down as a list of calls, and
happens again when the list is replayed. What a client may make it keep or compute is bounded by ``Limits``, and nothing
that a client sends raises here.
"""

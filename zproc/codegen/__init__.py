"""From a schema to source text: the typed client of a model.

The law: text comes out, and nothing is read, written, started or asked. The same models give the same text, whatever
the day, the machine and the directory.
"""

from zproc.codegen.module import body_of, generate

__all__ = ["body_of", "generate"]

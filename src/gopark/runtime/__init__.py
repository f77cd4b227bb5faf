"""The compiled core: one module per file of Go's runtime that it mirrors.

Nothing above may reach into it but through the functions that its modules say
are the public face's.
"""

"""The pipe: tickets out of the inbox, through the engine, into the database, then settled."""

if __name__ != "triagem.worker":  # a second copy of every module would be loaded
    raise ImportError("import triagem.worker, not worker: the folder at the root is linked into the package")

"""The worker pipeline: fetches tickets from the inbox, classifies them, stores results, acknowledges entries."""

if __name__ != "triagem.worker":  # a second copy of every module would be loaded
    raise ImportError("import triagem.worker, not worker: the folder at the root is linked into the package")

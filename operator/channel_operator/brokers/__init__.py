"""One folder per broker. A driver compiles and compares (pure); its session talks to the broker (I/O)."""

// BPFRuntime

import ProcessImage

extension PlannedProbe {
  /// What the tracer needs of an allocator function's probe.
  package init(_ probe: AllocatorProbe) {
    self.init(
      function: probe.function.name, object: probe.object.path,
      identity: "\(probe.object.device):\(probe.object.inode)", openPath: probe.object.kernelPath,
      functionFileOffset: probe.fileOffset, site: probe.site, action: probe.function.action,
      registers: probe.function.arguments.map {
        probe.site.argumentRegisters[$0] ?? ArgumentRegister.abi[$0]
      },
      mayNest: probe.function.traits.contains(.mayNest))
  }
}

extension AllocatorFunction {
  package var action: PlannedProbe.Action {
    switch kind {
    case .allocate: .allocate
    case .allocateCounted: .allocateCounted
    case .reallocate: .reallocate
    case .reallocateCounted: .reallocateCounted
    case .allocateToPointer: .allocateToPointer
    case .free: .free
    }
  }
}

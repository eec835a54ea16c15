extension Runtime {
  package static let dotNet = Runtime(
    ".NET", libraries: ["libcoreclr.so", "libmonosgen-", "libcoreclrtraceptprovider.so"],
    executables: [.exactly("dotnet")]
  ) { subject in
    .growth(
      ".NET: its heap is mapped, not malloc'ed, so this sees native libraries and the runtime itself; "
        + "for objects run `dotnet-gcdump collect -p \(subject.processID)` twice and compare")
  }
}

extension Runtime {
  /// Recognized by sections that Go's linker puts into every program, since it links everything into one file.
  package static let go = Runtime(
    "Go", sections: [".go.buildinfo", ".gopclntab", ".note.go.buildid"],
    ownCode: OwnCode(
      whyNotProbed: "is Go code and not probed: a return probe breaks the copying of Go stacks",
      whatIsTraced: "a Go program: only memory from C code is traced, not Go's own heap",
      whyNothing: "a Go program, whose heap belongs to the Go runtime; use its heap profile "
        + "(net/http/pprof), as return probes break Go")
  ) { _ in
    .growth(
      "Go: its heap is mapped, not malloc'ed, so this sees arenas and cgo; "
        + "objects are in the program's own /debug/pprof/heap")
  }
}

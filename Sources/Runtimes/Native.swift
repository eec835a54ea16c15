extension Runtime {
  /// No runtime: the program and its libraries manage their memory themselves.
  package static let native = Runtime(
    "native code", visibility: "every block that its allocator hands out is seen"
  ) { subject in
    Suggestion(
      options: "--leak-check 10 6",
      reason: "native code, "
        + (subject.allocator.map { "\($0) found" }
          ?? "no allocator's library is mapped; a static one is looked for"))
  }
}

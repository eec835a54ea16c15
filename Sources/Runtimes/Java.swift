extension Runtime {
  package static let java = Runtime("Java", libraries: ["libjvm.so"]) { subject in
    .growth(
      "Java: this sees native memory (JNI, direct buffers, the JVM); "
        + "for the Java heap compare `jcmd \(subject.processID) GC.class_histogram` over time")
  }
}

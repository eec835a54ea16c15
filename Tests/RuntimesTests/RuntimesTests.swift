import Glibc
import Testing

@testable import Runtimes

@Suite struct RuntimesTests {
  @Test(arguments: [
    ("/usr/bin/java", ["/usr/lib/jvm/lib/server/libjvm.so", "/lib/libc.so.6"], "Java"),
    ("/opt/app/embeds-java", ["/usr/lib/jvm/lib/server/libjvm.so"], "Java"),
    ("/usr/sbin/php-fpm8.2", ["/lib/libc.so.6"], "PHP-FPM"),
    ("/usr/bin/php8.2", ["/lib/libc.so.6"], "PHP"),
    ("/usr/bin/node", ["/lib/libc.so.6"], "Node"),
    ("/usr/bin/nodejs", [], "Node"),
    ("/usr/bin/editor", ["/usr/lib/libnode.so.115"], "Node"),
    ("/usr/bin/nodeinfo", ["/lib/libc.so.6"], "native code"),
    ("/usr/bin/python3.11", ["/lib/libc.so.6"], "Python"),
    ("/usr/bin/uwsgi", ["/lib/libpython3.11.so.1.0"], "Python"),
    ("/usr/bin/ruby3.1", ["/lib/libruby-3.1.so"], "Ruby"),
    ("/usr/share/dotnet/dotnet", ["/lib/libc.so.6"], ".NET"),
    ("/opt/app/Service", ["/usr/share/dotnet/shared/8.0/libcoreclr.so"], ".NET"),
    ("/usr/sbin/nginx", ["/lib/libc.so.6"], "native code"),
  ]) func recognition(executable: String, paths: [String], name: String) {
    #expect(Runtime.find(executable: executable, mappedPaths: paths).name == name)
  }

  @Test func ofNothingKnown() {
    #expect(Runtime.find(executable: nil, mappedPaths: []) == .native)
  }

  /// An embedded interpreter is not what owns the process.
  @Test func theFirstOfSeveralOwnsTheProcess() {
    let paths = ["/usr/lib/jvm/lib/server/libjvm.so", "/usr/lib/libpython3.11.so"]
    #expect(Runtime.find(executable: "/usr/bin/app", mappedPaths: paths) == .java)
  }

  @Test func ofThisVeryProcess() {
    #expect(Runtime.find(processID: getpid(), executable: nil, mappedPaths: []) == .native)
  }

  @Test func namesAreUnique() {
    let names = Runtime.all.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(!Runtime.all.contains(.native))
  }

  @Test(arguments: Runtime.all + [.native]) func everyRuntimeIsDescribedAndHasASuggestion(runtime: Runtime) {
    #expect(!runtime.name.isEmpty && !runtime.visibility.isEmpty)
    let suggestion = runtime.suggestion(for: Runtime.Subject(processID: 4711, allocator: "jemalloc"))
    #expect(suggestion.options.hasPrefix("--"))
    #expect(suggestion.reason.hasPrefix(runtime.name))
  }

  @Test(arguments: Runtime.all) func everyRuntimeCanBeRecognized(runtime: Runtime) {
    #expect(!runtime.libraries.isEmpty || !runtime.executables.isEmpty || !runtime.sections.isEmpty)
  }

  @Test func suggestionsNameTheProcess() {
    let subject = Runtime.Subject(processID: 4711, allocator: "jemalloc")
    #expect(Runtime.java.suggestion(for: subject).reason.contains("jcmd 4711 GC.class_histogram"))
    #expect(Runtime.dotNet.suggestion(for: subject).reason.contains("-p 4711"))
    #expect(Runtime.native.suggestion(for: subject).reason == "native code, jemalloc found")
    #expect(
      Runtime.native.suggestion(for: Runtime.Subject(processID: 1)).reason
        == "native code, no allocator's library is mapped; a static one is looked for")
  }

  @Test(arguments: [
    (["python3.11"], ["CPython arena"]),
    (["uwsgi", "libpython3.11.so.1.0", "libruby.so"], ["Ruby heap page", "CPython arena"]),
    (["php-fpm8.2"], ["Zend chunk"]), (["chrome"], ["V8 page"]), (["nginx", "libc.so.6"], []),
  ]) func heapsByModules(names: [String], layouts: [String]) {
    #expect(HeapLayout.present(inFilesNamed: names).map(\.name) == layouts)
  }

  @Test(arguments: Runtime.all.compactMap(\.heap).map(\.name)) func layoutsLookAtAFewWordsOfAlignedUnits(name: String)
    throws
  {
    let layout = try #require(Runtime.all.compactMap(\.heap).first { $0.name == name })
    #expect(layout.alignment.nonzeroBitCount == 1 && layout.alignment >= 4096)
    #expect((1...64).contains(layout.headerWords) && !layout.modules.isEmpty)
  }
}

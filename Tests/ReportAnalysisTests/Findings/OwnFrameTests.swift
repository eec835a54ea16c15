import ReportAnalysis
import Testing
import TraceModel

/// Which frame of a stack a reader looks at first.
@Suite struct OwnFrameTests {
  private static func frame(_ text: String) -> Frame {
    // `function [module]`, `function [module] file:line` or ` [module]` for a frame without a name.
    let parts = text.split(separator: " [", maxSplits: 1, omittingEmptySubsequences: false)
    let rest = parts.count > 1 ? parts[1].split(separator: "] ", maxSplits: 1) : []
    var module = rest.first.map(String.init)
    if module?.hasSuffix("]") == true { module?.removeLast() }
    var frame = Frame(
      address: 0x1000, function: parts[0].isEmpty ? nil : String(parts[0]), module: module.map { "/usr/lib/" + $0 },
      moduleOffset: 0x10)
    if rest.count > 1 { frame.file = String(rest[1]) }
    return frame
  }

  private func own(
    _ frames: [String], class allocationClass: AllocationClass = .heap
  ) -> String? {
    let site = AllocationSite(
      processID: 1, allocationClass: allocationClass, allocator: "malloc", outstanding: Tally(bytes: 1, count: 1),
      allocated: Tally(), freed: Tally(), stack: StackTrace(addresses: [], completeness: .complete),
      frames: frames.map(Self.frame))
    return OwnFrame.index(in: site, roles: FrameRoles()).map { site.frames[$0].function ?? "?" }
  }

  @Test func allocatorsAndTheStandardLibraryAreLeftOut() {
    #expect(
      own([
        "operator new(unsigned long) [libstdc++.so.6.0.30]",
        "std::__new_allocator<char>::allocate(unsigned long, void const*) [svc]",
        "void std::vector<char, std::allocator<char> >::_M_realloc_insert<char>(char&&) [svc]",
        "shop::SessionStore::open(std::string const&) [svc]", "main [svc]",
      ]) == "shop::SessionStore::open(std::string const&)")
    #expect(own(["__gnu_cxx::new_allocator<int>::allocate(unsigned long) [svc]", "f(int) [svc]"]) == "f(int)")
    #expect(own(["Pool::operator new(unsigned long) [svc]", "make() [svc]"]) == "make()")
    #expect(
      own(["operator new[](unsigned long) [a]", "decltype (f(1)) std::__invoke<f>(f&&) [a]", "g() [a]"]) == "g()")
    // What the standard library is only asked to hold is the program's.
    #expect(
      own(["operator new(unsigned long) [a]", "std::vector<int>* mine::make<int>(int) [a]"])?.hasSuffix(
        "make<int>(int)") == true)
    #expect(
      own(["malloc [libc.so.6]", "Foo::operator std::string() const [a]"]) == "Foo::operator std::string() const")
    #expect(own(["malloc [libc.so.6]", "(anonymous namespace)::leak(int) [a]"]) == "(anonymous namespace)::leak(int)")
  }

  /// The signs of an operator are no brackets, but arguments of a template may follow them.
  @Test(arguments: [
    "std::string<char, std::traits<char> > std::operator+<char, std::traits<char>, std::allocator<char> >(char const*)",
    "std::ostream& std::operator<< <std::traits<char> >(std::ostream&, char const*)",
    "bool std::operator< <char, std::traits<char> >(std::string const&, std::string const&)",
    "auto std::operator<=><int, long>(int, long)", "void std::function<void (int, long)>::operator()(int, long) const",
  ])
  func operatorsOfTheStandardLibraryAreLeftOut(name: String) {
    #expect(own(["malloc [libc.so.6]", name + " [svc]", "remember(int) [svc]"]) == "remember(int)")
    let own = name.split(separator: " ").map { $0.replacing("std::operator", with: "mine::operator") }
      .joined(separator: " ")
    if own != name { #expect(self.own(["malloc [libc.so.6]", own + " [svc]", "remember(int) [svc]"]) == own) }
  }

  @Test func theCLibraryIsLeftOut() {
    #expect(own(["malloc [libc.so.6]", "strdup [libc.so.6]", "remember [svc]"]) == "remember")
    // The same in a program that contains it.
    #expect(own(["__libc_malloc [svc]", "__strdup [svc]", "remember [svc]", "__libc_start_main [svc]"]) == "remember")
    #expect(own(["malloc [libc.so.6]", " [libc.so.6]", " [svc]"]) == "?")
    #expect(
      own(["zmalloc [redis-server]", "ztrymalloc_usable [redis-server]", "createObject [redis-server]"])
        == "createObject")
    #expect(
      own(["g_malloc0 [libglib-2.0.so.0]", "g_hash_table_new_full [libglib-2.0.so.0]"]) == "g_hash_table_new_full")
    #expect(own(["malloc [libjemalloc.so.2]", " [libjemalloc.so.2]", "f [svc]"]) == "f")
  }

  @Test func rust() {
    #expect(
      own([
        "__rdl_alloc [svc]", "alloc::alloc::alloc [svc]",
        "<alloc::vec::Vec<T> as alloc::vec::spec_from_elem>::from_elem [svc]",
        "<T as alloc::slice::Concat<T>>::concat [svc]", "<svc::Cache as core::ops::drop::Drop>::drop [svc]",
      ]) == "<svc::Cache as core::ops::drop::Drop>::drop")
    #expect(
      own(["malloc [libc.so.6]", "hook [svc] /rustc/90b35a6/library/core/src/ops/function.rs", "svc::f [svc]"])
        == "svc::f")
    // A C++ program has namespaces of these names, too.
    #expect(own(["operator new(unsigned long) [a]", "core::Engine::start(int) [a]"]) == "core::Engine::start(int)")
    #expect(own(["malloc [libc.so.6]", "alloc::reserve(unsigned long) [a]"]) == "alloc::reserve(unsigned long)")
  }

  @Test func whereOnlyTheRuntimeIsLeftItIsTheInnermostBesideTheAllocator() {
    #expect(
      own(["calloc [libc.so.6]", "allocate_dtv [ld-linux-x86-64.so.2]", "pthread_create [libc.so.6]"]) == "allocate_dtv"
    )
    #expect(own(["malloc [libc.so.6]"]) == "malloc")
    #expect(own([]) == nil)
  }

  @Test func interpreters() {
    let tail = ["_PyEval_EvalFrameDefault [python3.11]", "Py_BytesMain [python3.11]", "main [python3.11]"]
    // An extension is nearer to the cause than the interpreter's own functions.
    #expect(
      own(["malloc [libc.so.6]", "PyMem_Malloc [python3.11]", "PyList_New [python3.11]", "leak_rows [db.so]"] + tail)
        == "leak_rows")
    // A function of the interpreted program, where the interpreter names it.
    #expect(
      own(["malloc [libc.so.6]", "PyDict_New [python3.11]", "py::handle:/srv/app.py", "_PyEval_Vector [python3.11]"])
        == "py::handle:/srv/app.py")
    // Where there is nothing else, what the interpreter did.
    #expect(
      own(["malloc [libc.so.6]", "PyMem_RawMalloc [python3.11]", "PyList_Append [python3.11]"] + tail)
        == "PyList_Append")
    #expect(
      own(["mmap [libc.so.6]", "zend_mm_chunk_alloc [php8.2]", "zend_hash_extend [php8.2]", "main [php8.2]"])
        == "zend_hash_extend")
  }

  @Test func kernel() {
    #expect(
      own(["kmem_cache_alloc_noprof [kernel]", "alloc_empty_file [kernel]", "do_syscall_64 [kernel]"], class: .slab)
        == "alloc_empty_file")
    #expect(own(["__kmalloc_cache_noprof [kernel]", "my_open [drv]", "vfs_open [kernel]"], class: .slab) == "my_open")
  }

  /// Names are data: they are looked through once and never trusted.
  @Test func hostileNames() {
    for name in [
      "", "(", ")", "<", ">>>>", "operator", "operator(", "operator<", "operator ", "std::", "::", " ", "a b c (",
      "<<<<<<",
      "decltype (", "(anonymous namespace)", "\u{1b}[2J", "std::(", "<T as ", "<&mut ", "{lambda()#1", "é(漢",
      "operator new",
      String(repeating: "<", count: 100_000), String(repeating: "operator ", count: 500),
      String(repeating: "a(", count: 400),
    ] {
      _ = own([name + " [m]", name])
    }
  }
}
